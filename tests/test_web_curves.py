"""Curves as they are drawn: groups of seeds, axes, buckets with stable edges, at most 1,000 points a trace."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from research_app.web.curves import MAX_POINTS, Group, bucket_width, extremes, mean_and_band, names, on_axis, traces


def series(values: list[float], steps: list[float] | None = None, **more: list[float]) -> dict[str, list[list[float]]]:
    at = steps or [float(i) for i in range(len(values))]
    return {"val_loss": [at, values], **{name: [at, logged] for name, logged in more.items()}}


def test_one_run_is_a_plain_line_without_a_band() -> None:
    (trace,) = traces([Group("C-1", "candidate", [series([3.0, 2.0, 1.0])])], "val_loss", "step")
    assert trace == {"name": "C-1", "role": "candidate", "n": 1, "x": [0, 1, 2], "y": [3, 2, 1]}


def test_a_group_is_the_mean_with_its_sample_standard_deviation() -> None:
    runs = [series([3.0, 1.0]), series([5.0, 1.0]), series([4.0, 4.0])]
    (trace,) = traces([Group("baseline 0", "baseline", runs)], "val_loss", "step")
    assert trace["n"] == 3
    assert trace["y"] == [4.0, 2.0]
    assert trace["high"] == pytest.approx([5.0, 2.0 + 3**0.5], rel=1e-4)
    assert trace["low"] == pytest.approx([3.0, 2.0 - 3**0.5], rel=1e-4)


def test_runs_that_logged_at_different_steps_are_compared_where_all_of_them_have_come() -> None:
    runs = [series([4.0, 2.0, 0.0], [0, 10, 20]), series([4.0, 3.0], [0, 10]), series([2.0, 2.0], [5, 15])]
    (trace,) = traces([Group("b", "baseline", runs)], "val_loss", "step")
    assert trace["x"] == [5, 10]
    assert trace["y"][0] == pytest.approx((3.0 + 3.5 + 2.0) / 3, rel=1e-4)


@pytest.mark.parametrize(
    ("axis", "expected"), [("step", [0, 1, 2]), ("tokens", [10, 20, 40]), ("flops", [1, 2, 3]), ("seconds", [5, 6, 7])]
)
def test_the_axis_may_be_steps_tokens_flops_or_time(axis: str, expected: list[float]) -> None:
    run = series([3.0, 2.0, 1.0], tokens=[10, 20, 40], flops=[1, 2, 3], seconds=[5, 6, 7])
    found = on_axis(run, "val_loss", axis)
    assert found is not None
    assert found[0].tolist() == expected


def test_a_run_without_that_axis_or_series_is_left_out() -> None:
    assert on_axis(series([1.0]), "val_loss", "tokens") is None
    assert on_axis(series([1.0]), "grad_norm", "step") is None
    assert traces([Group("C-1", "candidate", [{}])], "val_loss", "step") == []


def test_values_that_are_not_finite_are_not_drawn() -> None:
    found = on_axis(series([1.0, float("nan"), float("inf"), 2.0]), "val_loss", "step")
    assert found is not None
    assert found[1].tolist() == [1.0, 2.0]


@given(st.integers(min_value=1, max_value=20_000), st.integers(min_value=0, max_value=10))
def test_a_trace_never_has_more_than_a_thousand_points(count: int, start: int) -> None:
    x = np.arange(start, start + count, dtype=float)
    y = np.sin(x)
    assert len(extremes(x, y)[0]) <= MAX_POINTS
    assert len(mean_and_band([(x, y), (x, -y)])[0]) <= MAX_POINTS + 1


def test_thinning_keeps_the_highest_and_the_lowest_point() -> None:
    x = np.arange(50_000.0)
    y = np.zeros_like(x)
    y[12_345], y[33_333] = 9.0, -9.0
    kept_x, kept_y = extremes(x, y)
    assert (kept_y.max(), kept_y.min()) == (9.0, -9.0)
    assert {12_345.0, 33_333.0} <= set(kept_x)


def test_the_edges_of_buckets_stay_put_while_a_run_grows() -> None:
    x = np.arange(6_000.0)
    y = np.random.default_rng(1).normal(size=6_000)
    before, after = extremes(x[:5_000], y[:5_000])[0], extremes(x, y)[0]
    assert bucket_width(4_999, 499) == bucket_width(5_999, 499) == 16
    settled = before[before < 4_992]  # all but the bucket that was not full
    assert settled.tolist() == after[after < 4_992].tolist()


def test_known_series_come_first_and_axes_are_no_series() -> None:
    assert names([series([1.0], tokens=[1], zeta=[1], train_loss=[1])]) == ["val_loss", "train_loss", "zeta"]
