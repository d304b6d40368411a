"""Budgets of conversations hold to the token, are shared by all that run at once, and stop without losing anything."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from agent.budget import LEAST_ANSWER, BudgetSpent, Left, crossed, reservation
from agent.failure import ConversationFailed, Failure
from agent.prices import MILLION, Price, Usage, price_of
from research_app.loop.propose import propose
from research_app.loop.propose.conversation import converse
from research_app.loop.propose.conversation.token_budget import left_of, nothing_left, shares
from research_app.models import Conversation, ConversationMessage, ConversationState, Event, Project
from tests.claude_samples import PRICE, Ledger, talk
from tests.factories import make_project
from tests.messages_server import KEY, MessagesServer, Reply, Say, call, edit, submit, text

LONG = Say([text("word " * 3000)])
WAY: list[Reply] = [call("read_file", path="train.py"), edit("WIDTH = 96", "WIDTH = 64"), submit()]


@given(
    counted=st.integers(0, 10**6),
    wanted=st.integers(1, 10**5),
    tokens=st.none() | st.integers(-10, 2 * 10**6),
    dollars=st.none() | st.floats(-1, 20),
)
def test_room_is_never_more_than_any_budget_has_left(
    counted: int, wanted: int, tokens: int | None, dollars: float | None
) -> None:
    left = [Left("this proposal", tokens, None), Left("today", None, dollars)]
    try:
        room = reservation(counted, wanted, left, PRICE)
    except BudgetSpent:
        return
    assert 0 < room.answer <= wanted
    assert room.answer >= min(wanted, LEAST_ANSWER)
    assert room.prompt >= counted
    if tokens is not None:
        assert room.tokens <= tokens
    if dollars is not None:
        dearest = Usage(cache_write=room.prompt, output=room.answer)
        assert PRICE.cost(dearest) <= dollars + 1e-9


@pytest.mark.parametrize("tokens", [9_000, 12_345, 20_001, 33_333])
@pytest.mark.parametrize("surplus", [0, 20])
def test_a_budget_in_tokens_holds_to_the_token_whatever_the_answers_are(tokens: int, surplus: int) -> None:
    ledger = Ledger(tokens=tokens)
    long = Say(LONG.blocks, surplus=surplus)
    short = call("read_file", path="train.py")
    model = MessagesServer(lambda body: long if len(body["messages"]) % 4 == 1 else short)
    with model as server, pytest.raises(BudgetSpent):
        talk(server, ledger, settings={"turns": 200}).run()
    assert server.tokens <= tokens
    assert ledger.used == server.tokens
    assert tokens - server.tokens < max(request["max_tokens"] for request in server.requests) + 9_000  # it was really used


@pytest.mark.parametrize("dollars", [0.05, 0.1234, 0.4])
def test_a_budget_in_dollars_holds(dollars: float) -> None:
    ledger = Ledger(dollars=dollars)
    with MessagesServer(lambda _: call("read_file", path="train.py")) as server, pytest.raises(BudgetSpent):
        talk(server, ledger, settings={"turns": 300}).run()
    billed = sum(
        PRICE.cost(Usage(b["input_tokens"], b["cache_creation_input_tokens"], b["cache_read_input_tokens"], b["output_tokens"]))
        for b in server.billed
    )
    assert billed == pytest.approx(ledger.cost)
    assert billed <= dollars


def test_the_length_of_an_answer_is_cut_to_what_is_left() -> None:
    ledger = Ledger(tokens=14_000)
    with MessagesServer(lambda _: LONG) as server, pytest.raises(ConversationFailed):
        talk(server, ledger, settings={"answer_tokens": 4000}).run()
    lengths = [request["max_tokens"] for request in server.requests]
    assert lengths[0] == 4000
    assert lengths[-1] < 4000


def test_nothing_is_asked_when_there_is_no_room_for_an_answer() -> None:
    with MessagesServer([]) as server, pytest.raises(BudgetSpent, match="Raise it under"):
        talk(server, Ledger(tokens=1500)).run()
    assert server.requests == []


def test_prices_are_per_million_tokens_by_kind() -> None:
    price = Price(input=4.0, cache_write=5.0, cache_read=0.2, output=20.0)
    assert price.cost(Usage(MILLION, MILLION, MILLION, MILLION)) == pytest.approx(29.2)
    assert price_of("claude-opus-5-5") == price


def test_warnings_come_when_a_threshold_is_passed_and_only_then() -> None:
    assert crossed(0.0, 0.49) is None
    assert crossed(0.4, 0.5) == 0.5
    assert crossed(0.5, 0.6) is None
    assert crossed(0.1, 0.9) == 0.8
    assert crossed(0.9, 1.0) == 1.0


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[MessagesServer]:
    """The local server as the loop finds it, by the environment; its model is set by the test."""
    with MessagesServer(WAY) as server:
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        yield server


def begun(project: Project) -> Conversation:
    return converse.begin(project, propose.context_of(project, project.tip()))


@pytest.mark.django_db
def test_a_spent_budget_stops_a_conversation_and_a_larger_one_lets_it_go_on_where_it_was(service: MessagesServer) -> None:
    service.model = [WAY[0], WAY[1], Say([text("word " * 4000)]), WAY[2]]
    project = make_project(agents={"tokens_per_proposal": 16_000, "answer_tokens": 4000, "dollars_per_day": 0})
    row = begun(project)
    converse.converse(row.pk, "test")
    row.refresh_from_db()
    assert (row.state, row.failure) == (ConversationState.STOPPED, Failure.BUDGET_SPENT), row.reason
    assert row.usage.total == service.tokens <= 16_000
    assert row.reserved_tokens == 0
    assert row.edits == [["train.py", "WIDTH = 96", "WIDTH = 64"]]
    said = row.messages.count()
    config = {**project.config, "agents": {**project.config["agents"], "tokens_per_proposal": 100_000}}
    Project.objects.filter(pk=project.pk).update(config=config)
    assert converse.resume(row, "ada")
    converse.converse(row.pk, "test")
    row.refresh_from_db()
    assert row.state == ConversationState.SUBMITTED
    assert row.candidate is not None and row.candidate.proposed == {"edits": row.edits}
    assert row.messages.count() > said
    assert len(service.requests[-1]["messages"]) >= said  # nothing that was said is lost


@pytest.mark.django_db
def test_people_are_told_at_half_at_four_fifths_and_at_the_end_of_a_budget(service: MessagesServer) -> None:
    project = make_project(
        agents={"tokens_per_project": 30_000, "answer_tokens": 2000, "dollars_per_proposal": 0, "turns": 400}
    )
    service.model = lambda _: Say([*call("read_file", path="train.py").blocks])
    row = begun(project)
    converse.converse(row.pk, "test")
    events = Event.objects.filter(project=project, kind="budget warning").order_by("sequence")
    told = [event.data["share"] for event in events if event.data["budget"] == "the project"]
    assert told == ["50%", "80%"]
    assert Event.objects.filter(kind="budget spent").count() == 1
    assert service.tokens <= 30_000
    assert nothing_left(project).startswith("The budget for the project is spent")
    assert converse.unavailable(project)
    [(name, unit, used, limit, share)] = [row for row in shares(project) if row[1] == "tokens"]
    assert (name, unit, used, limit) == ("the project", "tokens", service.tokens, 30_000)
    assert 0.8 < share <= 1


@pytest.mark.django_db(transaction=True)
def test_conversations_at_once_share_a_budget_and_together_hold_it(service: MessagesServer) -> None:
    project = make_project(agents={"tokens_per_day": 60_000, "answer_tokens": 6000, "dollars_per_day": 0, "turns": 100})
    gate = threading.Barrier(3)

    def model(body: dict[str, object]) -> Reply:
        if len(service.requests) <= 3:
            gate.wait(10)  # so that three requests are under way at the same moment
        return Say([*call("read_file", path="train.py").blocks, text("word " * 2000)])

    service.model = model
    rows = [begun(project) for _ in range(3)]

    def work(row: Conversation) -> None:
        try:
            converse.converse(row.pk, "test")
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, rows))
    assert service.most_at_once >= 3
    assert service.tokens <= 60_000
    assert ConversationMessage.spent()[0] == service.tokens
    found = Conversation.objects.filter(failure=Failure.BUDGET_SPENT)
    assert found.count() == 3
    assert left_of(project, "day").tokens == 60_000 - service.tokens


@pytest.mark.django_db
def test_a_request_whose_worker_died_counts_in_full(service: MessagesServer) -> None:
    project = make_project()
    row = begun(project)
    Conversation.objects.filter(pk=row.pk).update(reserved_tokens=5000, reserved_cost=0.07)
    converse.converse(row.pk, "test")
    row.refresh_from_db()
    assert row.state == ConversationState.SUBMITTED
    assert row.usage.total == 5000 + service.tokens
    lost = row.messages.get(number=2)
    assert (lost.sent, lost.bound, lost.cost) == (False, True, 0.07)


@pytest.mark.django_db
def test_a_stopped_conversation_goes_on_by_itself_when_a_new_day_has_room(service: MessagesServer) -> None:
    project = make_project(agents={"tokens_per_day": 1000})
    row = begun(project)
    converse.converse(row.pk, "test")
    row.refresh_from_db()
    assert row.failure == Failure.BUDGET_SPENT
    converse.wake_conversations()
    row.refresh_from_db()
    assert row.state == ConversationState.STOPPED  # today has no more room
    config = {**project.config, "agents": {**project.config["agents"], "tokens_per_day": 0}}
    Project.objects.filter(pk=project.pk).update(config=config)
    Conversation.objects.filter(pk=row.pk).update(changed_at="2026-01-01T00:00:00Z")
    converse.wake_conversations()
    row.refresh_from_db()
    assert row.state == ConversationState.OPEN
