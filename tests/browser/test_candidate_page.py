"""The candidate's page: verdict and difference first, a line of checks, the change by its size, tabs, threads in the bar."""

import re

import pytest
from playwright.sync_api import Page, expect

from research_app.models import Candidate, Project, Thread, Verdict
from tests.browser.conftest import WIDE, SignIn
from tests.factories import FILES, make_candidate, make_project, make_user

pytestmark = pytest.mark.django_db(transaction=True)
DESK = "/projects/demo/candidates/1/"
PARTS = "".join(f"def part_{n}(x):\n    return x + {n}\n\n\n" for n in range(40))
MANY = [("parts.py", f"    return x + {n}\n", f"    return x * {n}\n") for n in range(2, 38, 2)]


def small(project: Project) -> Candidate:
    return make_candidate(project, effect=0.033, runs=3, verdict=Verdict.SOLID)


def top(page: Page, place: str) -> float:
    box = page.locator(place).first.bounding_box()
    assert box, place
    return box["y"]


def test_a_small_change_stands_below_the_verdict_in_the_first_screen_and_a_large_one_beside_it(sign_in: SignIn) -> None:
    project = make_project(files={**FILES, "parts.py": PARTS})
    small(project)
    make_candidate(project, edits=MANY, effect=0.02)
    page = sign_in(viewport=WIDE)
    page.goto(DESK)
    expect(page.locator("#curves .panel[data-drawn]")).to_be_visible()
    expect(page.locator("#curves-text")).to_contain_text("difference to the baseline")
    order = [".verdict-card", ".checks-line", ".diff-file", ".diff tr.added", "#decide footer"]
    assert sorted(order, key=lambda place: top(page, place)) == order
    assert abs(top(page, ".verdict-card") - top(page, "figure.curves")) < 2
    page.goto("/projects/demo/candidates/2/")
    diff, verdict = page.locator(".diff-file").first.bounding_box(), page.locator(".verdict-card").bounding_box()
    assert diff and verdict and diff["x"] + diff["width"] <= verdict["x"] and diff["width"] > 800
    page.evaluate("scrollTo(0, 1200)")
    expect(page.locator(".verdict-card")).to_be_in_viewport()


def test_each_check_unfolds_and_the_tabs_follow_the_address_the_keys_and_links(sign_in: SignIn, project: Project) -> None:
    small(project)
    page = sign_in()
    page.goto(f"{DESK}#events")
    expect(page.get_by_role("tab", name="Events")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#events")).to_be_visible()
    expect(page.locator("#scores")).to_be_hidden()
    page.keyboard.press("Tab")
    page.get_by_role("tab", name="Events").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#arms")).to_be_visible()
    expect(page).to_have_url(re.compile("#scores$"))
    page.get_by_role("link", name="all runs").click()
    expect(page.locator("#runs")).to_contain_text("seed 1")
    expect(page.get_by_role("tab", name="Runs")).to_have_attribute("aria-selected", "true")
    page.reload()
    expect(page.locator("#runs")).to_be_visible()
    for words, inside in (("Health", "gain is plausible"), ("Guards", "peak memory"), ("Tried before", "Nothing like it")):
        page.locator(".check-of > summary", has_text=words).click()
        expect(page.locator(".check-of[open] .unfolded", has_text=inside)).to_be_visible()
    expect(page.locator("#similar-count")).to_have_text("0")


def test_open_threads_are_counted_in_the_bar_with_a_link_to_each(sign_in: SignIn, project: Project) -> None:
    candidate = small(project)
    assert candidate.patch_set
    grace = make_user("grace")
    first = Thread.objects.begin(candidate.patch_set, "train.py", 8, "Why?", grace)
    whole = Thread.objects.begin(candidate.patch_set, "train.py", None, "All of it?", grace)
    Thread.objects.begin(candidate.patch_set, "train.py", 5, "Done", grace).settle(True, grace)
    page = sign_in()
    page.goto(DESK)
    bar = page.locator("#decide .unresolved")
    expect(bar).to_contain_text("2 open threads train.py:8, train.py")
    page.locator("[data-fold]").first.click()
    bar.get_by_role("link", name="train.py:8").click()
    expect(page.locator(f"#thread-{first.pk}")).to_be_in_viewport()
    whole.settle(True, grace)
    expect(bar).to_contain_text("1 open thread")


def test_without_a_script_everything_is_there_and_the_links_lead_to_it(sign_in: SignIn, project: Project) -> None:
    small(project)
    page = sign_in(java_script_enabled=False)
    page.goto(DESK)
    for place in ("#scores", "#runs", "#agents", "#events"):
        expect(page.locator(place)).to_be_visible()
    page.locator(".tab", has_text="Events").click()
    expect(page.locator("#events")).to_be_in_viewport()


def test_the_account_stays_in_the_window_at_every_width_and_a_chart_is_called_by_its_series(
    sign_in: SignIn, project: Project
) -> None:
    small(project)
    page = sign_in()
    page.goto(DESK)
    for width in (1440, 1246, 1100, 1024, 800, 390):
        page.set_viewport_size({"width": width, "height": 800})
        for place in ("[popovertarget=account]", "[data-theme-toggle]", "[data-help]"):
            box = page.locator(place).bounding_box()
            assert box and box["x"] >= 0 and box["x"] + box["width"] <= width, (place, width)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    page.set_viewport_size({"width": 1440, "height": 900})
    chart = page.get_by_role("application")
    expect(chart).to_have_attribute("aria-label", re.compile("^Validation loss, difference to the baseline. "))
    page.get_by_role("button", name="Train loss").click()
    expect(chart).to_have_attribute("aria-label", re.compile("^Train loss, difference to the baseline. "))
