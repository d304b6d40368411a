"""The first minutes in a browser: the empty inbox leads, lives without moving, and its steps tick, go and come back."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from research_app.models import Candidate, Evidence, Stage, Verdict
from tests.browser.conftest import NARROW, WIDE, SignIn
from tests.browser.test_accessibility import LOOKS, findings
from tests.factories import make_candidate, make_user
from tests.first_hour_samples import confirmed, first_minutes, measured, train_on

pytestmark = pytest.mark.django_db(transaction=True)
PLACES = """() => [...document.querySelectorAll("main a, main button")].map((each) => {
    const { x, y } = each.getBoundingClientRect();
    return [each.textContent.trim(), Math.round(x), Math.round(y)]; })"""


def photographed(page: Page, name: str) -> None:
    """Keep a picture where somebody wants to look at it."""
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize(("theme", "viewport"), LOOKS)
def test_the_empty_inbox_leads_and_axe_finds_nothing_in_it(sign_in: SignIn, theme: str, viewport: dict[str, int]) -> None:
    project = first_minutes()
    page = sign_in(viewport=viewport, color_scheme=theme)
    page.goto("/")
    expect(page.get_by_text("3 of 9 runs to the first verdict")).to_be_visible()
    expect(page.locator(".live-curves polyline")).to_have_count(2)
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    photographed(page, f"first-{theme}-{viewport['width']}")
    measured(project)
    confirmed(project)
    expect(page.get_by_text("6 of 10 runs to the verdict on C-2")).to_be_visible()
    photographed(page, f"confirming-{theme}-{viewport['width']}")


@pytest.mark.parametrize("viewport", [WIDE, NARROW])
def test_nothing_under_the_pointer_moves_while_runs_train(sign_in: SignIn, viewport: dict[str, int]) -> None:
    first_minutes()
    page = sign_in(viewport=viewport)
    page.goto("/")
    share = page.locator(".live-curves small").first
    expect(share).to_contain_text("50% trained")
    before = page.evaluate(PLACES)
    assert len(before) > 6
    for _ in range(3):
        said = share.inner_text()
        train_on()
        expect(share).not_to_have_text(said)
        assert page.evaluate(PLACES) == before


def test_a_step_ticks_itself_off_while_the_page_is_open(sign_in: SignIn) -> None:
    project = first_minutes()
    page = sign_in()
    page.goto("/")
    steps = page.get_by_role("region", name="First steps")
    expect(steps).to_contain_text("0 of 3 done")
    measured(project)
    make_candidate(project, stage=Stage.DROPPED, effect=-0.05)
    expect(steps).to_contain_text("1 of 3 done")
    expect(steps.get_by_role("listitem").first.get_by_role("img", name="done")).to_be_visible()


def test_every_step_leads_somewhere(sign_in: SignIn) -> None:
    first_minutes()
    page = sign_in()
    page.goto("/")
    steps = page.get_by_role("region", name="First steps")
    links = [link.get_attribute("href") for link in steps.get_by_role("link").all()]
    assert len(links) == 4
    for address in links:
        page.goto(str(address))
        anchor = str(address).partition("#")[2]
        expect(page.locator(f"#{anchor}" if anchor else "h1").first).to_be_in_viewport()


def test_the_steps_are_put_away_taken_back_and_found_again(sign_in: SignIn) -> None:
    first_minutes()
    ada = make_user("ada")
    page = sign_in(ada)
    page.goto("/")
    steps = page.get_by_role("region", name="First steps")
    steps.get_by_role("button", name="Put away").click()
    expect(steps).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(steps).to_be_visible()
    steps.get_by_role("button", name="Put away").click()
    page.reload()
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    page.get_by_role("button", name="Account: ada").click()
    page.get_by_role("button", name="Show the first steps").click()
    expect(steps).to_be_visible()


def test_the_lead_gives_way_to_a_decision_and_the_steps_stay(sign_in: SignIn) -> None:
    project = first_minutes()
    page = sign_in()
    page.goto("/")
    measured(project)
    make_candidate(project, effect=0.05, runs=3, verdict=Verdict.SOLID)
    expect(page.get_by_text("1 decision waits for you")).to_be_visible()
    expect(page.locator(".live-curves")).to_have_count(0)
    expect(page.get_by_role("region", name="First steps")).to_be_visible()
    photographed(page, "decision")
    assert Candidate.objects.filter(stage=Stage.READY).count() == Evidence.objects.filter(verdict=Verdict.SOLID).count() == 1
