"""The pages in a real browser: reading, deciding, keys, live updates, both themes and both widths."""

import re

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from research_app.loop.review import review
from research_app.loop.review.review import Seen
from research_app.models import Candidate, LandingState, Project, Run, SeriesChunk, SignInLink, Stage, State, Verdict
from tests.browser.conftest import NARROW, WIDE, SignIn
from tests.factories import (
    make_candidate,
    make_device,
    make_evidence,
    make_landing,
    make_patch_set,
    make_project,
    make_run,
    make_user,
)

pytestmark = pytest.mark.django_db(transaction=True)
DEEPER = [("train.py", "LAYERS = 3", "LAYERS = 4")]
DESK = "/projects/demo/candidates/1/"


@pytest.fixture
def project() -> Project:
    project = make_project()
    make_candidate(project, expected_effect="Less warm-up, more training.", verdict=Verdict.SOLID)
    return project


def first() -> Candidate:
    return Candidate.objects.with_evidence().get(number=1)


def test_a_one_time_link_signs_in_with_its_button(sign_in: SignIn, live_server: LiveServer) -> None:
    page = sign_in("ada")
    page.context.clear_cookies()
    page.goto(f"/sign-in/{SignInLink.make(make_user('grace'))}/")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Your turn")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_every_page_opens_without_a_fault_and_fits(
    sign_in: SignIn, project: Project, theme: str, viewport: dict[str, int]
) -> None:
    landed = make_candidate(project, edits=DEEPER, effect=0.03, stage=Stage.LANDED)
    make_landing(landed, LandingState.LANDED)
    make_device()
    run = project.runs.first()
    assert run
    page = sign_in("ada", viewport=viewport, color_scheme=theme)
    for address in ("", "candidates/", "candidates/1/", "candidates/2/", "baseline/", f"runs/{run.pk}/"):
        page.goto(f"/projects/demo/{address}")
        if page.locator(".chart").count():
            expect(page.locator(".chart .main-svg").first).to_be_visible()
        fits(page)
    for address in ("/", "/fleet/", "/audit/", "/no-such-page/", "/sign-in/x/"):
        page.goto(address)
        fits(page)
    assert page.evaluate("document.documentElement.dataset.theme") == theme


def fits(page: Page) -> None:
    """Nothing makes the page scroll sideways, and every control has a name."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input:not([type=hidden]), select, textarea")]
            .filter(e => !(e.textContent.trim() || e.ariaLabel || e.labels?.length || e.title)).map(e => e.outerHTML)"""
    )
    assert nameless == []


def test_the_theme_is_chosen_with_a_button_and_remembered(sign_in: SignIn, project: Project) -> None:
    page = sign_in("ada", color_scheme="light")
    page.goto("/")
    page.get_by_role("button", name="Theme").click()
    page.goto("/projects/demo/")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.get_by_role("button", name="Theme").click()
    assert page.evaluate("[document.documentElement.dataset.theme, localStorage.getItem('theme')]") == ["light", None]


def test_curves_are_drawn_with_band_and_tabs_and_described_in_words(sign_in: SignIn, project: Project) -> None:
    page = sign_in()
    page.goto(f"{DESK}?show=values")
    expect(page.locator("#curves-legend li")).to_have_text(["baseline 0 · n = 4, mean, 95% interval", "C-1 · n = 1, one line"])
    expect(page.locator("#curves .scatterlayer .trace")).to_have_count(4)
    expect(page.locator("#curves-text")).to_contain_text("Validation loss over step")
    page.locator("#curves").hover()
    expect(page.locator("#curves .curve-tip")).to_contain_text(re.compile(r"C-1\d\.\d+n 1"))
    page.get_by_role("button", name="Gradient norm").click()
    expect(page.get_by_role("button", name="Gradient norm")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Horizontal axis").select_option("by FLOPs")
    expect(page.locator("#curves-text")).to_contain_text("over training FLOPs")


def test_the_progress_chart_opens_the_candidate_that_is_clicked(sign_in: SignIn, project: Project) -> None:
    page = sign_in()
    page.goto("/projects/demo/")
    point = page.locator("#progress .points path")
    expect(point).to_have_count(1)
    box = point.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#progress .hoverlayer")).to_contain_text("C-1")
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_url(f"**{DESK}")


def test_a_candidate_is_found_and_rejected_by_keys_alone(sign_in: SignIn, project: Project) -> None:
    make_candidate(project, edits=DEEPER, hypothesis="Deeper")
    page = sign_in()
    page.goto("/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator(".row.on")).to_contain_text("Deeper")
    page.keyboard.press("Enter")
    page.wait_for_url("**/candidates/2/")
    page.keyboard.press("x")
    page.keyboard.type("Looks like seed noise")
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("button", name="Reject")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Undo my rejection")).to_be_visible()
    assert Candidate.objects.get(number=2).stage == Stage.REJECTED
    page.keyboard.press("u")
    page.wait_for_url("**/")  # the list that it was opened from
    expect(page.get_by_role("heading", name="Your turn")).to_be_visible()
    page.goto("/projects/demo/candidates/")
    page.keyboard.press("/")
    page.keyboard.type("deeper")
    expect(page.locator(".row")).to_have_count(1)
    assert page.url.endswith("/candidates/?q=deeper")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("i")
    expect(page.get_by_role("heading", name="Your turn")).to_be_visible()


def test_keys_type_letters_where_somebody_types(sign_in: SignIn, project: Project) -> None:
    page = sign_in()
    page.goto(DESK)
    page.get_by_label("Reason", exact=True).click()
    page.keyboard.type("a jukebox?")
    expect(page.get_by_label("Reason", exact=True)).to_have_value("a jukebox?")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_the_approve_key_only_moves_the_focus(sign_in: SignIn, project: Project) -> None:
    page = sign_in()
    page.goto(DESK)
    page.keyboard.press("a")
    expect(page.get_by_role("button", name="Approve for baseline")).to_be_focused()
    assert first().stage == Stage.READY


def test_a_double_click_on_approve_is_one_vote(sign_in: SignIn, project: Project) -> None:
    page = sign_in()
    page.goto(DESK)
    page.get_by_role("button", name="Approve for baseline").dblclick()
    expect(page.locator(".landing")).to_contain_text("queued")
    assert first().reviews.count() == 1
    assert first().stage == Stage.LANDING


def test_rejecting_without_a_reason_sends_nothing(sign_in: SignIn, project: Project) -> None:
    page = sign_in()
    page.goto(DESK)
    page.get_by_role("button", name="Reject").click()
    assert page.get_by_label("Reason", exact=True).evaluate("field => field.validity.valueMissing")
    page.get_by_label("Common reasons").select_option("Looks like seed noise")
    expect(page.get_by_label("Reason", exact=True)).to_have_value("Looks like seed noise")
    assert first().stage == Stage.READY


def test_a_live_update_keeps_what_was_typed_and_says_that_the_page_is_out_of_date(sign_in: SignIn, project: Project) -> None:
    page = sign_in()
    page.goto(DESK)
    page.get_by_label("Reason", exact=True).fill("I think that")
    candidate = first()
    assert candidate.patch_set
    make_run(project.tip(), patch_set=candidate.patch_set, seed=2, score=2.19)
    candidate.evidence = make_evidence(candidate.patch_set, [2.15, 2.19])
    candidate.save()
    expect(page.locator("#verdict")).to_contain_text("n = 2 against 4")
    expect(page.get_by_text("Look again, then decide")).to_be_visible()
    expect(page.get_by_label("Reason", exact=True)).to_have_value("I think that")
    page.get_by_role("button", name="Approve for baseline").click()
    expect(page.get_by_role("alert")).to_contain_text("its evidence changed")
    expect(page.get_by_label("Reason", exact=True)).to_have_value("I think that")
    assert first().stage == Stage.READY


def test_a_vote_is_never_offered_on_a_diff_that_the_page_does_not_show(sign_in: SignIn, project: Project) -> None:
    Candidate.objects.update(stage=Stage.SCREENING)
    page = sign_in()
    page.goto(DESK)
    expect(page.get_by_text("No decision is due yet.")).to_be_visible()
    candidate = first()
    candidate.patch_set = make_patch_set(candidate, project.tip(), DEEPER)
    candidate.evidence, candidate.stage = make_evidence(candidate.patch_set, [2.15]), Stage.READY
    candidate.save()
    expect(page.get_by_text("Look again, then decide")).to_be_visible()
    expect(page.get_by_role("button", name="Approve for baseline")).to_have_count(0)
    page.get_by_role("button", name="Show what is there now").click()
    expect(page.get_by_role("button", name="Approve for baseline")).to_be_visible()
    expect(page.locator(".diff")).to_contain_text("LAYERS = 4")


def test_the_diff_comes_by_itself_when_the_check_has_passed(sign_in: SignIn, project: Project) -> None:
    candidate = make_candidate(project, edits=(), stage=Stage.CHECKING, effect=None)
    page = sign_in()
    page.goto(candidate.get_absolute_url())
    expect(page.get_by_text("The change is being checked")).to_be_visible()
    candidate.patch_set = make_patch_set(candidate, project.tip(), DEEPER)
    candidate.stage = Stage.SCREENING
    candidate.save()
    expect(page.locator(".diff")).to_contain_text("LAYERS = 4")


def test_two_people_decide_and_the_second_sees_it_in_place(sign_in: SignIn, project: Project) -> None:
    ada, grace = sign_in("ada"), sign_in("grace")
    ada.goto(DESK)
    grace.goto(DESK)
    grace.get_by_label("Reason", exact=True).fill("No gain")
    ada.get_by_role("button", name="Approve for baseline").click()
    expect(ada.locator(".landing")).to_be_visible()
    expect(grace.get_by_text("decided or moved on meanwhile")).to_be_visible()
    grace.get_by_role("button", name="Reject").click()
    expect(grace.get_by_role("alert")).to_contain_text("was decided or moved on meanwhile")
    assert first().reviews.count() == 1


def test_landing_is_followed_without_reloading(sign_in: SignIn, project: Project) -> None:
    page = sign_in()
    page.goto(DESK)
    landing = review.approve(first(), make_user("grace"), Seen.of(first()))
    assert landing
    expect(page.locator(".landing .now")).to_have_text("queued")
    landing.state, landing.reason = LandingState.REJUDGING, "The baseline moved to version 1."
    landing.save()
    expect(page.locator(".landing .now")).to_have_text("judged again on the new baseline")
    landing.delete()
    make_landing(first(), LandingState.LANDED)
    Candidate.objects.update(stage=Stage.LANDED)
    expect(page.locator("#decide")).to_contain_text("as baseline 1")


def test_a_training_run_grows_on_the_page(sign_in: SignIn, project: Project) -> None:
    candidate = make_candidate(project, edits=DEEPER, stage=Stage.SCREENING, effect=None)
    short = {"val_loss": [[0, 16], [5.5, 3.0]]}
    run = make_run(project.tip(), patch_set=candidate.patch_set, state=State.RUNNING, progress=0.1, series=short)
    page = sign_in()
    page.goto(candidate.get_absolute_url())
    expect(page.locator("#curves-text")).to_contain_text("C-2 · n = 1, one line: 2 points")
    expect(page.locator("#runs")).to_contain_text("10%")
    SeriesChunk.objects.create(run=run, sequence=1, points={"val_loss": [[32, 48], [2.5, 2.3]]})
    Run.objects.filter(pk=run.pk).update(progress=0.2)
    expect(page.locator("#runs")).to_contain_text("20%")
    expect(page.locator("#curves-text")).to_contain_text("4 points")


def test_an_update_that_changes_nothing_touches_nothing(sign_in: SignIn, project: Project) -> None:
    page = sign_in()
    page.goto(DESK)
    page.evaluate("document.querySelectorAll('main section').forEach(each => { each.mark = true })")
    with page.expect_response(lambda response: response.status == 304):
        pass
    assert page.evaluate("[...document.querySelectorAll('main section')].filter(e => e.dataset.version).every(e => e.mark)")


def test_a_log_is_fetched_when_it_is_opened(sign_in: SignIn, project: Project) -> None:
    page = sign_in()
    page.goto(DESK)
    expect(page.locator("pre.log")).to_have_count(0)
    page.get_by_role("tab", name="Runs").click()
    page.locator("#runs summary").first.click()
    expect(page.locator("pre.log")).to_contain_text("val_loss 5.5452")


def test_script_in_everything_untrusted_stays_text(sign_in: SignIn) -> None:
    payload = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    project = make_project()
    edits = [("train.py", "# Linear warm-up, then constant.", f"# {payload}"), ("<b>new.py", "", f"{payload}\n")]
    candidate = make_candidate(project, hypothesis=payload, author=payload, expected_effect=payload, why=payload, edits=edits)
    run = Run.objects.get(patch_set=candidate.patch_set)
    run.log.text = payload
    run.log.save()
    page = sign_in()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    page.goto(DESK)
    page.get_by_role("tab", name="Runs").click()
    page.locator("#runs summary").first.click()
    expect(page.locator("pre.log")).to_have_text(payload)
    expect(page.locator("h1")).to_contain_text(payload)
    page.goto("/projects/demo/")
    point = page.locator("#progress .points path")
    box = point.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#progress .hoverlayer")).to_contain_text(re.compile("onerror"))
    assert page.locator("main img, main script").count() == 0
    assert dialogs == []


def test_filters_stand_in_the_address_and_survive_going_back(sign_in: SignIn, project: Project) -> None:
    make_candidate(project, edits=DEEPER, stage=Stage.DROPPED, effect=-0.02)
    page = sign_in()
    page.goto("/projects/demo/candidates/")
    expect(page.locator(".row")).to_have_count(2)
    page.get_by_label("Stage", exact=True).select_option("dropped")
    expect(page.locator(".row")).to_have_count(1)
    assert "stage=dropped" in page.url
    page.locator(".row a.open").first.click()
    page.wait_for_url("**/candidates/2/")
    page.go_back()
    expect(page.locator(".row")).to_have_count(1)


def test_a_server_that_is_gone_is_said_in_place(sign_in: SignIn, project: Project) -> None:
    page = sign_in()
    page.goto(DESK)
    page.context.route(f"**{DESK}", lambda route: route.fulfill(status=401, body=""))
    expect(page.get_by_text("You are signed out")).to_be_visible()


def test_without_scripts_the_pages_can_be_read_and_decided(sign_in: SignIn, project: Project) -> None:
    page = sign_in("ada", java_script_enabled=False)
    page.goto(DESK)
    expect(page.locator(".diff mark").first).to_have_text("0.05")
    page.get_by_label("Reason", exact=True).fill("Looks like seed noise")
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_role("button", name="Undo my rejection")).to_be_visible()
