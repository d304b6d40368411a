"""Trouble of the service that passes ends nobody's part in a round; what a person must mend says so in the inbox."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from agent.failure import Failure
from research_app.loop.attention.troubles import troubles
from research_app.loop.propose import propose, whose_turn
from research_app.loop.propose.conversation import converse
from research_app.loop.propose.propose import open_round
from research_app.loop.reconcile import wake_proposers
from research_app.models import Conversation, ConversationState, Event, Message, Project, Round, Turn, TurnState
from tests.factories import make_project, make_user
from tests.messages_server import KEY, Fail, MessagesServer, Reply, Say, call, edit, submit, text

pytestmark = pytest.mark.django_db
WAY: list[Reply] = [edit("WIDTH = 96", "WIDTH = 64"), submit()]
AT_ONCE = {"x-should-retry": "false"}
OVERLOADED = Fail(529, "overloaded_error", AT_ONCE)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[MessagesServer]:
    with MessagesServer(WAY) as server:
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        yield server


@pytest.fixture
def project() -> Project:
    return make_project()


def asked_for(project: Project, wanted: int | None = 1, *proposers: str) -> Round:
    return open_round(project, proposers or ("claude",), wanted, "ada")


def pass_time(row: Conversation) -> None:
    """The pause of a conversation is over."""
    Conversation.objects.filter(pk=row.pk).update(retry_at=timezone.now() - timedelta(seconds=1))
    converse.wake_conversations()


@pytest.mark.parametrize(
    ("outage", "wanted"),
    [(Fail(429, "rate_limit_error", AT_ONCE), 1), (OVERLOADED, None), (Fail(503, headers=AT_ONCE), 1)],
    ids=["429", "529", "503"],
)
def test_an_outage_ends_no_part_in_a_round_and_the_same_conversation_brings_the_candidate(
    service: MessagesServer, project: Project, outage: Reply, wanted: int | None
) -> None:
    service.model = lambda _: outage
    asked = asked_for(project, wanted)
    for _ in range(3):
        propose.propose(asked.pk, "worker")
    turn = asked.turns.get()  # nothing more is begun while it waits
    row = turn.conversation
    assert (turn.state, row.state) == (TurnState.WAITING, ConversationState.STOPPED) and Failure(row.failure).passes
    for _ in range(6):  # it lasts
        pass_time(row)
        converse.converse(row.pk, "worker")
    row.refresh_from_db()
    asked.refresh_from_db()
    assert asked.closed_at is None and row.setbacks == 7
    assert row.retry_at is not None and row.retry_at - row.changed_at >= timedelta(minutes=14)
    service.model = WAY
    pass_time(row)
    converse.converse(row.pk, "worker")
    turn.refresh_from_db()
    row.refresh_from_db()
    assert turn.state == TurnState.PROPOSED and turn.candidate == asked.candidates.get() and not turn.note
    assert (row.state, row.setbacks) == (ConversationState.SUBMITTED, 0)
    assert not Event.objects.filter(kind="proposer failed").exists()


def test_the_others_propose_while_one_waits_for_its_service(service: MessagesServer, project: Project) -> None:
    service.model = lambda _: OVERLOADED
    asked = asked_for(project, 2, "claude", "knobs")
    for _ in range(4):
        propose.propose(asked.pk, "worker")
    assert sorted(asked.turns.values_list("proposer", "state")) == [("claude", "waiting"), ("knobs", "proposed")]
    asked.refresh_from_db()
    assert asked.closed_at is None


def test_a_service_that_asks_for_a_longer_wait_gets_it(service: MessagesServer, project: Project) -> None:
    service.model = [Fail(429, "rate_limit_error", {"retry-after": "7200"})]
    asked = asked_for(project)
    propose.propose(asked.pk, "worker")
    row = asked.turns.get().conversation
    assert row.goes_on_at is not None and row.goes_on_at > timezone.now() + timedelta(seconds=7000)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Fail(401, "authentication_error"), "no valid key"),
        (Fail(402, "billing_error"), "no valid key"),
        (Fail(400, "invalid_request_error"), "bad request"),
        (Fail(404, "not_found_error"), "bad request"),
    ],
    ids=["401", "402", "400", "404"],
)
def test_what_a_person_must_mend_says_so_in_the_inbox_until_it_works_again(
    service: MessagesServer, project: Project, reply: Reply, words: str
) -> None:
    service.model = lambda _: reply
    asked = asked_for(project, None)
    for _ in range(4):
        propose.propose(asked.pk, "worker")
    asked.refresh_from_db()
    assert asked.closed_at is None
    [trouble] = [each for each in troubles([project]) if words in each.name]  # that its turns failed may stand beside it
    assert "the test says so" in trouble.why and "again" in trouble.hint
    client = Client()
    client.force_login(make_user())
    assert words in client.get("/").content.decode()
    service.model = WAY
    row = Conversation.objects.latest("pk")
    if row.state == ConversationState.STOPPED:
        pass_time(row)
        converse.converse(row.pk, "worker")
    else:
        Turn.objects.update(ended_at=timezone.now() - timedelta(hours=2))
        propose.propose(asked.pk, "worker")
    assert asked.candidates.count() == 1 and not troubles([project])


def test_an_outage_that_lasts_is_told_too_and_a_short_one_is_not(service: MessagesServer, project: Project) -> None:
    service.model = lambda _: OVERLOADED
    asked = asked_for(project)
    propose.propose(asked.pk, "worker")
    assert not troubles([project])
    row = asked.turns.get().conversation
    Conversation.objects.filter(pk=row.pk).update(setbacks=6)
    [trouble] = troubles([project])
    assert "overloaded" in trouble.name and "by itself" in trouble.hint


@pytest.mark.parametrize("reply", [call("give_up", reason="It was all tried."), Say([text("No.")], stop="refusal")])
def test_turns_without_a_candidate_are_followed_by_growing_pauses(
    service: MessagesServer, project: Project, reply: Reply
) -> None:
    service.model = lambda _: reply
    asked = asked_for(project, None)
    for _ in range(6):
        propose.propose(asked.pk, "worker")
    assert asked.turns.count() == whose_turn.RESTS_AFTER
    Turn.objects.update(ended_at=timezone.now() - timedelta(seconds=70))
    Message.objects.all().delete()
    wake_proposers()
    for _ in range(3):
        propose.propose(asked.pk, "worker")
    assert asked.turns.count() == whose_turn.RESTS_AFTER + 1
    for _ in range(whose_turn.OUT_AFTER - whose_turn.RESTS_AFTER):
        Turn.objects.update(ended_at=timezone.now() - timedelta(hours=2))
        propose.propose(asked.pk, "worker")
    asked.refresh_from_db()
    refused = isinstance(reply, Say) and reply.stop == "refusal"
    assert (asked.closed_at is not None) == refused, "only failures of its own end its part, and only ten in a row"
    assert asked.turns.count() == whose_turn.OUT_AFTER + (not refused)


def test_nothing_to_propose_is_an_outcome_on_every_page(service: MessagesServer, project: Project) -> None:
    service.model = [call("give_up", reason="The schedule is settled.")]
    asked = asked_for(project)
    propose.propose(asked.pk, "worker")
    row = asked.turns.get().conversation
    assert not troubles([project]) and not Event.objects.filter(kind__in=("proposer failed", "conversation failed")).exists()
    client = Client()
    client.force_login(make_user())
    for address in (row.get_absolute_url(), f"/projects/{project.slug}/agents/"):
        page = client.get(address).content.decode()
        assert "nothing worth a run" in page and "The schedule is settled." in page
        assert "chip bad" not in page and "why bad" not in page


def test_a_person_stops_what_waits_for_its_service(service: MessagesServer, project: Project) -> None:
    service.model = lambda _: OVERLOADED
    asked = asked_for(project, None)
    propose.propose(asked.pk, "worker")
    row = asked.turns.get().conversation
    assert converse.stop(row, "ada")
    row.refresh_from_db()
    assert (row.state, row.failure, row.retry_at) == (ConversationState.STOPPED, Failure.STOPPED, None)
    assert asked.turns.get().state == TurnState.FAILED and not whose_turn.on_pause(asked) and not whose_turn.excluded(asked)


def test_nothing_goes_on_for_a_round_that_was_closed(service: MessagesServer, project: Project) -> None:
    service.model = lambda _: OVERLOADED
    asked = asked_for(project)
    propose.propose(asked.pk, "worker")
    row = asked.turns.get().conversation
    propose.close_round(asked, "It was closed.", "ada")
    pass_time(row)
    row.refresh_from_db()
    assert row.state == ConversationState.STOPPED
