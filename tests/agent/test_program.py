"""The program in the browser, notes, and the agents' pages: what people see and may do."""

import shutil

import pytest
from django.test import Client

from research_app.loop.propose import propose, steer
from research_app.loop.propose.conversation import converse
from research_app.loop.propose.propose import program_of
from research_app.models import (
    Conversation,
    ConversationMessage,
    ConversationState,
    Event,
    Note,
    ProgramVersion,
    Project,
    Stage,
)
from tests.factories import make_candidate, make_project, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(make_user("ada"))
    return client


def test_the_program_of_the_repository_is_shown_until_somebody_writes_a_version(project: Project, ada: Client) -> None:
    page = ada.get("/projects/demo/program/")
    assert b"# Make the score better" in page.content
    assert b"never edited here" in page.content
    assert program_of(project, project.tip()) == ("# Make the score better\n", None)


def test_a_version_is_saved_shown_in_the_audit_and_is_what_agents_get(project: Project, ada: Client) -> None:
    saved = {"seen": "0", "text": "# Schedules only\r\n\r\nNothing else.", "note": "focus"}
    assert ada.post("/projects/demo/program/", saved).status_code == 302
    version = ProgramVersion.objects.get()
    assert (version.number, version.text, version.note) == (1, "# Schedules only\n\nNothing else.\n", "focus")
    event = Event.objects.get(kind="program changed")
    assert (event.actor, event.data["version"], event.data["added"], event.data["removed"]) == ("ada", 1, 3, 1)
    assert b"program changed" in ada.get("/audit/").content
    assert propose.context_of(project, project.tip()).program == version.text
    shown = ada.get("/projects/demo/program/?version=1").content.decode()
    assert "+ # Schedules only" in shown.replace("&#x27;", "'")
    assert "- # Make the score better" in shown


def test_without_its_repository_the_page_says_so_and_a_version_can_be_written(project: Project, ada: Client) -> None:
    shutil.rmtree(project.folder)
    page = ada.get("/projects/demo/program/")
    assert page.status_code == 200 and "The program in the repository cannot be read" in page.content.decode()
    assert ada.post("/projects/demo/program/", {"seen": "0", "text": "# Schedules only"}).status_code == 302
    assert ProgramVersion.objects.get().text == "# Schedules only\n"


def test_a_version_that_somebody_else_wrote_meanwhile_is_not_overwritten(project: Project, ada: Client) -> None:
    steer.write_program(project, "theirs", make_user("grace"), seen=0)
    answer = ada.post("/projects/demo/program/", {"seen": "0", "text": "mine, typed for an hour"})
    assert answer.status_code == 409
    assert b"grace wrote version 1 meanwhile" in answer.content
    assert b"mine, typed for an hour" in answer.content
    assert b"theirs" in answer.content
    assert ProgramVersion.objects.count() == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [("", b"empty"), ("  \n ", b"empty"), ("x" * 40_001, b"at most"), ("# Make the score better", b"Nothing differs")],
)
def test_a_program_that_says_nothing_new_is_refused(project: Project, ada: Client, text: str, said: bytes) -> None:
    steer.write_program(project, "# Make the score better", make_user("grace"), seen=0)
    answer = ada.post("/projects/demo/program/", {"seen": "1", "text": text})
    assert answer.status_code == 422
    assert said in answer.content


def test_a_viewer_may_read_and_not_steer(project: Project, client: Client) -> None:
    candidate = make_candidate(project, stage=Stage.DROPPED)
    row = converse.begin(project, propose.context_of(project, project.tip()))
    client.force_login(make_user("eve", approver=False))
    for address in ("program/", "agents/", f"agents/{row.pk}/"):
        assert client.get(f"/projects/demo/{address}").status_code == 200
    posts = ("notes/", "agents/combine/", f"agents/{row.pk}/stop/", f"agents/{row.pk}/resume/")
    for address in (*posts, f"candidates/{candidate.number}/notes/", f"candidates/{candidate.number}/rework/"):
        assert client.post(f"/projects/demo/{address}", {"text": "x", "number": "1 2"}).status_code == 403
    assert client.post("/projects/demo/program/", {"seen": "0", "text": "mine"}).status_code == 422
    assert (Note.objects.count(), ProgramVersion.objects.count()) == (0, 0)
    client.logout()
    assert client.get("/projects/demo/program/").status_code == 302


def test_notes_are_added_shown_and_taken_back_with_events(project: Project, ada: Client) -> None:
    candidate = make_candidate(project)
    ada.post("/projects/demo/notes/", {"text": "Leave the <b>attention</b> alone"})
    ada.post(f"/projects/demo/candidates/{candidate.number}/notes/", {"text": "Nearly there"})
    page = ada.get("/projects/demo/program/").content.decode()
    assert "Leave the &lt;b&gt;attention&lt;/b&gt; alone" in page
    assert "Nearly there" in page
    assert "Nearly there" in ada.get(candidate.get_absolute_url()).content.decode()
    for note in Note.objects.all():
        ada.post(f"/projects/demo/notes/{note.pk}/withdraw/")
        ada.post(f"/projects/demo/notes/{note.pk}/withdraw/")
    assert Note.objects.standing().count() == 0
    kinds = list(Event.objects.filter(kind__startswith="note").order_by("sequence").values_list("kind", flat=True))
    assert kinds == ["note to agents", "note to agents", "note withdrawn", "note withdrawn"]


def test_a_transcript_shows_every_block_and_no_payload_becomes_markup(project: Project, ada: Client) -> None:
    row = converse.begin(project, propose.context_of(project, project.tip()))
    payload = "<script>alert(1)</script>\u202e"
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "x"},
        {"type": "text", "text": payload},
        {"type": "tool_use", "id": "t1", "name": "edit_file", "input": {"path": payload, "old": "a\nb", "new": payload}},
    ]
    ConversationMessage.objects.create(  # type: ignore[misc]
        conversation=row, number=2, role="assistant", content=blocks, output_tokens=5, stop_reason="max_tokens"
    )
    answer = [{"type": "tool_result", "tool_use_id": "t1", "content": payload, "is_error": True}]
    ConversationMessage.objects.create(conversation=row, number=3, role="user", content=answer)
    ConversationMessage.objects.create(
        conversation=row, number=4, role="assistant", content=[], sent=False, bound=True, problem=payload
    )
    page = ada.get(row.get_absolute_url()).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "U+202E" in page
    for told in ("was refused", "counted in full", "not used", "max_tokens", "thinking"):
        assert told in page


def test_the_agents_page_has_running_conversations_spend_and_warnings_in_a_constant_number_of_queries(
    project: Project, ada: Client, django_assert_max_num_queries: object
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    config = {**project.config, "agents": {**project.config["agents"], "dollars_per_day": 10.0}}
    Project.objects.filter(pk=project.pk).update(config=config)

    def add(count: int) -> None:
        for _ in range(count):
            row = converse.begin(project, propose.context_of(project, project.tip()))
            Conversation.objects.filter(pk=row.pk).update(state=ConversationState.SUBMITTED, input_tokens=1000, cost=0.5)
            ConversationMessage.objects.create(
                conversation=row, number=2, role="assistant", content=[], input_tokens=1000, cost=0.5
            )

    add(12)
    with CaptureQueriesContext(
        connection,
    ) as few:
        page = ada.get("/projects/demo/agents/").content.decode()
    assert "$6.00 of $10.00" in page
    assert "50% reached" in page
    assert "12,000 tokens" in page
    add(30)
    with CaptureQueriesContext(connection) as many:
        page = ada.get("/projects/demo/agents/").content.decode()
    assert len(many) == len(few)
    assert "100% reached" in page
    open_row = converse.begin(project, propose.context_of(project, project.tip()), category="schedule", mode="explore")
    page = ada.get("/projects/demo/agents/").content.decode()
    assert "a new change in schedule (explore)" in page
    ada.post(f"/projects/demo/agents/{open_row.pk}/stop/")
    assert Conversation.objects.get(pk=open_row.pk).wants_stop


def test_a_conversation_of_another_project_is_not_found_under_this_one(project: Project, ada: Client) -> None:
    other = make_project("other")
    row = converse.begin(other, propose.context_of(other, other.tip()))
    assert ada.get(f"/projects/demo/agents/{row.pk}/").status_code == 404
    assert ada.post(f"/projects/demo/agents/{row.pk}/stop/").status_code == 404


def test_combining_from_the_page_names_what_is_wrong_with_the_numbers(project: Project, ada: Client) -> None:
    example = "Name candidates of this project by their numbers, for example: 12 17."
    for numbers, says in (("1", example), ("1 99", example), ("one two", example), ("", "Choose 2 to ")):
        answer = ada.post("/projects/demo/agents/combine/", {"number": numbers}, follow=True)
        assert says in answer.content.decode(), numbers
    assert Conversation.objects.count() == 0
