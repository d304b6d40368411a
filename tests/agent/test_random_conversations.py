"""Whatever the service does, a conversation ends with the right name, is booked to the token, and nobody leaves the round."""

import os
import time
from collections import Counter
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from research_app.loop.propose import propose, whose_turn
from research_app.loop.propose.conversation import converse
from research_app.models import Candidate, Conversation, ConversationState, Round, Stage, Turn, TurnState
from tests.agent.random_conversations import ANSWER_TOKENS, Script, scripts, summary
from tests.factories import make_project
from tests.messages_server import KEY, MessagesServer

pytestmark = pytest.mark.django_db
COUNT, SEED = int(os.environ.get("CONVERSATIONS", "6")), int(os.environ.get("CONVERSATIONS_SEED", "7"))


def test_conversations_at_random_end_rightly_cost_what_they_cost_and_leave_the_round_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.claude.time", SimpleNamespace(sleep=lambda seconds: None, monotonic=time.monotonic))
    no_limit = {"dollars_per_proposal": 0, "dollars_per_day": 0, "tokens_per_proposal": 0, "answer_tokens": ANSWER_TOKENS}
    round_ = propose.open_round(make_project(agents=no_limit), ["claude"], None, "ada")
    ends = Counter[str]()
    with MessagesServer([]) as server:
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        for script in scripts(COUNT, SEED):
            server.model = script
            ends[held(round_, script)] += 1
            Candidate.objects.update(stage=Stage.DROPPED)  # so that another one is wanted
            Turn.objects.update(ended_at=timezone.now() - timedelta(hours=2))
    round_.refresh_from_db()
    assert round_.closed_at is None and whose_turn.whose_turn(round_, round_.project.tip()) == "claude"
    assert Conversation.objects.filter(reserved_tokens__gt=0).count() == 0
    print(f"\n{COUNT} conversations of seed {SEED}: {summary(ends)}")


def held(round_: Round, script: Script) -> str:
    """Hold one conversation to its end, through every pause; how it ended."""
    propose.propose(round_.pk, "worker")
    turn = round_.turns.latest("number")
    row = turn.conversation
    for _ in range(10):
        row.refresh_from_db()
        if row.goes_on_at is None:
            break
        assert Turn.objects.get(pk=turn.pk).state == TurnState.WAITING, script
        Conversation.objects.filter(pk=row.pk).update(retry_at=timezone.now() - timedelta(seconds=1))
        converse.wake_conversations()
        converse.converse(row.pk, "worker")
    turn.refresh_from_db()
    assert row.failure == script.expected and script.sent == len(script.replies), (script, row.reason)
    assert row.usage.total == script.used == sum(message.usage.total for message in row.messages.all()), script
    states = {
        "": (ConversationState.SUBMITTED, TurnState.PROPOSED),
        "gave_up": (ConversationState.DECLINED, TurnState.DECLINED),
    }
    assert (row.state, turn.state) == states.get(script.expected, (ConversationState.FAILED, TurnState.FAILED)), script
    assert (turn.candidate is not None) == (script.expected == "")
    return script.expected
