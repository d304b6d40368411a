"""What a person types is kept until it is sent: over a reload, a session that ended, another sign-in, two tabs."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from research_app.models import Candidate, Note, Project, SignInLink, Stage, Trial, TrialState, Verdict
from tests.browser.conftest import SignIn
from tests.everything import make_everything
from tests.factories import make_candidate, make_project, make_user

pytestmark = pytest.mark.django_db(transaction=True)
DESK = "/projects/demo/candidates/1/"
PASSWORD = "correct horse battery"
EDITS = [("train.py", "LAYERS = 3", "LAYERS = 4")]


@pytest.fixture
def project() -> Project:
    project = make_project()
    make_candidate(project, verdict=Verdict.SOLID)
    return project


def drafts(page: Page) -> list[str]:
    """What is kept in the browser."""
    kept = "(store) => Object.keys(store).filter((key) => key.startsWith('draft')).map((key) => store.getItem(key))"
    return list(page.evaluate(f"[localStorage, sessionStorage].flatMap({kept})"))


def sign_in_again(page: Page, name: str = "ada") -> None:
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


TRIAL = "the repository that is looked at"

# Every field of every page: where it stands, its name, and what to open first.
FIELDS = [
    ("/projects/demo/candidates/2/", "textarea[name=reason]", ""),
    ("/projects/demo/candidates/2/", ".agents textarea[name=text]", ".tab-list a[href='#agents']"),
    ("/projects/demo/candidates/7/", "textarea[name=reason]", ""),
    ("/projects/demo/candidates/8/", "textarea[name=patch]", "details.revise > summary"),
    ("/projects/demo/candidates/8/", "textarea[name=reason]", "details.revise > summary"),
    ("/projects/demo/candidates/2/", ".thread .reply textarea", ""),
    ("/projects/demo/program/", "#program-text", ""),
    ("/projects/demo/program/", "input[name=note]", ""),
    ("/projects/demo/program/", "form[action$='/notes/'] textarea[name=text]", ""),
    ("/projects/demo/agents/", "#numbers", ""),
    ("/projects/demo/agents/", "#why", ""),
    ("/projects/demo/candidates/", ".bulk input[name=reason]", "tbody [name=pick]"),
    ("/projects/demo/candidates/", "#view-name", "#save-view > summary"),
    ("/projects/demo/shortlist/", "#spend-reason", ""),
    ("/projects/demo/shortlist/", "textarea[name='why-3']", "#pick-3 .unfold > summary, then #pick-3 .bypass > summary"),
    ("/projects/demo/shortlist/", "input[name^='seeds-3']", "#pick-3 .unfold > summary"),
    ("/projects/demo/compare/", "#items", ""),
    ("/settings/notifications/", "#id_email_address", ""),
    ("/settings/notifications/", "#id_webhook_address", ""),
    ("/settings/notifications/", "#id_hourly_limit", ""),
    ("/settings/notifications/", "#id_digest_hour", ""),
    ("/settings/tokens/", "#token-name", ""),
    ("/new-project/", "#bring-source", ""),
    ("/new-project/", "#bring-branch", ""),
    (TRIAL, "#bring-slug", ""),
    (TRIAL, "input[name*='.']", ""),
    (TRIAL, "#bring-file", ""),
    ("/projects/demo/settings/", "#settings-file", ""),
]


@pytest.mark.parametrize(("address", "field", "opens"), FIELDS, ids=[f"{a} {f}" for a, f, _ in FIELDS])
def test_what_is_typed_survives_a_reload_and_a_sign_in(sign_in: SignIn, address: str, field: str, opens: str) -> None:
    make_everything()
    page = sign_in("ada")
    if address == TRIAL:
        address = f"/new-project/{Trial.objects.get(state=TrialState.DRAFT).pk}/"
    page.goto(address)
    for summary in filter(None, opens.split(", then ")):
        page.locator(summary).first.click()
    place = page.locator(field).first
    text = "17" if place.get_attribute("type") == "number" else "typed.words@17.example"
    place.fill(text)
    page.reload()
    expect(page.locator(field).first).to_have_value(text)
    page.context.clear_cookies()
    page.goto(address)
    expect(page).to_have_url(re.compile("/sign-in/"))
    sign_in_again(page)
    expect(page.locator(field).first).to_have_value(text)


@pytest.mark.one_in(2)
def test_no_page_has_a_field_that_is_not_kept(sign_in: SignIn) -> None:
    from research_app.web.shared.every_page import every_address

    project = make_everything()
    page = sign_in("ada")
    kept = {field for _, field, _ in FIELDS}
    found, client = set(), Client()
    client.force_login(User.objects.get(username="ada"))
    for name, address in every_address(project):
        if name in ("sign-out", "api:openapi-view"):
            continue
        answer = client.get(address)
        if answer.status_code != 200 or not answer.headers["Content-Type"].startswith("text/html"):
            continue
        page.goto(address)
        script = """(kept) => [...document.querySelectorAll("form[method=post] textarea, form[method=post] input")]
            .filter((each) => each.matches("textarea, input:not([type]), [type=text], [type=email], [type=url], [type=number]"))
            .filter((each) => !each.readOnly && !kept.some((selector) => each.matches(selector)))
            .map((each) => each.outerHTML.slice(0, 120))"""
        found |= {f"{name}: {html}" for html in page.evaluate(script, sorted(kept))}
    assert found == set(), "a field that no test fills: add it to FIELDS"


def test_a_click_after_the_session_ended_loses_nothing(sign_in: SignIn, project: Project) -> None:
    page = sign_in("ada")
    page.goto(DESK)
    page.locator("textarea[name=reason]").fill("The seeds are the same.")
    page.context.clear_cookies()
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_text("You are signed out: nothing was sent")).to_be_visible()
    page.get_by_role("link", name="Reload the page to sign in again").click()
    sign_in_again(page)
    expect(page).to_have_url(re.compile(re.escape(DESK) + "$"))
    expect(page.locator("textarea[name=reason]")).to_have_value("The seeds are the same.")
    page.get_by_role("button", name="Reject").click()
    expect(page.locator("#decide")).to_contain_text("rejected")
    assert "The seeds are the same." in Candidate.objects.get().why
    assert drafts(page) == []


def test_a_one_time_link_leads_back_to_the_page_and_its_text(sign_in: SignIn, project: Project) -> None:
    page = sign_in("ada")
    page.goto(DESK)
    page.locator("textarea[name=reason]").fill("Not yet.")
    page.context.clear_cookies()
    page.reload()
    expect(page).to_have_url(re.compile("/sign-in/"))
    page.goto(f"/sign-in/{SignInLink.make(User.objects.get(username='ada'))}/")
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile(re.escape(DESK) + "$"))
    expect(page.locator("textarea[name=reason]")).to_have_value("Not yet.")


def test_a_plain_form_that_was_sent_signed_out_leads_back_with_its_text(sign_in: SignIn) -> None:
    make_project()
    page = sign_in("ada")
    page.goto("/projects/demo/program/")
    note = page.locator("form[action$='/notes/'] textarea")
    note.fill("Leave the attention alone.")
    page.context.clear_cookies()
    page.get_by_role("button", name="Add a note").click()
    sign_in_again(page)
    expect(page).to_have_url(re.compile("/projects/demo/program/$"))
    expect(note).to_have_value("Leave the attention alone.")
    page.get_by_role("button", name="Add a note").click()
    expect(page.get_by_text("Note saved")).to_be_visible()
    expect(note).to_have_value("")
    assert Note.objects.get().text == "Leave the attention alone."
    assert drafts(page) == []


def test_what_was_refused_stays_and_what_was_taken_goes(sign_in: SignIn, project: Project) -> None:
    page = sign_in("ada")
    page.goto("/projects/demo/agents/")
    page.locator("#numbers").fill("99 98")
    page.locator("#why").fill("They may add up.")
    page.get_by_role("button", name="Join the changes").click()
    expect(page.get_by_text("no change that could be tried")).to_be_visible()
    expect(page.locator("#why")).to_have_value("They may add up.")
    page.goto("/settings/tokens/")
    page.locator("#token-name").fill("claude-code")
    page.get_by_role("button", name=re.compile("token", re.IGNORECASE)).last.click()
    expect(page.get_by_text("Your new token")).to_be_visible()
    assert "claude-code" not in "".join(drafts(page))


def test_two_tabs_keep_what_was_typed_in_each(sign_in: SignIn, project: Project) -> None:
    one = sign_in("ada")
    one.goto(DESK)
    other = one.context.new_page()
    other.goto(DESK)
    one.locator("textarea[name=reason]").fill("from the first tab")
    other.locator("textarea[name=reason]").fill("from the second tab")
    one.reload()
    other.reload()
    expect(one.locator("textarea[name=reason]")).to_have_value("from the first tab")
    expect(other.locator("textarea[name=reason]")).to_have_value("from the second tab")
    third = one.context.new_page()
    third.goto(DESK)
    third.wait_for_timeout(500)
    expect(third.locator("textarea[name=reason]")).to_have_value("")  # both are being typed elsewhere


def test_what_a_closed_tab_left_is_taken_over(sign_in: SignIn, project: Project) -> None:
    one = sign_in("ada")
    context = one.context
    one.goto(DESK)
    one.locator("textarea[name=reason]").fill("half a thought")
    one.close()
    other = context.new_page()
    other.goto(DESK)
    expect(other.locator("textarea[name=reason]")).to_have_value("half a thought")
    other.get_by_role("button", name="Reject").click()
    expect(other.locator("#decide")).to_contain_text("rejected")
    assert drafts(other) == []


def test_nobody_finds_the_text_of_another_person_in_the_same_browser(
    sign_in: SignIn, project: Project, live_server: LiveServer
) -> None:
    page = sign_in("ada")
    page.goto(DESK)
    page.locator("textarea[name=reason]").fill("ada's thought")
    page.goto("/settings/notifications/")
    page.locator("#id_webhook_address").fill("https://hooks.example/secret")
    make_user("grace")
    page.context.clear_cookies()
    page.goto(DESK)
    sign_in_again(page, "grace")
    expect(page.locator("textarea[name=reason]")).to_have_value("")
    page.goto("/settings/notifications/")
    expect(page.locator("#id_webhook_address")).to_have_value("")
    assert "secret" not in "".join(drafts(page))
    page.context.clear_cookies()
    page.goto(DESK)
    sign_in_again(page, "ada")
    expect(page.locator("textarea[name=reason]")).to_have_value("ada's thought")


def test_a_secret_is_kept_while_the_tab_is_open_and_no_longer(sign_in: SignIn, project: Project) -> None:
    page = sign_in("ada")
    context = page.context
    page.goto("/settings/notifications/")
    page.locator("#id_webhook_address").fill("https://hooks.example/secret")
    assert "secret" not in str(page.evaluate("JSON.stringify(localStorage)"))
    page.close()
    other = context.new_page()
    other.goto("/settings/notifications/")
    other.wait_for_timeout(400)
    expect(other.locator("#id_webhook_address")).to_have_value("")


def test_text_that_was_typed_before_the_program_changed_is_offered_not_put_over_it(sign_in: SignIn) -> None:
    from research_app.loop.propose.steer import write_program

    project = make_project()
    page = sign_in("ada")
    page.goto("/projects/demo/program/")
    page.locator("#program-text").fill("Try schedules.")
    write_program(project, "Try data.", make_user("grace"), seen=0, note="")
    page.reload()
    expect(page.locator("#program-text")).to_have_value("Try data.\n")
    page.get_by_role("button", name="Put it in").click()
    expect(page.locator("#program-text")).to_have_value("Try schedules.")
    page.get_by_role("button", name=re.compile("Save as version")).click()
    expect(page.get_by_role("alert")).to_be_visible()  # it says that another version came first
    expect(page.locator("#program-text")).to_have_value("Try schedules.")


def test_a_common_reason_that_was_picked_is_kept_too(sign_in: SignIn, project: Project) -> None:
    page = sign_in("ada")
    page.goto(DESK)
    page.get_by_label("Common reasons").select_option(index=1)
    chosen = page.locator("textarea[name=reason]").input_value()
    assert chosen
    page.reload()
    expect(page.locator("textarea[name=reason]")).to_have_value(chosen)


def test_a_comment_at_a_line_comes_back_at_its_line(sign_in: SignIn, project: Project) -> None:
    page = sign_in("ada")
    page.goto(DESK)
    page.keyboard.press("n")
    page.keyboard.press("c")
    page.locator(".new-thread textarea").fill("Why 2%?")
    page.reload()
    expect(page.locator(".new-thread textarea")).to_have_value("Why 2%?")
    page.get_by_role("button", name="Comment", exact=True).last.click()
    expect(page.locator(".thread")).to_contain_text("Why 2%?")
    assert drafts(page) == []


def test_a_renewed_list_keeps_the_reason_that_is_typed_into_it(sign_in: SignIn, project: Project) -> None:
    make_candidate(project, stage=Stage.DROPPED, edits=EDITS, effect=-0.01)
    page = sign_in("ada")
    page.goto("/projects/demo/candidates/")
    page.locator("tbody [name=pick]").first.check()
    page.locator(".bulk input[name=reason]").fill("Look again")
    page.locator("h1").click()
    make_candidate(project, edits=(), stage=Stage.CHECKING, effect=None, hypothesis="One more")
    expect(page.get_by_text("One more")).to_be_visible()
    expect(page.locator(".bulk input[name=reason]")).to_have_value("Look again")
