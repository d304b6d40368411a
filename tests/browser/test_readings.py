"""“At step 1000” in a browser: typed, clicked or by key, each with ± and n, and a difference to any reference."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NARROW, SignIn
from tests.factories import make_candidate, make_project

pytestmark = pytest.mark.django_db(transaction=True)
DEEPER = [("train.py", "LAYERS = 3", "LAYERS = 4")]
COMPARE = "/projects/demo/compare/?c=1,2"


def two(sign_in: SignIn, **options: object) -> Page:
    project = make_project()
    make_candidate(project, effect=0.05, runs=3)
    make_candidate(project, edits=DEEPER, effect=-0.02, runs=2)
    window = sign_in(**options)
    window.goto(COMPARE)
    expect(window.locator("#curves .panel[data-drawn]").first).to_be_visible()
    return window


def last_step(window: Page) -> int:
    return int(window.evaluate("Math.max(...document.querySelector('#curves .plot').data.flatMap((trace) => trace.x))"))


def test_two_curves_are_compared_at_a_step_with_their_uncertainty(sign_in: SignIn) -> None:
    window = two(sign_in)
    step = last_step(window)
    window.locator("#curves-at").fill(str(step))
    rows = window.locator("#curves-readings tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.filter(has_text="C-1")).to_have_text(re.compile(r"C-1\d\.\d+ ± 0\.\d+3−0\.\d+ \[.+, .+\]"))
    expect(rows.filter(has_text="baseline 0")).to_contain_text("reference")
    expect(window).to_have_url(re.compile(f"at={step}"))
    window.locator("#curves-ref").select_option(label="C-2")
    expect(rows.filter(has_text="C-2")).to_contain_text("reference")
    expect(rows.filter(has_text="C-1")).to_contain_text("[")
    window.reload()
    expect(rows.filter(has_text="C-2")).to_contain_text("reference")
    window.get_by_role("button", name="Clear").click()
    expect(rows.first).to_be_hidden()
    expect(window).not_to_have_url(re.compile("at="))


def test_a_click_on_a_curve_reads_them_all_there_and_enter_does_by_key(sign_in: SignIn) -> None:
    window = two(sign_in)
    box = window.locator("#curves .nsewdrag").first.bounding_box()
    assert box
    window.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    window.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(window.locator("#curves-readings tbody tr")).to_have_count(3)
    by_click = float(window.locator("#curves-at").input_value())
    panel = window.locator("#curves .panel").first
    panel.focus()
    window.keyboard.press("End")
    window.keyboard.press("Enter")
    expect(window.locator("#curves-at")).not_to_have_value(f"{by_click:g}")
    assert float(window.locator("#curves-at").input_value()) == last_step(window)


def test_where_nothing_was_logged_it_says_so_and_a_telephone_cuts_nothing(sign_in: SignIn) -> None:
    window = two(sign_in, viewport=NARROW)
    window.locator("#curves-at").fill("999999999")
    expect(window.get_by_text("No run logged anything there.")).to_be_visible()
    assert window.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
