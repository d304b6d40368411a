"""The comparison: colours that stay, the difference to any reference, one curve alone, sorted values, a strip, full screen."""

import math
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from research_app.models import Series
from tests.browser.conftest import SignIn
from tests.factories import make_candidate, make_project, make_run

pytestmark = pytest.mark.django_db(transaction=True)
DEEPER = [("train.py", "LAYERS = 3", "LAYERS = 4")]
WIDER = [("train.py", "WIDTH = 96", "WIDTH = 128"), ("train.py", "WARMUP = 0.05", "WARMUP = 0.04")]
COMPARE = "/projects/demo/compare/?c=1,2,3"


def three(sign_in: SignIn, address: str = COMPARE) -> Page:
    project = make_project()
    make_candidate(project, effect=0.05, runs=3)
    make_candidate(project, edits=DEEPER, effect=-0.02, runs=2)
    make_candidate(project, edits=WIDER, effect=0.01, runs=2)
    window = sign_in()
    window.goto(address)
    expect(window.locator("#curves .panel[data-drawn]").first).to_be_visible()
    return window


def lines(window: Page, panel: int = 0) -> dict[str, Any]:
    """The lines of a panel by name: colour, dash, y."""
    script = """(at) => document.querySelectorAll('#curves .plot')[at].data
        .filter(t => t.name).map(t => [t.name, t.line.color, t.line.dash, t.y])"""
    return {name: (colour, dash, y) for name, colour, dash, y in window.evaluate(script, panel)}


def test_each_candidate_has_its_colour_on_every_page_and_the_baseline_is_dashed(sign_in: SignIn) -> None:
    window = three(sign_in)
    drawn = lines(window)
    assert drawn["baseline 0"][1] == "dash" and {drawn[name][1] for name in ("C-1", "C-2", "C-3")} == {"solid"}
    assert len({colour for colour, _, _ in drawn.values()}) == 4
    dot = "(dot) => getComputedStyle(dot).backgroundColor"
    beside = window.locator("#scores .own-dot").nth(1).evaluate(dot)
    window.goto("/projects/demo/candidates/2/")
    expect(window.locator("#curves .panel[data-drawn]")).to_be_visible()
    assert lines(window)["C-2"][0] == drawn["C-2"][0]
    assert window.locator("h1 .own-dot").evaluate(dot) == beside
    window.goto("/projects/demo/compare/?c=2")  # alone and in any order
    expect(window.locator("#curves .panel[data-drawn]").first).to_be_visible()
    assert lines(window)["C-2"][0] == drawn["C-2"][0]


def test_the_difference_stands_below_the_values_to_any_reference_and_one_curve_is_seen_alone(sign_in: SignIn) -> None:
    window = three(sign_in)
    expect(window.locator("#curves .panel[data-drawn]")).to_have_count(2)
    expect(window.locator("#curves-legend")).to_contain_text("n = 3, mean, 95% interval")
    assert set(lines(window, 1)["baseline 0"][2]) == {0}
    window.locator("#curves-ref").select_option(label="C-2")
    window.wait_for_function(
        "() => document.querySelectorAll('#curves .plot')[1].data.find(t => t.name === 'C-2').y.every(y => y === 0)"
    )
    assert lines(window, 1)["baseline 0"][2][-1] < 0
    expect(window.locator("#curves-text")).to_contain_text("difference to C-2")
    only = window.locator("#curves-legend button", has_text="C-1")
    only.click()
    for panel in (0, 1):
        assert set(lines(window, panel)) == {"C-1"}
    expect(only).to_have_attribute("aria-pressed", "true")
    only.click()
    assert set(lines(window)) == {"baseline 0", "C-1", "C-2", "C-3"}
    expect(window).not_to_have_url(re.compile("hide="))


def test_the_pointer_tells_all_values_sorted_and_the_strip_and_full_screen_work(sign_in: SignIn) -> None:
    window = three(sign_in)
    box = window.locator("#curves .nsewdrag").first.bounding_box()
    assert box
    window.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    rows = window.locator("#curves .panel").first.locator(".curve-tip li")
    expect(rows).to_have_count(4)
    expect(rows.first).to_have_text(re.compile(r"\S+\d\.\d+ ± 0\.\d+n \d"))
    values = [float(text.split(" ±")[0]) for text in rows.locator("b").all_inner_texts()]
    assert values == sorted(values)
    strip = window.locator("#curves-overview").bounding_box()
    assert strip
    window.mouse.move(strip["x"] + strip["width"] * 0.5, strip["y"] + 20)
    window.mouse.down()
    window.mouse.move(strip["x"] + strip["width"] * 0.8, strip["y"] + 20, steps=4)
    window.mouse.up()
    expect(window).to_have_url(re.compile("from=.*to="))
    begin = float(window.get_by_role("slider", name="Begin").get_attribute("aria-valuenow") or 0)
    window.get_by_role("slider", name="Begin").press("ArrowLeft")
    expect(window.get_by_role("slider", name="Begin")).not_to_have_attribute("aria-valuenow", f"{begin:g}")
    window.get_by_role("button", name="Full screen").click()
    window.wait_for_function("() => document.fullscreenElement?.matches('.curves')")
    window.get_by_role("button", name="Full screen").click()
    window.wait_for_function("() => !document.fullscreenElement")


def test_constants_are_drawn_against_effects_and_beside_each_other(sign_in: SignIn) -> None:
    window = three(sign_in)
    scatter, parallel = window.locator("[data-scatter]"), window.locator("[data-parallel]")
    expect(scatter).to_have_attribute(
        "aria-label", re.compile(r"Effect in .+ against .+C-1: 0\.0\d+ \[.+baseline 0|Effect in .+baseline 0: 0")
    )
    window.locator("[data-knob]").select_option(label="WARMUP")
    expect(scatter).to_have_attribute("aria-label", re.compile("WARMUP 0.02, C-1: "))
    expect(scatter.locator(".points path")).to_have_count(4)
    expect(parallel.locator(".scatterlayer .trace")).to_have_count(4)
    expect(parallel).to_have_attribute("aria-label", re.compile("LAYERS"))


def test_what_is_no_number_is_a_gap_with_a_mark_and_said(sign_in: SignIn) -> None:
    project = make_project()
    candidate = make_candidate(project, effect=None)
    values = [3.0, 2.8, math.nan, math.inf, 2.4, 2.3]
    run = make_run(project.tip(), patch_set=candidate.patch_set, series={})
    Series.of(run.pk, "val_loss", [0.0, 16.0, 32.0, 48.0, 64.0, 80.0], values).save()
    window = sign_in()
    window.goto("/projects/demo/compare/?c=1")
    expect(window.locator("#curves .panel[data-drawn]").first).to_be_visible()
    assert lines(window)["C-1"][2] == [3.0, 2.8, None, 2.4, 2.3]
    expect(window.locator("#curves-note")).to_contain_text("× marks where no number was logged (C-1 seed 1: NaN)")
    expect(window.locator("#curves .annotation-text").first).to_have_text("×")
    expect(window.locator("#curves-text")).to_contain_text("C-1 seed 1: NaN from 32 to 48.")
