"""Steering in a real browser: the program, notes, and a conversation that is watched, stopped and let go on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from research_app.loop.propose import propose
from research_app.loop.propose.conversation import converse
from research_app.models import Conversation, ConversationState, Note, ProgramVersion, Project, Stage
from tests.browser.conftest import SignIn
from tests.factories import make_candidate, make_project
from tests.messages_server import KEY, MessagesServer, call, edit, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[MessagesServer]:
    with MessagesServer(
        [call("read_file", path="train.py"), edit("WIDTH = 96", "WIDTH = 64"), call("check"), submit()]
    ) as server:
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        yield server


def begun(project: Project) -> Conversation:
    return converse.begin(project, propose.context_of(project, project.tip()), category="architecture", mode="explore")


def test_the_program_is_edited_with_versions_and_a_second_writer_loses_nothing(sign_in: SignIn) -> None:
    make_project()
    ada, grace = sign_in("ada"), sign_in("grace")
    for page in (ada, grace):
        page.goto("/projects/demo/program/")
    ada.get_by_label("program.md").fill("# Schedules\n\nOnly the schedule, this week.")
    ada.get_by_label("Why it is changed").fill("focus")
    ada.get_by_role("button", name="Save as version 1").click()
    expect(ada.get_by_text("Version 1 is in use for new conversations.")).to_be_visible()
    ada.get_by_role("link", name="1", exact=True).click()
    expect(ada.locator(".changes .plus").first).to_contain_text("# Schedules")
    grace.get_by_label("program.md").fill("# What Grace typed")
    grace.get_by_role("button", name="Save as version 1").click()
    expect(grace.get_by_role("alert")).to_contain_text("ada wrote version 1 meanwhile")
    expect(grace.locator("#program-text")).to_have_value("# What Grace typed")
    grace.get_by_role("button", name="Save as version 2").click()
    expect(grace.get_by_text("Version 2 is in use for new conversations.")).to_be_visible()
    assert [version.written_by.get_username() for version in ProgramVersion.objects.order_by("number")] == ["ada", "grace"]


def test_notes_are_written_on_the_program_page_and_on_a_candidate_and_taken_back(sign_in: SignIn) -> None:
    candidate = make_candidate(make_project(), stage=Stage.DROPPED)
    page = sign_in("ada")
    page.goto("/projects/demo/program/")
    page.get_by_label("A note to the agents").fill("Leave the attention alone.")
    page.get_by_role("button", name="Add a note").click()
    expect(page.get_by_text("Leave the attention alone.")).to_be_visible()
    page.goto(candidate.get_absolute_url())
    page.get_by_role("tab", name="Agents").click()
    page.get_by_label("A note to the agents on this candidate").fill("Try a longer decay.")
    page.get_by_role("button", name="Add a note").click()
    expect(page.locator("#agents .notes")).to_contain_text("Try a longer decay.")
    page.get_by_role("button", name="Take back").click()
    expect(page.get_by_text("Note withdrawn.")).to_be_visible()
    assert Note.objects.standing().get().text == "Leave the attention alone."


def test_a_discarded_idea_is_reworked_and_the_conversation_is_watched_as_it_goes_on(
    service: MessagesServer, sign_in: SignIn
) -> None:
    candidate = make_candidate(make_project(), stage=Stage.REJECTED, why="Too small a gain")
    page = sign_in("ada")
    page.goto(candidate.get_absolute_url())
    page.get_by_role("tab", name="Agents").click()
    page.get_by_role("button", name="Ask an agent to revise it").click()
    expect(page.get_by_role("heading", name="Conversation")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    row = Conversation.objects.get()
    converse.converse(row.pk, "worker")
    expect(page.get_by_text("A person stopped it.")).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    converse.converse(row.pk, "worker")
    expect(page.locator(".transcript")).to_contain_text("edit_file")  # the page follows without being reloaded
    expect(page.locator("header").get_by_text("submitted")).to_be_visible()
    row.refresh_from_db()
    assert row.state == ConversationState.SUBMITTED
    assert KEY not in page.content()


def test_the_pages_of_agents_fit_a_phone_and_both_themes(service: MessagesServer, sign_in: SignIn, tmp_path: Path) -> None:
    project = make_project(agents={"dollars_per_day": 0.02, "dollars_per_project": 5.0})
    row = begun(project)
    converse.converse(row.pk, "worker")
    begun(project)
    for width, height in ((1440, 900), (375, 800)):
        for theme in ("light", "dark"):
            page = sign_in("ada", viewport={"width": width, "height": height}, color_scheme=theme)
            for name, address in (("agents", "agents/"), ("conversation", f"agents/{row.pk}/"), ("program", "program/")):
                page.goto(f"/projects/demo/{address}")
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, width)
                page.screenshot(path=tmp_path / f"{name}-{width}-{theme}.png", full_page=True)
    assert len(list(tmp_path.glob("*.png"))) == 12
