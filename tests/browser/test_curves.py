"""Curves, comparisons and the project's charts in a real browser: every control, by mouse, by key and from a link."""

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from research_app.models import LandingState, Project, Run, SeriesChunk, Stage, State
from tests.browser.conftest import NARROW, SignIn
from tests.factories import make_candidate, make_device, make_landing, make_run

pytestmark = pytest.mark.django_db(transaction=True)
CANDIDATE = "/projects/demo/candidates/1/?show=values"
COMPARE = "/projects/demo/compare/"
DEEPER = [("train.py", "LAYERS = 3", "LAYERS = 4")]
END = "(plot) => plot._fullLayout?.xaxis.range[1]"
CROSSHAIR = """(panel) => { const plot = panel.querySelector(".plot"), axis = plot._fullLayout?.xaxis;
    return axis?.p2d(parseFloat(panel.querySelector(".crosshair").style.left) - plot.offsetLeft - axis._offset); }"""
SHIFTS = """() => { window.shifts = []; new PerformanceObserver((list) => { for (const each of list.getEntries())
    window.shifts.push([each.value, each.sources.map((source) => source.node?.id || source.node?.className)]); })
    .observe({ type: "layout-shift", buffered: false }); }"""


def drawn(page: Page, address: str, place: str = "#curves .panel[data-drawn]") -> None:
    page.goto(address)
    expect(page.locator(place).first).to_be_visible()


def ranges(page: Page, axis: str, panel: int = 0) -> list[float]:
    """What an axis of a panel shows now."""
    found: list[float] = page.evaluate(
        f"Array.from(document.querySelectorAll('#curves .plot')[{panel}]._fullLayout.{axis}.range, Number)"
    )
    return found


def points(page: Page) -> list[dict[str, Any]]:
    """The traces that are named, as the chart holds them."""
    told: list[dict[str, Any]] = json.loads(
        page.evaluate("JSON.stringify(document.querySelector('#curves .plot').data.map(({name, x, y}) => ({name, x, y})))")
    )
    return [trace for trace in told if trace.get("name")]


def options(page: Page) -> None:
    if page.locator("#curves-controls").is_hidden():
        page.get_by_role("button", name="Options").click()


def test_a_link_restores_the_whole_view(sign_in: SignIn, project: Project) -> None:
    make_candidate(project, runs=2)
    page = sign_in()
    drawn(page, CANDIDATE)
    options(page)
    page.get_by_label("Seeds").select_option("std")
    page.get_by_label("Smoothing").select_option("0.9")
    page.locator("[data-view=show]").select_option("both")
    page.get_by_label("clip outliers").uncheck()
    page.locator("#curves-axis").select_option("tokens")
    page.get_by_role("button", name="Train loss").click()
    expect(page.locator("#curves-text")).to_contain_text("Train loss, difference to the baseline, over tokens")
    expect(page).to_have_url(re.compile("series=train_loss"))
    expect(page.locator("#curves-note")).to_contain_text("Verdicts never read smoothed curves")
    told = page.locator("#curves-text").inner_text()
    again = sign_in("grace")
    drawn(again, page.url)
    expect(again.locator("#curves-text")).to_have_text(told)
    expect(again.get_by_label("Smoothing")).to_have_value("0.9")
    expect(again.locator("[data-view=show]")).to_have_value("both")
    expect(again.get_by_label("clip outliers")).not_to_be_checked()
    expect(again.locator("#curves-axis")).to_have_value("tokens")
    again.get_by_role("button", name="Reset").click()
    expect(again).to_have_url(re.compile("/candidates/1/$"))
    expect(again.locator("#curves-text")).to_contain_text("Validation loss, difference to the baseline, over step")


def test_zooming_asks_the_server_for_the_points_of_the_window(sign_in: SignIn, project: Project) -> None:
    candidate = make_candidate(project, edits=DEEPER, effect=None)
    steps = [float(step) for step in range(6_000)]
    values = [5.0 / (1 + step / 100) + (9.0 if step == 3_333 else step % 7 / 50) for step in range(6_000)]
    make_run(project.tip(), patch_set=candidate.patch_set, series={"val_loss": [steps, values]})
    page = sign_in()
    drawn(page, CANDIDATE)
    coarse = points(page)[-1]
    assert len(coarse["x"]) <= 1000
    assert 3333 in coarse["x"]  # the spike
    box = page.locator("#curves .draglayer .nsewdrag").first.bounding_box()
    assert box
    with page.expect_response(re.compile("curves.json.*from=")):
        page.mouse.move(box["x"] + box["width"] * 0.50, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.56, box["y"] + box["height"] / 2, steps=4)
        page.mouse.up()
    expect(page.locator("#curves-note")).to_contain_text("Zoomed")
    page.wait_for_function("() => document.querySelector('#curves .plot').data.at(-1).x[0] > 2000")
    fine = points(page)[-1]
    low, high = ranges(page, "xaxis")
    inside = [x for x in fine["x"] if low <= x <= high]
    assert len(inside) == pytest.approx(high - low, abs=2)  # every step that was logged
    again = sign_in("grace")
    drawn(again, page.url)
    assert ranges(again, "xaxis") == pytest.approx([low, high])
    page.locator("#curves .panel").press("0")
    page.wait_for_function("() => document.querySelector('#curves .plot').data.at(-1).x[0] < 100")
    assert "from=" not in page.url


def test_several_panels_share_one_crosshair_and_one_window(sign_in: SignIn, project: Project) -> None:
    make_candidate(project)
    page = sign_in()
    drawn(page, CANDIDATE)
    page.get_by_role("button", name="All", exact=True).click()
    panels = page.locator("#curves .panel")
    expect(panels).to_have_count(6)
    expect(panels.nth(1)).to_have_attribute("data-drawn", re.compile("train_loss"))
    box = panels.nth(0).locator(".nsewdrag").first.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for at in (0, 1):
        expect(panels.nth(at).locator(".crosshair")).to_be_visible()
    expect(panels.nth(1).locator(".curve-tip")).to_contain_text("baseline 0")
    first, second = page.evaluate(f"Array.from(document.querySelectorAll('#curves .panel'), {CROSSHAIR}).slice(0, 2)")
    assert first == pytest.approx(second, abs=3)  # steps
    panels.nth(0).press("+")
    expect(page).to_have_url(re.compile("from="))
    page.wait_for_function(
        f"() => new Set(Array.from(document.querySelectorAll('#curves .plot'), {END}).slice(0, 2)).size === 1"
    )


def test_a_chart_is_read_by_keys_and_by_screen_readers(sign_in: SignIn, project: Project) -> None:
    make_candidate(project)
    page = sign_in()
    drawn(page, CANDIDATE)
    chart = page.locator("#curves .panel")
    chart.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#curves-say")).to_contain_text(re.compile(r"step 16: baseline 0 \d\.\d+; C-1 \d\.\d+"))
    expect(page.locator("#curves .crosshair")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_text("As a table").click()
    expect(page.locator("#curves-table caption")).to_have_text("Validation loss, nats per token")
    expect(page.locator("#curves-table thead th")).to_have_text(["step", "baseline 0, n = 4", "C-1, n = 1"])
    expect(page.locator("#curves-table tbody tr")).to_have_count(12)


def test_curves_are_exported_as_pictures_and_as_points(sign_in: SignIn, project: Project) -> None:
    make_candidate(project, runs=2)
    page = sign_in()
    drawn(page, CANDIDATE)
    options(page)
    found = {}
    for kind in ("PNG", "SVG", "CSV"):
        with page.expect_download() as waiting:
            page.get_by_role("button", name=kind).click()
        assert waiting.value.suggested_filename.endswith(f"val_loss.{kind.lower()}")
        found[kind] = Path(waiting.value.path()).read_bytes()
    assert found["PNG"][:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", found["PNG"][16:24]) == (2400, 1440)
    assert b"<svg" in found["SVG"] and b"n = 4, mean, 95% interval" in found["SVG"]
    assert found["CSV"].decode().splitlines()[0] == "group,role,run,seed,step,val_loss"
    assert len(found["CSV"].decode().splitlines()) == 1 + 25 * 6


def test_outliers_are_clipped_from_the_view_and_said_to_be(sign_in: SignIn, project: Project) -> None:
    candidate = make_candidate(project, effect=None)
    values = [3.0 - step / 1000 + (40.0 if step == 900 else 0.0) for step in range(1_000)]
    series = {"val_loss": [[float(step) for step in range(1_000)], values]}
    make_run(project.tip(), patch_set=candidate.patch_set, series=series)
    page = sign_in()
    drawn(page, CANDIDATE)
    assert ranges(page, "yaxis")[1] < 10
    expect(page.locator("#curves-note")).to_contain_text("points lie outside the view")
    options(page)
    page.get_by_label("clip outliers").uncheck()
    page.wait_for_function("() => document.querySelector('#curves .plot')._fullLayout.yaxis.range[1] > 40")
    page.get_by_label("log y").check()
    page.wait_for_function("() => document.querySelector('#curves .plot')._fullLayout.yaxis.type === 'log'")


def test_a_live_update_moves_nothing_and_keeps_the_zoom(sign_in: SignIn, project: Project) -> None:
    candidate = make_candidate(project, stage=Stage.SCREENING, effect=None)
    series = {"val_loss": [[0.0, 100.0, 200.0], [3.0, 2.5, 2.4]]}
    run = make_run(project.tip(), patch_set=candidate.patch_set, state=State.RUNNING, progress=0.4, series=series)
    page = sign_in()
    drawn(page, f"{CANDIDATE}&from=50&to=250")
    expect(page.locator("#curves-text")).to_contain_text("C-1 · n = 1, one line: 3 points")
    page.evaluate(SHIFTS)
    SeriesChunk.objects.create(run=run, sequence=1, points={"val_loss": [[240.0], [2.2]]})
    Run.objects.filter(pk=run.pk).update(progress=0.5)
    expect(page.locator("#curves-text")).to_contain_text("one line: 4 points")
    assert ranges(page, "xaxis") == [50, 250]
    assert [
        shift for shift in page.evaluate("window.shifts") if "curve" in json.dumps(shift) or "panel" in json.dumps(shift)
    ] == []


def test_a_comparison_of_candidates_and_runs_is_told_apart_hidden_and_linked(sign_in: SignIn, project: Project) -> None:
    make_candidate(project, runs=2, hypothesis="<img src=x onerror=alert(1)> shorter warm-up")
    other = make_candidate(project, edits=DEEPER, effect=-0.01, stage=Stage.DROPPED)
    page = sign_in()
    page.goto(COMPARE)
    expect(page.get_by_role("link", name="the largest gains")).to_be_visible()
    page.get_by_label("Candidates and runs").fill(f"C-1, C-2, run {Run.objects.get(patch_set=other.patch_set).pk}")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#curves .panel[data-drawn]")).to_have_count(2)
    legend = page.locator("#curves-legend li")
    expect(legend).to_have_count(4)
    looks = page.evaluate(
        "document.querySelector('#curves .plot').data.filter(t => t.name).map(t => t.line.color + t.line.dash)"
    )
    assert len(set(looks)) == 4
    expect(page.locator("#constants")).to_contain_text("LAYERS")
    expect(page.locator("#scores")).to_contain_text("<img src=x onerror=alert(1)> shorter warm-up")
    page.locator("#curves-legend button", has_text="C-1").click(modifiers=["Shift"])
    expect(page.locator("#curves-legend button", has_text="C-1")).to_have_attribute("aria-pressed", "false")
    assert {trace["name"] for trace in points(page)} == {"baseline 0", "C-2", "C-2 seed 1"}
    again = sign_in("grace")
    drawn(again, page.url)
    assert {trace["name"] for trace in points(again)} == {"baseline 0", "C-2", "C-2 seed 1"}
    expect(again.locator("#scores tbody tr")).to_have_count(4)


def test_a_comparison_that_cannot_be_says_why(sign_in: SignIn, project: Project) -> None:
    page = sign_in()
    page.goto(f"{COMPARE}?c={','.join(map(str, range(1, 60)))}")
    expect(page.get_by_role("alert")).to_have_text("59 were asked for, at most 50 can be compared: leave out 9.")
    page.goto(f"{COMPARE}?items=C-7")
    expect(page.get_by_role("alert")).to_have_text("demo has no candidate C-7.")


def test_the_progress_chart_changes_its_measure_and_opens_a_candidate_by_key(sign_in: SignIn, project: Project) -> None:
    landed = make_candidate(project, effect=0.03, stage=Stage.LANDED)
    make_landing(landed, LandingState.LANDED)
    make_candidate(project, edits=DEEPER, effect=0.01)
    page = sign_in()
    drawn(page, "/projects/demo/", "#progress[data-drawn=score]")
    expect(page.locator("#progress .textpoint")).to_have_text(["C-1"])
    page.get_by_role("button", name="time to target").click()
    expect(page.locator("#progress[data-drawn=target]")).to_be_visible()
    expect(page.locator("#progress-note")).to_contain_text("with which baseline 0 ends")
    expect(page).to_have_url(re.compile("measure=target"))
    page.get_by_role("button", name="time saved").click()
    expect(page.locator("#progress-note")).to_contain_text("not run at other budgets yet")
    page.get_by_role("button", name="score", exact=True).click()
    expect(page.locator("#progress[data-drawn=score]")).to_be_visible()
    page.locator("#progress").focus()
    page.keyboard.press("End")
    expect(page.locator("#progress-say")).to_contain_text("C-2,")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/candidates/2/"))


def test_runs_that_begin_and_end_move_nothing_on_the_project_page(sign_in: SignIn, project: Project) -> None:
    device, other = make_device("box/train.cpu.0"), make_device("box/train.cpu.1")
    make_device("box/train.cpu.2", refusal="Its sandbox is too weak.")
    candidate = make_candidate(project, stage=Stage.SCREENING, effect=None)
    page = sign_in()
    drawn(page, "/projects/demo/", "#progress[data-drawn]")
    expect(page.locator("#training .idle")).to_have_count(2)
    expect(page.locator(".bar")).to_contain_text("0 of 2 devices busy")
    page.evaluate(SHIFTS)
    for seed, on in ((1, device), (2, other)):
        make_run(project.tip(), patch_set=candidate.patch_set, seed=seed, state=State.RUNNING, progress=0.4, device=on)
        expect(page.locator("#training .spark polyline")).to_have_count(seed)
    assert page.evaluate("window.shifts") == []
    expect(page.locator("#proposing")).to_contain_text("0 of 2 runs ended")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_of_curves_is_wider_than_a_telephone(sign_in: SignIn, project: Project, theme: str) -> None:
    make_candidate(project, runs=2)
    make_candidate(project, edits=DEEPER, effect=0.01)
    page = sign_in(viewport=NARROW, color_scheme=theme)
    for address, place in (
        (f"{COMPARE}?c=1,2&band=all&series=all", "#curves .panel[data-drawn]"),
        ("/projects/demo/", "#progress[data-drawn]"),
    ):
        drawn(page, address, place)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
