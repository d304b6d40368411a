"""Curves as they are drawn: groups of seeds, axes, buckets with stable edges, at most 1,000 points a trace."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from research_app.web.shared.curves import (
    LEAST_POINTS,
    MAX_POINTS,
    Array,
    Group,
    Line,
    Logged,
    Picture,
    View,
    bucket_width,
    kept,
    names,
    on_axis,
    picture,
    smoothed,
)


def run(values: list[float], steps: list[float] | None = None, **more: list[float]) -> Logged:
    at = np.asarray(steps or range(len(values)), dtype=float)
    return {"val_loss": (at, np.asarray(values, dtype=float)), **{k: (at, np.asarray(v, dtype=float)) for k, v in more.items()}}


def base(*runs: Logged) -> Group:
    return Group("base", "baseline 0", "baseline", runs)


def mine(*runs: Logged) -> Group:
    return Group("candidate", "C-1", "candidate", runs, base="base")


def shown(*groups: Group, **view: object) -> Picture:
    return picture(groups, "val_loss", View(**view))  # type: ignore[arg-type]


def thin(y: Array, view: View | None = None, limit: int = MAX_POINTS) -> Array:
    """The x of the points that stay of a curve over 0, 1, 2, …"""
    return np.arange(len(y), dtype=float)[kept(np.arange(len(y), dtype=float), [y], view or View(), limit)]


def test_one_run_is_a_plain_line_without_a_band() -> None:
    (trace,) = shown(mine(run([3.0, 2.0, 1.0]))).traces
    assert trace == {"key": "candidate", "name": "C-1", "role": "candidate", "n": 1, "x": [0, 1, 2], "y": [3, 2, 1]}


@pytest.mark.parametrize(
    ("band", "half"), [("std", 3**0.5), ("se", 1.0), ("interval", 4.302653)], ids=["std", "standard error", "95% interval"]
)
def test_a_group_is_its_mean_with_the_band_that_was_asked_for(band: str, half: float) -> None:
    runs = [run([3.0, 1.0]), run([5.0, 1.0]), run([4.0, 4.0])]
    (trace,) = shown(base(*runs), band=band).traces
    assert trace["n"] == 3
    assert trace["y"] == [4.0, 2.0]
    assert trace["high"][1] == pytest.approx(2.0 + half, rel=1e-4)
    assert trace["low"][1] == pytest.approx(2.0 - half, rel=1e-4)


def test_every_run_can_be_drawn_with_its_seed() -> None:
    group = Group("base", "baseline 0", "baseline", [run([3.0, 1.0]), run([5.0, 2.0])], seeds=[7, 9])
    traces = shown(group, band="all").traces
    assert [(trace["seed"], trace["n"], trace["y"]) for trace in traces] == [(7, 2, [3.0, 1.0]), (9, 2, [5.0, 2.0])]


def test_runs_that_logged_at_different_steps_are_compared_where_all_of_them_have_come() -> None:
    runs = [run([4.0, 2.0, 0.0], [0, 10, 20]), run([4.0, 3.0], [0, 10]), run([2.0, 2.0], [5, 15])]
    (trace,) = shown(base(*runs)).traces
    assert trace["x"] == [5, 10]
    assert trace["y"][0] == pytest.approx((3.0 + 3.5 + 2.0) / 3, rel=1e-4)


def test_the_difference_is_taken_from_the_mean_of_the_baseline_at_the_same_place() -> None:
    groups = base(run([4.0, 2.0]), run([6.0, 2.0])), mine(run([4.0, 1.5]))
    below, trace = shown(*groups, difference=True).traces
    assert below["y"] == [0.0, 0.0]
    assert below["high"] == pytest.approx([2**0.5, 0.0], rel=1e-4)
    assert trace["y"] == [-1.0, -0.5]


def test_the_error_of_a_difference_holds_the_errors_of_both_sides() -> None:
    groups = base(run([4.0, 2.0]), run([6.0, 2.0])), mine(run([1.0, 1.0]), run([4.0, 1.0]))
    below, trace = shown(*groups, difference=True, band="se").traces
    assert "low" not in below
    assert trace["high"][0] - trace["y"][0] == pytest.approx((1.0 + 2.25) ** 0.5, rel=1e-4)
    welch = shown(*groups, difference=True, band="interval").traces[1]
    degrees = (1.0 + 2.25) ** 2 / (1.0**2 + 2.25**2)
    assert 1 < degrees < 2
    assert welch["high"][0] - welch["y"][0] > 4.303 * (1.0 + 2.25) ** 0.5  # wider than with two degrees of freedom


def test_a_group_without_its_baseline_has_no_difference() -> None:
    assert shown(mine(run([4.0, 1.5])), difference=True).traces == []


def test_smoothing_leaves_the_curve_as_logged_in_a_shadow() -> None:
    values = [4.0, 2.0, 3.0, 1.0]
    (trace,) = shown(mine(run(values)), smoothing=0.9).traces
    assert trace["raw"]["y"] == values
    assert trace["y"][0] == 4.0
    assert max(np.abs(np.diff(trace["y"]))) < max(np.abs(np.diff(values)))
    assert "raw" not in shown(mine(run(values))).traces[0]


@given(st.floats(-1e6, 1e6), st.sampled_from([0.6, 0.9, 0.99]), st.integers(1, 50))
def test_smoothing_leaves_a_constant_alone_from_its_first_point_on(value: float, weight: float, count: int) -> None:
    assert smoothed(np.full(count, value), weight) == pytest.approx(np.full(count, value), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("axis", "expected"), [("step", [0, 1, 2]), ("tokens", [10, 20, 40]), ("flops", [1, 2, 3]), ("seconds", [5, 6, 7])]
)
def test_the_axis_may_be_steps_tokens_flops_or_time(axis: str, expected: list[float]) -> None:
    found = on_axis(run([3.0, 2.0, 1.0], tokens=[10, 20, 40], flops=[1, 2, 3], seconds=[5, 6, 7]), "val_loss", axis)
    assert found is not None
    assert found[0].tolist() == expected


def test_a_run_without_that_axis_or_series_is_left_out() -> None:
    assert on_axis(run([1.0]), "val_loss", "tokens") is None
    assert on_axis(run([1.0]), "grad_norm", "step") is None
    assert shown(mine({})).traces == []


def test_values_that_are_not_finite_are_not_drawn() -> None:
    found = on_axis(run([1.0, float("nan"), float("inf"), 2.0]), "val_loss", "step")
    assert found is not None
    assert found[1].tolist() == [1.0, 2.0]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 20_000), st.integers(0, 10_000), st.integers(2, 20_000), st.booleans(), st.integers(LEAST_POINTS, MAX_POINTS)
)
def test_a_trace_never_has_more_points_than_allowed(count: int, start: int, span: int, log_x: bool, limit: int) -> None:
    x = np.arange(1, count + 1, dtype=float)
    for view in (View(log_x=log_x), View(log_x=log_x, start=float(start), end=float(start + span))):
        for columns in ([np.sin(x)], [np.sin(x), np.cos(x), x]):
            assert len(kept(x, columns, view, limit)) <= limit


@settings(max_examples=40, deadline=None)
@given(st.integers(2_000, 20_000), st.data())
def test_a_spike_is_never_lost(count: int, data: st.DataObject) -> None:
    place, height = data.draw(st.integers(0, count - 1)), data.draw(st.sampled_from([-9.0, 9.0]))
    values = np.random.default_rng(count).normal(size=count)
    values[place] = height
    (line,) = shown(mine({"val_loss": (np.arange(count, dtype=float), values)})).traces
    assert (line["x"][line["y"].index(height)], len(line["x"]) <= MAX_POINTS) == (place, True)
    quiet = {"val_loss": (np.arange(count, dtype=float), np.zeros(count))}
    (band,) = shown(base({"val_loss": (np.arange(count, dtype=float), values)}, quiet)).traces
    spread = (values / 2) + np.sign(height) * np.abs(values) / 2**0.5
    extreme = max(band["high"]) if height > 0 else min(band["low"])
    assert extreme == pytest.approx(spread.max() if height > 0 else spread.min(), rel=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(1_500, 9_000), st.integers(1, 9_000))
def test_what_is_drawn_stays_put_while_a_run_grows(before: int, more: int) -> None:
    y = np.random.default_rng(before).normal(size=before + more)
    early, late = thin(y[:before]), thin(y)
    buckets = MAX_POINTS // 2 - 2
    widths = bucket_width(before - 1, buckets), bucket_width(before + more - 1, buckets)
    assert widths[1] % widths[0] == 0  # the edges that are left are edges that were there
    settled = widths[1] * ((before - 1) // widths[1])  # all but the bucket that was not full
    assert set(late[late < settled]) <= set(early)
    if widths[0] == widths[1]:
        assert late[late < settled].tolist() == early[early < settled].tolist()


def test_a_window_is_cut_into_buckets_of_its_own_and_leaves_the_picture_at_both_ends() -> None:
    y = np.sin(np.arange(20_000) / 3)
    coarse, fine = thin(y), thin(y, View(start=5_000.0, end=5_400.0))
    assert fine[0] < 5_000 and fine[-1] > 5_400
    assert len(fine) == 403  # every point of the window, and one beyond each end
    assert len(coarse[(coarse >= 5_000) & (coarse <= 5_400)]) < 60


def test_a_logarithmic_axis_spends_its_points_evenly_along_what_is_seen() -> None:
    found = thin(np.random.default_rng(2).normal(size=100_000), View(log_x=True))
    assert (found < 1_000).sum() > 0.4 * len(found)


def test_clipping_leaves_out_the_first_drop_and_outliers_and_counts_them() -> None:
    values = [9.0] * 3 + list(np.linspace(2.0, 1.0, 997))
    values[600] = 50.0
    found = shown(mine(run(values)))
    assert found.clip is not None
    low, high = found.clip
    assert low < 1.0 and 1.7 < high < 2.0
    assert found.outside == sum(1 for value in values if not low <= value <= high)
    assert max(found.traces[0]["y"]) == 50.0  # nothing is taken out of the curve
    assert shown(mine(run([1.0, 1.0]))).clip is None


def test_many_traces_share_the_points_of_a_panel() -> None:
    groups = [Group(f"c{i}", f"C-{i}", "candidate", [run([float(i % 7) for i in range(3_000)])]) for i in range(100)]
    found = picture(groups, "val_loss", View())
    assert {len(trace["x"]) for trace in found.traces} == {min(len(found.traces[0]["x"]), 320)}


def test_known_series_come_first_and_axes_are_no_series() -> None:
    assert names(run([1.0], tokens=[1], zeta=[1], train_loss=[1])) == ["val_loss", "train_loss", "zeta"]


@pytest.mark.parametrize(
    "asked",
    [
        {"x": "inches"},
        {"band": "wide"},
        {"smooth": "3"},
        {"smooth": "much"},
        {"from": "9", "to": "3"},
        {"from": "nan", "to": "3"},
    ],
)
def test_a_view_that_is_not_on_offer_is_left_out(asked: dict[str, str]) -> None:
    assert View.of(asked) == View()


def test_a_view_is_read_from_an_address() -> None:
    asked = {"x": "flops", "band": "se", "smooth": "0.9", "log": "xy", "view": "difference", "from": "10", "to": "2e3"}
    assert View.of(asked) == View("flops", "se", 0.9, True, True, 10.0, 2000.0)


def test_a_line_without_points_in_common_with_its_baseline_is_not_drawn() -> None:
    groups = base(run([4.0, 2.0], [0, 10])), mine(run([4.0, 1.5], [20, 30]))
    assert [trace["role"] for trace in shown(*groups, difference=True).traces] == ["baseline"]
    assert Line({}, np.arange(2.0), np.arange(2.0)).told(View(), MAX_POINTS) == {"x": [0, 1], "y": [0, 1]}
