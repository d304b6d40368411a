"""Claude in the loop, against a local server: turns become candidates or named failures, and nothing of it is lost."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.apps import apps
from django.test import Client
from django.utils import timezone

from agent.failure import Failure
from agent.prices import price_of
from research_app.audit.report import Kind
from research_app.audit.verify import verify
from research_app.loop.propose import propose, steer
from research_app.loop.propose.conversation import converse, requested_changes
from research_app.loop.propose.propose import open_round
from research_app.loop.propose.steer import SteeringRefused
from research_app.loop.review.review import Seen, request_changes
from research_app.loop.review.votes import steered_by
from research_app.machine.services import services
from research_app.machine.supervisor import AGENT_SECRETS, environment_of
from research_app.models import (
    Author,
    Candidate,
    Conversation,
    ConversationState,
    Event,
    Project,
    Round,
    Stage,
    Thread,
    TurnState,
)
from tests.factories import make_candidate, make_project, make_user
from tests.messages_server import KEY, SUBMISSION, Fail, MessagesServer, Reply, Say, call, edit, submit, text
from tests.small_project import approver, drain, small_project
from training.registry import UnknownVariant

pytestmark = pytest.mark.django_db
WAY: list[Reply] = [call("read_file", path="train.py"), edit("WIDTH = 96", "WIDTH = 64"), call("check"), submit()]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[MessagesServer]:
    """The local server as the loop finds it, by the environment."""
    with MessagesServer(WAY) as server:
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        yield server


def round_of(project: Project, wanted: int | None = 1, proposers: tuple[str, ...] = ("claude",)) -> Round:
    return open_round(project, proposers, wanted, "ada")


def test_a_turn_of_claude_becomes_a_candidate_with_its_transcript_tokens_cost_and_duration(service: MessagesServer) -> None:
    project = make_project()
    asked = round_of(project)
    propose.propose(asked.pk, "worker")
    candidate = asked.candidates.get()
    assert (candidate.author_kind, candidate.author) == (Author.AGENT, "claude-opus-5-5")
    assert candidate.hypothesis == SUBMISSION["hypothesis"]
    assert candidate.details["how_it_could_be_wrong"] == SUBMISSION["how_it_could_be_wrong"]
    assert candidate.proposed == {"edits": [["train.py", "WIDTH = 96", "WIDTH = 64"]]}
    row = Conversation.objects.get(candidate=candidate)
    assert row.state == ConversationState.SUBMITTED
    assert row.lease_until is None
    assert row.requests == 4
    assert row.usage.total == service.tokens
    price = price_of(row.model)
    assert price is not None
    assert row.cost == pytest.approx(price.cost(row.usage))
    assert row.cache_share is not None and row.cache_share > 0.5
    assert row.seconds > 0
    assert [message.role for message in row.messages.all()] == ["user", *["assistant", "user"] * 4]
    assert row.turn is not None and row.turn.state == TurnState.PROPOSED


@pytest.mark.parametrize(
    ("reply", "failure", "state"),
    [
        (Say([text("No.")], stop="refusal"), Failure.REFUSED, "failed"),
        (Fail(529, "overloaded_error", {"x-should-retry": "false"}), Failure.OVERLOADED, "stopped"),
        (Fail(401, "authentication_error", message=f"invalid {KEY}"), Failure.NO_KEY, "stopped"),
        (Fail(400, "invalid_request_error"), Failure.BAD_REQUEST, "failed"),
        (call("give_up", reason="Everything was tried."), Failure.GAVE_UP, "declined"),
        (call("vote", decision="approve"), Failure.MALFORMED_CALL, "failed"),
    ],
    ids=lambda value: str(value) if isinstance(value, Failure) else "",
)
def test_every_turn_that_brings_nothing_ends_with_a_name(
    service: MessagesServer, reply: Reply, failure: Failure, state: str
) -> None:
    service.model = lambda _: reply
    project = make_project()
    asked = round_of(project)
    propose.propose(asked.pk, "worker")
    turn = asked.turns.get()
    assert turn.state == {"failed": TurnState.FAILED, "stopped": TurnState.WAITING, "declined": TurnState.DECLINED}[state]
    row = turn.conversation
    assert (row.state, row.failure) == (state, failure)
    assert row.reason and KEY not in row.reason and KEY not in turn.note
    assert row.reserved_tokens == 0
    kind = {"declined": "conversation found nothing worth a run"}.get(state, f"conversation {state}")
    assert Event.objects.get(kind=kind).data["failure"] == failure


def test_a_conversation_whose_worker_died_goes_on_from_what_was_said(service: MessagesServer) -> None:
    service.model = [WAY[0], WAY[1], Fail(500, headers={"x-should-retry": "false"}), WAY[2], WAY[3]]
    project = make_project()
    asked = round_of(project)
    propose.propose(asked.pk, "worker")
    row = asked.turns.get().conversation
    assert row.failure == Failure.SERVER_ERROR
    converse.resume(row, "ada")
    long_ago = timezone.now() - timedelta(minutes=1)
    Conversation.objects.filter(pk=row.pk).update(lease_until=long_ago, leased_by="a dead worker", changed_at=long_ago)
    converse.wake_conversations()
    converse.converse(row.pk, "another worker")
    row.refresh_from_db()
    assert row.state == ConversationState.SUBMITTED
    assert row.candidate is not None and row.candidate.round == asked
    sent = service.requests[-1]["messages"]
    assert sent[3]["content"][2]["name"] == "edit_file"  # what the first worker's model did is still there
    assert row.usage.total == service.tokens


def test_a_person_stops_a_conversation_and_lets_it_go_on(service: MessagesServer) -> None:
    project = make_project()
    row = converse.begin(project, propose.context_of(project, project.tip()))
    assert converse.stop(row, "ada")
    converse.converse(row.pk, "worker")
    row.refresh_from_db()
    assert (row.state, row.failure) == (ConversationState.STOPPED, Failure.STOPPED)
    assert service.requests == []
    assert converse.resume(row, "ada")
    converse.converse(row.pk, "worker")
    row.refresh_from_db()
    assert row.state == ConversationState.SUBMITTED
    assert not converse.resume(row, "ada")


def test_conversations_at_once_are_told_what_the_others_work_on(service: MessagesServer) -> None:
    project = make_project()
    asked = round_of(project, wanted=2)
    first, second = propose.open_turn(asked), propose.open_turn(asked)
    assert first and second
    row = converse.begin(project, propose.context_of(project, first.base, first), turn=first, category=first.category)
    Conversation.objects.filter(pk=row.pk).update(edits=[["train.py", "a", "b"]])
    others = propose.context_of(project, second.base, second).others
    assert others == (f"claude works on a new change in {first.category} editing train.py",)
    again = converse.begin(project, propose.context_of(project, second.base, second), turn=second)
    opening = again.messages.get().content[0]["text"]
    assert "| claude works on a new change" in opening


def test_without_a_key_nothing_is_asked_of_claude_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("SIGNOFF_AGENTS_HAVE_KEY", raising=False)
    project = make_project()
    asked = round_of(project, wanted=None, proposers=("claude", "knobs"))
    propose.propose(asked.pk, "worker")
    assert asked.turns.get().proposer == "knobs"
    assert not converse.join_rounds()
    project.refresh_from_db()
    with pytest.raises(SteeringRefused, match="ANTHROPIC_API_KEY"):
        steer.rework(make_candidate(project, stage=Stage.DROPPED), make_user())
    with pytest.raises(UnknownVariant):
        open_round(project, ["gpt"], 1, "ada")


def test_with_a_key_open_ended_rounds_ask_claude_too(service: MessagesServer) -> None:
    project = make_project()
    endless, bounded = round_of(project, None, ("knobs",)), round_of(project, 3, ("knobs",))
    assert converse.join_rounds() == 1
    assert converse.join_rounds() == 0
    endless.refresh_from_db()
    bounded.refresh_from_db()
    assert (endless.proposers, bounded.proposers) == (["knobs", "claude"], ["knobs"])


def test_the_newest_program_and_the_notes_reach_the_model_as_instructions(service: MessagesServer) -> None:
    project, ada = make_project(), make_user()
    steer.write_program(project, "Only touch the schedule.", ada, seen=0)
    steer.write_program(project, "Only touch the optimiser.", ada, seen=1)
    note = steer.add_note(project, "Leave the warm-up alone.", ada)
    steer.withdraw_note(steer.add_note(project, "This was taken back.", ada), ada)
    asked = round_of(project)
    propose.propose(asked.pk, "worker")
    request = service.requests[0]
    assert "Only touch the optimiser." in request["system"][1]["text"]
    assert "Only touch the schedule." not in json.dumps(request)
    assert f"> {note.text}" in request["messages"][0]["content"][0]["text"], "what they say, not who says it"
    assert "ada" not in request["messages"][0]["content"][0]["text"].split()
    assert "taken back" not in json.dumps(request)
    row = Conversation.objects.get()
    assert row.program is not None and row.program.number == 2


def test_an_idea_is_reworked_and_several_are_combined_on_request(service: MessagesServer) -> None:
    project, ada = make_project(), make_user()
    one = make_candidate(project, stage=Stage.REJECTED, why="Too small a gain", hypothesis="Warm up less")
    other = make_candidate(project, stage=Stage.DROPPED, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")])
    steer.add_note(project, "Try it with a longer decay.", ada, one)
    reworked = steer.rework(one, ada, "It was nearly solid")
    opening = reworked.messages.get().content[0]["text"]
    for told in (
        "Rework C-1",
        "| Warm up less",
        "Too small a gain",
        "+WARMUP = 0.02",
        "Try it with a longer decay.",
        "nearly solid",
    ):
        assert told in opening
    converse.converse(reworked.pk, "worker")
    reworked.refresh_from_db()
    assert reworked.candidate is not None and list(reworked.about.all()) == [one]
    assert steered_by(reworked.candidate) == {ada.pk}
    service.answered.clear()
    service.model = [edit("LEARNING_RATE = 3e-3", "LEARNING_RATE = 2e-3"), submit()]
    both = steer.combine(project, [one, other], ada)
    assert "+LAYERS = 4" in both.messages.get().content[0]["text"]
    converse.converse(both.pk, "worker")
    both.refresh_from_db()
    assert both.candidate is not None
    with pytest.raises(SteeringRefused, match="Choose 2 to 6"):
        steer.combine(project, [one], ada)
    with pytest.raises(SteeringRefused, match="role"):
        steer.rework(one, make_user("eve", approver=False))


@pytest.mark.django_db(transaction=True)
def test_a_request_for_changes_leads_to_patch_set_2_by_the_same_conversation(service: MessagesServer) -> None:
    service.model = [edit("LEARNING_RATE = 0.01", "LEARNING_RATE = 0.02"), submit()]
    project = small_project()
    asked = round_of(project)
    drain()
    candidate = Candidate.objects.get(round=asked)
    assert candidate.stage == Stage.READY, candidate.why
    assert candidate.patch_set is not None
    grace = approver()
    first = Thread.objects.begin(candidate.patch_set, "train.py", 6, "Is 0.02 not a little much?", grace)
    second = Thread.objects.begin(candidate.patch_set, "train.py", 7, "And the width?", grace)
    third = Thread.objects.begin(candidate.patch_set, "train.py", 8, "Why?", grace)
    candidate = Candidate.objects.with_evidence().get(pk=candidate.pk)
    request_changes(candidate, grace, Seen.of(candidate), "Try 0.019 as well as the comment says.")
    row = candidate.conversations.get()
    requested_changes.take_up_changes()
    requested_changes.take_up_changes()  # a second look tells nothing twice
    service.answered.clear()
    answers = [
        {"thread": first.pk, "answer": "It was: 0.019 now.", "done": True},
        {"thread": second.pk, "answer": "No: it is another idea.", "done": False},
    ]
    words = {
        "title": "Rate 0.019",
        "hypothesis": "A slightly larger rate helps",
        "category": "schedule",
        "expected_effect": "0.005",
    }
    service.model = [
        edit("LEARNING_RATE = 0.02", "LEARNING_RATE = 0.019"),
        submit(answer="0.019 is safer.", answers=answers, **words),
    ]
    drain()
    candidate.refresh_from_db()
    row.refresh_from_db()
    assert [patch_set.number for patch_set in candidate.patch_sets.all()] == [1, 2]
    assert candidate.patch_set is not None and "+LEARNING_RATE = 0.019" in candidate.patch_set.diff
    assert candidate.stage == Stage.READY, candidate.why
    assert row.state == ConversationState.SUBMITTED
    told = service.requests[-2]["messages"][-1]["content"][0]["text"]
    assert "> Try 0.019" in told and "> Is 0.02 not a little much?" in told
    assert len(service.requests[-2]["messages"]) > 4  # the same conversation, with all that was said
    threads = {thread.pk: thread for thread in Thread.objects.all()}
    said = {pk: [comment.text for comment in thread.comments.all()][1] for pk, thread in threads.items()}
    assert said == {first.pk: "It was: 0.019 now.", second.pk: "No: it is another idea.", third.pk: "0.019 is safer."}
    assert [threads[each.pk].resolved for each in (first, second, third)] == [True, False, False]
    assert {comment.name for comment in threads[first.pk].comments.all()} == {"grace", "claude-opus-5-5"}
    assert candidate.reviews.get().voided_at is not None
    assert {name: getattr(candidate, name) for name in words} == words, "the page, history and commit say what is there now"
    assert [each.description["hypothesis"] for each in candidate.patch_sets.all()] == [
        SUBMISSION["hypothesis"],
        words["hypothesis"],
    ]
    assert Event.objects.get(kind="described anew").data["before"]["hypothesis"] == SUBMISSION["hypothesis"]
    assert not altered_rows()
    client = Client()
    client.force_login(grace)
    page = client.get(candidate.get_absolute_url()).content.decode()
    claimed = page.partition("In the words of")[2].partition("</details>")[0]
    assert words["hypothesis"].strip() in claimed and SUBMISSION["hypothesis"] not in claimed
    answers_with_no(service, Candidate.objects.with_evidence().get(pk=candidate.pk), second)


def altered_rows() -> list[str]:
    """What the audit finds wrong in rows; other tests' repositories lie in the same home."""
    return [fault.sentence for fault in verify(git=False).faults if fault.kind is not Kind.LOG_REWRITTEN]


def answers_with_no(service: MessagesServer, candidate: Candidate, thread: Thread) -> None:
    """Asked again, the model keeps its change as it is, and says why."""
    grace = approver()
    request_changes(candidate, grace, Seen.of(candidate), "Make it 0.02 again.")
    requested_changes.take_up_changes()
    service.answered.clear()
    said = [{"thread": thread.pk, "answer": "It belongs to another change.", "done": False}]
    service.model = [call("keep_as_is", answer="0.02 diverged at the larger rung.", answers=said)]
    drain()
    candidate.refresh_from_db()
    assert candidate.stage == Stage.READY and candidate.why.endswith("keeps it as it is: 0.02 diverged at the larger rung.")
    assert candidate.patch_sets.count() == 2 and not candidate.reviews.standing().exists()
    assert thread.comments.last().text == "It belongs to another change."  # type: ignore[union-attr]
    assert candidate.conversations.get().state == ConversationState.SUBMITTED
    assert not altered_rows()


def test_nothing_can_be_kept_as_it_is_before_somebody_asked_for_changes(service: MessagesServer) -> None:
    service.model = [WAY[1], call("keep_as_is", answer="It is good."), submit()]
    asked = round_of(make_project())
    propose.propose(asked.pk, "worker")
    assert "Nobody asked for changes" in str(service.requests[-1]["messages"][-1]) and asked.candidates.count() == 1


def test_the_key_is_in_no_row_no_log_and_on_no_page(service: MessagesServer, caplog: pytest.LogCaptureFixture) -> None:
    service.model = [
        call("search", text=KEY),
        edit("WIDTH = 96", f"WIDTH = 64  # {KEY}"),
        call("check"),
        submit(hypothesis=f"{KEY} helps"),
    ]
    project, ada = make_project(), make_user()
    steer.write_program(project, f"Use the key {KEY} well.", ada, seen=0)
    asked = round_of(project)
    with caplog.at_level("DEBUG"):
        propose.propose(asked.pk, "worker")
    row = Conversation.objects.get()
    client = Client()
    client.force_login(ada)
    for address in (row.get_absolute_url(), f"/projects/{project.slug}/agents/", "/audit/"):
        answer = client.get(address)
        assert answer.status_code == 200
        assert KEY not in answer.content.decode()
    assert KEY not in caplog.text
    held = {"conversation", "conversationmessage", "event", "turn", "candidate", "message"}
    for model in apps.get_app_config("research_app").get_models():
        if model._meta.model_name in held:
            assert KEY not in str(list(model._default_manager.values())), model
    assert any(KEY in head.get("authorization", "") for head in service.heads)


def test_only_the_agents_workers_get_the_key() -> None:
    import socket

    ours = {"PATH": "/bin", "ANTHROPIC_API_KEY": KEY}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = {service.name: environment_of(service, ours) for service in services(listener, [])}
    assert AGENT_SECRETS == ("ANTHROPIC_API_KEY",)
    assert [name for name, environment in found.items() if KEY in environment.values()] == ["agent"]
    assert all(environment["SIGNOFF_AGENTS_HAVE_KEY"] == "1" for environment in found.values())
    assert "SIGNOFF_AGENTS_HAVE_KEY" not in environment_of(next(iter(services(listener, []))), {"PATH": "/bin"})


def test_a_model_that_never_answers_does_not_keep_the_searches_from_proposing(
    service: MessagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many conversations hang as one worker holds; a round that asks both goes on with the search."""
    monkeypatch.setattr(converse, "talking", converse.Slots(1))
    project = make_project()
    asked = round_of(project, wanted=None, proposers=("claude", "knobs"))
    with converse.talking.one() as taken:
        assert taken and not converse.talking.free
        for _ in range(2):
            propose.propose(asked.pk, "worker")
        assert set(asked.candidates.values_list("author", flat=True)) == {"knobs"} and service.requests == []
        talk = converse.begin(project, propose.context_of(project, project.tip()))
        converse.converse(talk.pk, "worker")
        assert service.requests == [] and Conversation.objects.get(pk=talk.pk).attempts == 0, "it waits, and loses no attempt"
        asked.refresh_from_db()
        assert asked.closed_at is None
    service.model = [edit("WIDTH = 96", "WIDTH = 64"), submit()]
    converse.converse(talk.pk, "worker")
    assert Conversation.objects.get(pk=talk.pk).state == ConversationState.SUBMITTED
