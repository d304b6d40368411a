"""Ends: how a conversation ends without a change, what its turn becomes with it, and when it goes on."""

import os
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from agent.budget import BudgetSpent
from agent.failure import ConversationFailed, Failure
from agent.quote import Redactor
from research_app import environment
from research_app.loop.propose.whose_turn import FIRST_PAUSE, LONGEST_PAUSE, growing, state_after
from research_app.models import Conversation, ConversationState, Event, Lease, Message, Turn, TurnState
from research_app.models.event_kinds import EventKind

NAME = "claude"
QUEUE = "agent"
SECRETS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS")


def key() -> str:
    """The key of the service; empty where this process has none."""
    return environment.read().ANTHROPIC_API_KEY.get_secret_value()


def redactor() -> Redactor:
    """Takes out every secret that this process knows."""
    secrets = [value for name, value in os.environ.items() if name.upper().endswith(SECRETS)]
    database = settings.DATABASES["default"]
    return Redactor([*secrets, settings.SECRET_KEY, str(database.get("PASSWORD") or ""), key()])


def end(row: Conversation, lease: Lease, failure: ConversationFailed) -> None:
    """Write a named end with its event: stopped, failed, or the model's own “nothing worth a run”. Raises LeaseLost."""
    state, kind = ended_as(failure)
    reason, setbacks = redactor()(str(failure)), Conversation.objects.values_list("setbacks", flat=True).get(pk=row.pk) + 1
    later: dict[str, Any] = {}
    if failure.failure.goes_on_by_itself:
        pause = max(growing(FIRST_PAUSE, LONGEST_PAUSE, setbacks - 1), timedelta(seconds=failure.wait))
        later = {"setbacks": setbacks, "retry_at": timezone.now() + pause}
    fields = {"state": state, "failure": failure.failure, "reason": reason, "wants_stop": False, "attempts": 0}
    with transaction.atomic():
        lease.close(**fields, changed_at=timezone.now(), **later)
        follow(row, state_after(failure.failure), reason)
        Event.objects.record(kind, row, NAME, row.project, failure=failure.failure, why=reason)
        if row.candidate is not None:  # its reviewers wait for an answer
            Event.objects.record(EventKind.NO_NEW_PATCH_SET, row.candidate, row.model, row.project, why=reason)


def ended_as(failure: ConversationFailed) -> tuple[ConversationState, EventKind]:
    """The state and the event of an end without a change."""
    if failure.failure is Failure.GAVE_UP:
        return ConversationState.DECLINED, EventKind.CONVERSATION_DECLINED
    if isinstance(failure, BudgetSpent):
        return ConversationState.STOPPED, EventKind.BUDGET_SPENT
    if failure.failure.resumable:
        return ConversationState.STOPPED, EventKind.CONVERSATION_STOPPED
    return ConversationState.FAILED, EventKind.CONVERSATION_FAILED


def follow(row: Conversation, state: TurnState, note: str, **fields: Any) -> None:
    """A turn that ended before its conversation did has that one's outcome. In a transaction."""
    ended = Turn.objects.filter(conversation=row).exclude(state__in=(TurnState.WORKING, TurnState.PROPOSED))
    if ended.update(state=state, note=note, ended_at=timezone.now(), **fields):
        assert row.turn is not None  # it was updated
        Message.objects.enqueue("propose", row.turn.round_id, QUEUE)
