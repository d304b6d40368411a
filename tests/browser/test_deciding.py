"""Deciding in a real browser: two people at once, changes asked for and answered, undo, a page that is out of date, by keys."""

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import APIResponse, Page, Route, expect

from research_app.loop.land import land
from research_app.loop.review.review import Seen, approve, request_changes, withdraw
from research_app.models import Candidate, Landing, Project, Review, Stage, Verdict
from tests.browser.conftest import NARROW, WIDE, SignIn
from tests.factories import make_candidate, make_evidence, make_project, make_user
from tests.small_project import BETTER, drain, patch, small_project, submit

pytestmark = pytest.mark.django_db(transaction=True)
DESK = "/projects/demo/candidates/1/"
NEARER = ("LEARNING_RATE = 0.01", "LEARNING_RATE = 0.019")


@pytest.fixture
def project() -> Project:
    project = make_project()
    make_candidate(project, verdict=Verdict.SOLID)
    return project


def now(number: int = 1) -> Candidate:
    return Candidate.objects.with_evidence().get(number=number)


def at_desk(page: Page, address: str = DESK) -> Page:
    page.goto(address)
    expect(page.locator("#decide footer")).to_be_visible()
    return page


def until(page: Page, truth: str) -> None:
    """Wait for a truth of the page; Playwright's own way to wait would need a weaker content-security policy."""
    for _ in range(80):
        if page.evaluate(truth):
            return
        page.wait_for_timeout(100)
    pytest.fail(f"It never came true: {truth}")


def test_two_people_decide_at_once_and_each_is_told_what_happened(sign_in: SignIn, project: Project) -> None:
    windows = [at_desk(sign_in(name)) for name in ("ada", "grace")]
    for window in windows:  # neither waits for the other, and each is in a hurry
        window.evaluate("() => { const button = document.querySelector('#decide .go'); button?.click(); button?.click(); }")
    for window in windows:
        expect(window.locator("#decide").get_by_text("queued")).to_be_visible()
    assert Landing.objects.count() == Review.objects.count() == 1
    assert now().stage == Stage.LANDING


def test_one_rejects_while_the_other_types_and_nothing_typed_is_lost(sign_in: SignIn, project: Project) -> None:
    ada, grace = at_desk(sign_in("ada")), at_desk(sign_in("grace"))
    grace.get_by_label("Reason", exact=True).fill("I think it holds up")
    ada.get_by_label("Common reasons").select_option("Looks like seed noise")
    ada.get_by_role("button", name="Reject").click()
    expect(ada.get_by_role("button", name="Undo my rejection")).to_be_visible()
    expect(grace.get_by_role("alert")).to_contain_text("decided or moved on meanwhile")
    expect(grace.get_by_label("Reason", exact=True)).to_have_value("I think it holds up")
    grace.get_by_role("button", name="Approve for baseline").click()
    expect(grace.get_by_role("alert")).to_contain_text("it is rejected now. Looks like seed noise")
    grace.get_by_text("Show what is there now").first.click()
    expect(grace.locator("#decide")).to_contain_text("Closed by ada, who alone can withdraw that.")
    assert Review.objects.count() == 1


def test_a_rejection_is_undone_by_key_and_the_candidate_is_back_at_its_gate(sign_in: SignIn, project: Project) -> None:
    page = at_desk(sign_in())
    page.keyboard.press("x")
    page.keyboard.type("Looks like seed noise")
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_role("button", name="Undo my rejection")).to_be_visible()
    page.keyboard.press("z")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Approve for baseline")).to_be_visible()
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Undo my approval").click()
    expect(page.get_by_role("button", name="Approve for baseline")).to_be_visible()
    assert [vote.decision for vote in Review.objects.standing()] == [] and now().stage == Stage.READY


def test_an_approval_that_is_landing_cannot_be_undone(sign_in: SignIn, project: Project) -> None:
    page = at_desk(sign_in())
    page.get_by_role("button", name="Approve for baseline").click()
    expect(page.get_by_role("button", name="Undo my approval")).to_be_visible()
    landing = Landing.objects.get()
    assert Landing.claim(landing.pk, "worker")
    expect(page.get_by_role("button", name="Undo my approval")).to_have_count(0)


def test_with_two_approvals_needed_the_bar_says_who_approved_and_who_is_missing(sign_in: SignIn) -> None:
    project = make_project(gate={"baseline": {"approvals": 2}})
    make_candidate(project, verdict=Verdict.SOLID)
    make_user("grace")
    page = at_desk(sign_in("ada"))
    expect(page.locator("#decide")).to_contain_text("2 more approvals needed, from ada or grace.")
    page.get_by_role("button", name="Approve for baseline").click()
    expect(page.locator("#decide")).to_contain_text("Approved by ada. 1 more approval needed, from grace.")
    expect(page.get_by_role("button", name="Approve for baseline")).to_have_count(0)
    grace = at_desk(sign_in("grace"))
    grace.get_by_role("button", name="Approve for baseline").click()
    expect(page.locator("#decide")).to_contain_text("queued")
    assert now().why.startswith("Approved by ada and grace")


def test_an_answer_from_before_a_persons_action_is_not_shown_after_it(sign_in: SignIn, project: Project) -> None:
    page = at_desk(sign_in())
    held: list[tuple[Route, APIResponse]] = []

    def hold(route: Route) -> None:
        """The first renewal is answered by the server at once, and comes when it is let go."""
        asked = {name: value for name, value in route.request.headers.items() if name != "if-none-match"}
        if held or asked.get("hx-trigger") != "pulse":
            route.continue_()
        else:
            held.append((route, route.fetch(headers=asked)))

    page.get_by_label("Reason", exact=True).fill("Looks like seed noise")
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_role("button", name="Undo my rejection")).to_be_visible()
    page.route(f"**{now().get_absolute_url()}", hold)
    while not held:
        page.wait_for_timeout(50)
    page.get_by_role("button", name="Undo my rejection").click()
    expect(page.get_by_role("button", name="Approve for baseline")).to_be_visible()
    route, old = held[0]
    assert "Undo my rejection" in old.text()
    with page.expect_response(lambda answer: answer.request == route.request):
        route.fulfill(response=old)
    assert page.evaluate("document.getElementById('decide').innerText").count("Undo") == 0
    expect(page.get_by_role("button", name="Approve for baseline")).to_be_visible()


def test_a_page_that_is_out_of_date_says_what_changed_and_goes_on_with_what_was_typed(
    sign_in: SignIn, project: Project
) -> None:
    page = at_desk(sign_in())
    page.get_by_label("Reason", exact=True).fill("Against my instinct")
    candidate = now()
    candidate.evidence = make_evidence(candidate.revision, [2.1, 2.11, 2.12], Verdict.INCONCLUSIVE)
    candidate.save()
    expect(page.get_by_role("alert")).to_contain_text(
        "Since you opened this page, its evidence changed. Look again, then decide."
    )
    page.get_by_role("button", name="Approve for baseline").click()
    expect(page.get_by_role("alert").first).to_contain_text("its evidence changed")
    assert not Review.objects.exists()
    page.get_by_text("Show what is there now").first.click()
    expect(page.get_by_label("Reason", exact=True)).to_have_value("Against my instinct")
    expect(page.locator("#decide")).to_contain_text("The evidence does not say “solid”")
    expect(page.get_by_role("alert")).to_have_count(0)
    page.get_by_role("button", name="Approve for baseline").click()
    expect(page.locator("#decide")).to_contain_text("queued")
    vote = Review.objects.get()
    assert vote.against_verdict and vote.evidence_hash == Seen.of(now()).evidence_hash


def test_opening_pages_decides_and_prefetches_nothing(sign_in: SignIn, project: Project) -> None:
    page = sign_in()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    at_desk(page)
    page.mouse.move(700, 880)
    page.locator("#decide form button").first.hover()
    page.wait_for_timeout(600)  # a pulse comes meanwhile
    assert not [one for one in asked if one.startswith("POST") or re.search("/(approve|reject|undo|request-changes)/", one)]
    assert not Review.objects.exists()


def test_changes_are_asked_for_the_author_answers_with_patch_set_2_and_votes_before_it_are_void(
    sign_in: SignIn, tmp_path: Path
) -> None:
    small = small_project()
    candidate = submit(small, BETTER)
    small.config |= {"gate": {"baseline": {"approvals": 2}}}
    small.save(update_fields=["config"])
    desk = f"/projects/small/candidates/{candidate.number}/"
    ada = make_user("ada")
    approve(now(), ada, Seen.of(now()))
    grace = at_desk(sign_in("grace"), desk)
    grace.keyboard.press("x")
    grace.keyboard.type("Nearer to 0.019, please")
    grace.get_by_role("button", name="Request changes").click()
    expect(grace.locator("#decide")).to_contain_text("grace asked for changes: Nearer to 0.019, please")

    author = at_desk(sign_in(make_user("oscar", role="operator")), desk)
    author.get_by_text("Answer with patch set 2").click()
    author.get_by_label("Patch", exact=True).fill("this is no diff")
    author.get_by_label("What changed", exact=True).fill("As you asked")
    author.get_by_role("button", name="Send patch set 2").click()
    expect(author.get_by_role("alert")).to_be_visible()
    expect(author.get_by_label("What changed", exact=True)).to_have_value("As you asked")
    author.get_by_label("Patch", exact=True).fill(patch(NEARER))
    author.get_by_role("button", name="Send patch set 2").click()
    expect(author.locator("#decide")).to_contain_text("proposed")
    drain()
    assert now().revision.number == 2 and now().revision.submitted_by == User.objects.get(username="oscar")
    assert not Review.objects.standing().exists()
    assert set(Review.objects.values_list("void_reason", flat=True)) == {"Patch set 2 came."}

    for window in (grace, author):  # what they looked at is another diff now
        expect(
            window.get_by_text("its diff changed").or_(window.get_by_text("awaiting landing approval")).first
        ).to_be_visible()
    at_desk(grace, desk)
    expect(grace.locator("#decide")).to_contain_text("2 more approvals needed, from ada or grace.")
    expect(grace.locator("main")).to_contain_text("0.019")
    grace.get_by_role("button", name="Approve for baseline").click()
    expect(grace.locator("#decide")).to_contain_text("Approved by grace. 1 more approval needed, from ada.")
    approve(now(), ada, Seen.of(now()))
    land.land(small.pk, "worker")
    assert now().stage == Stage.LANDED


def test_a_new_patch_set_under_the_readers_eyes_cannot_be_approved_unseen(sign_in: SignIn) -> None:
    from research_app.loop.propose.revise import revise

    small = small_project()
    candidate = submit(small, BETTER)
    page = at_desk(sign_in("grace"), f"/projects/small/candidates/{candidate.number}/")
    page.get_by_label("Reason", exact=True).fill("Fine as it is")
    revise(now(), author="claude", patch=patch(NEARER))
    drain()
    expect(page.get_by_role("alert")).to_contain_text("its diff changed. Look again, then decide.")
    page.get_by_role("button", name="Approve for baseline").click()
    expect(page.get_by_role("alert").first).to_contain_text("its diff")
    assert not Review.objects.exists()
    page.get_by_text("Show what is there now").first.click()
    expect(page.locator("main")).to_contain_text("0.019")
    expect(page.get_by_label("Reason", exact=True)).to_have_value("Fine as it is")
    page.get_by_role("button", name="Approve for baseline").click()
    expect(page.locator("#decide")).to_contain_text("queued")


def test_a_request_for_changes_is_taken_back(sign_in: SignIn, project: Project) -> None:
    page = at_desk(sign_in("grace"))
    page.keyboard.press("b")
    expect(page.get_by_role("button", name="Request changes")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Say what should change")
    page.get_by_label("Reason", exact=True).fill("Smaller steps")
    page.get_by_role("button", name="Request changes").click()
    page.get_by_role("button", name="Undo my request").click()
    expect(page.get_by_role("button", name="Approve for baseline")).to_be_visible()
    withdrawn = Review.objects.get()
    assert withdrawn.void_reason == "Withdrawn by grace."


def test_a_viewer_reads_and_is_offered_no_decision(sign_in: SignIn, project: Project) -> None:
    page = at_desk(sign_in(make_user("vera", role="viewer")))
    expect(page.locator("#decide form")).to_have_count(0)
    expect(page.locator("#decide")).to_contain_text("ask an administrator for the role “reviewer”")


def test_a_reviewer_rejects_and_asks_for_changes_but_does_not_approve(sign_in: SignIn, project: Project) -> None:
    page = at_desk(sign_in(make_user("rita", role="reviewer")))
    expect(page.get_by_role("button", name="Approve for baseline")).to_have_count(0)
    expect(page.locator("#decide")).to_contain_text("Only people with the role “approver” approve at gate 2.")
    page.keyboard.press("a")
    expect(page.get_by_role("button", name="Reject")).to_be_focused()


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_every_state_of_the_bar_fits(sign_in: SignIn, project: Project, viewport: dict[str, int]) -> None:
    ada = make_user("ada")
    page = at_desk(sign_in(ada, viewport=viewport))
    for act in (lambda: None, lambda: request_changes(now(), ada, Seen.of(now()), "Why? " * 60), lambda: withdraw(now(), ada)):
        act()
        at_desk(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        height = page.locator("#decide footer").bounding_box()
        assert height and height["height"] < viewport["height"] * 0.35


def test_notices_of_the_browser_come_for_new_turns_only(sign_in: SignIn, project: Project) -> None:
    page = sign_in(permissions=["notifications"])
    page.add_init_script(
        """window.told = [];
        const later = window.setTimeout;
        window.setTimeout = (act, pause) => later(act, Math.min(pause, 200));
        class Told extends EventTarget { constructor(title, more) { super(); window.told.push([title, more.tag]); } }
        Told.permission = "granted"; Told.requestPermission = async () => "granted"; window.Notification = Told;"""
    )
    page.goto("/settings/notifications/")
    page.get_by_label("Show a browser notification when it is my turn").check()
    until(page, "localStorage.getItem('turns seen') !== null")
    assert page.evaluate("window.told") == []  # what waited before is no news
    make_candidate(project, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")], verdict=Verdict.SOLID)
    until(page, "window.told.length > 0")
    page.wait_for_timeout(500)
    assert [title for title, _ in page.evaluate("window.told")] == ["C-2 of demo awaits landing approval"]
    page.get_by_label("Show a browser notification when it is my turn").uncheck()
    assert page.evaluate("localStorage.getItem('turns wanted')") is None
