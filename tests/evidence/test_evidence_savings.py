"""Time saved at equal loss, and time to a target with seeds that never get there."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from research_app.evidence.errors import BadDesign, BadScore, BadSigma, TooFewRuns
from research_app.evidence.savings import (
    BUDGET_SHARES,
    budget_to_reach,
    faster_to_target,
    first_reach,
    fit_loss_curve,
    time_saved,
    time_to_target,
)

SIGMA = 0.002


def baseline_at(share: float) -> float:
    return 2.0 - 0.1 * math.log(share)


CURVE = fit_loss_curve(BUDGET_SHARES, [baseline_at(share) for share in BUDGET_SHARES], SIGMA)


def test_a_score_is_read_off_the_curve_as_the_budget_that_the_baseline_needs() -> None:
    saving = time_saved(CURVE, [baseline_at(1.25)] * 4, SIGMA)
    assert saving.needed == pytest.approx(1.25)
    assert saving.saved == pytest.approx(0.2)  # a budget of 1 instead of 1.25
    assert saving.interval[0] < 0.2 < saving.interval[1]
    assert not saving.extrapolated


def test_a_worse_candidate_costs_time_and_an_equal_one_saves_none() -> None:
    assert time_saved(CURVE, [baseline_at(0.8)], SIGMA).saved == pytest.approx(-0.25)
    assert time_saved(CURVE, [baseline_at(1.0)], SIGMA).saved == pytest.approx(0.0, abs=1e-12)


def test_a_score_outside_the_measured_budgets_says_so() -> None:
    assert time_saved(CURVE, [baseline_at(1.31)], SIGMA).extrapolated
    assert time_saved(CURVE, [baseline_at(0.79)], SIGMA).extrapolated


def test_a_target_outside_the_measured_budgets_says_so_on_either_side() -> None:
    for share, extrapolated in ((0.79, True), (0.81, False), (1.0, False), (1.24, False), (1.31, True)):
        reach = budget_to_reach(CURVE, [baseline_at(share)] * 4, SIGMA)
        assert reach.share == pytest.approx(share)
        assert reach.extrapolated is extrapolated, share


def test_more_seeds_narrow_the_interval_and_the_same_seed_repeats_it() -> None:
    few, many = (time_saved(CURVE, [baseline_at(1.2)] * runs, SIGMA) for runs in (1, 16))
    assert many.interval[1] - many.interval[0] < few.interval[1] - few.interval[0]
    assert time_saved(CURVE, [baseline_at(1.2)], SIGMA) == few


def test_the_interval_covers_the_true_saving_in_19_of_20_experiments() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(800):
        scores = [baseline_at(share) + rng.normal(0, 0.004) for share in BUDGET_SHARES]
        curve = fit_loss_curve(BUDGET_SHARES, scores, 0.004)
        candidate = [baseline_at(1.25) + rng.normal(0, 0.004) for _ in range(4)]
        low, high = time_saved(curve, candidate, 0.004, draws=800).interval
        covered += low <= 0.2 <= high
    assert abs(covered / 800 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 800)


@given(st.floats(0.5, 2.0), st.floats(-100, 100), st.floats(1e-3, 1e3))
def test_shift_scale_and_direction_of_the_metric_change_no_saving(share: float, shift: float, scale: float) -> None:
    plain = time_saved(CURVE, [baseline_at(share)] * 2, SIGMA, draws=50)
    losses = [baseline_at(b) for b in BUDGET_SHARES]
    moved = fit_loss_curve(BUDGET_SHARES, [shift + scale * loss for loss in losses], SIGMA * scale)
    assert time_saved(moved, [shift + scale * baseline_at(share)] * 2, SIGMA * scale, draws=50).saved == pytest.approx(
        plain.saved, abs=1e-6
    )
    mirrored = fit_loss_curve(BUDGET_SHARES, [-loss for loss in losses], SIGMA, lower_is_better=False)
    assert time_saved(mirrored, [-baseline_at(share)] * 2, SIGMA).saved == pytest.approx(plain.saved, abs=1e-9)


def test_a_loss_that_does_not_fall_with_the_budget_is_refused() -> None:
    with pytest.raises(BadDesign, match="not a measurable improvement"):
        fit_loss_curve(BUDGET_SHARES, [2.0, 2.001, 1.999, 2.0, 1.9995], SIGMA)
    rising = [4 - baseline_at(share) for share in BUDGET_SHARES]
    with pytest.raises(BadDesign, match="not a measurable improvement"):
        fit_loss_curve(BUDGET_SHARES, rising, SIGMA)
    assert fit_loss_curve(BUDGET_SHARES, rising, SIGMA, lower_is_better=False).slope == pytest.approx(0.1)


def test_bad_curve_input_is_named() -> None:
    with pytest.raises(TooFewRuns, match="loss against budget: 2 of 3"):
        fit_loss_curve([0.9, 1.0], [2.0, 1.9], SIGMA)
    with pytest.raises(BadDesign, match="3 or more shares of the budget"):
        fit_loss_curve([1.0, 1.0, 1.3], [2.0, 2.0, 1.9], SIGMA)
    with pytest.raises(BadDesign, match="5 budget shares and 3 scores"):
        fit_loss_curve(BUDGET_SHARES, [2.0, 1.9, 1.8], SIGMA)
    with pytest.raises(BadScore):
        time_saved(CURVE, [math.nan], SIGMA)
    with pytest.raises(BadSigma):
        time_saved(CURVE, [1.9], 0.0)


def test_a_curve_reaches_its_target_between_two_points() -> None:
    assert first_reach([0, 10, 20], [3.0, 2.0, 1.0], 1.5) == pytest.approx(15)
    assert first_reach([0, 10, 20], [3.0, 2.0, 1.0], 2.0) == pytest.approx(10)
    assert first_reach([0, 10, 20], [3.0, 2.0, 1.0], 0.9) is None
    assert first_reach([5, 10], [1.0, 0.5], 2.0) == 5
    assert first_reach([0, 10, 20], [0.1, 0.2, 0.4], 0.3, lower_is_better=False) == pytest.approx(15)


def test_a_curve_with_a_gap_reaches_its_target_at_the_next_point() -> None:
    assert first_reach([0, 10, 20], [3.0, math.nan, 1.0], 1.5) == 20


def test_seeds_that_stop_early_still_count() -> None:
    result = time_to_target([3.0, 5.0, None, 4.0, None, 2.0, 7.0, 8.0], [10.0] * 8)
    assert (result.reached, result.seeds, result.median) == (6, 8, 5.0)
    assert result.sentence == "6 of 8 seeds reach it, half of them by 5"
    low, high = result.interval
    assert low is not None
    assert low < 5.0
    assert high is None


def test_an_early_stop_is_not_taken_for_a_slow_seed() -> None:
    """Kaplan-Meier: the seed cut at 2 leaves 3 at risk, so half is reached at the second of them."""
    assert time_to_target([None, 3.0, 4.0, 5.0], [2.0, 9.0, 9.0, 9.0]).median == 4.0


def test_a_target_that_few_seeds_reach_has_no_median() -> None:
    assert time_to_target([3.0, None, None], [10.0] * 3).median is None
    nobody = time_to_target([None, None], [10.0] * 2)
    assert nobody.sentence == "0 of 2 seeds reach it"
    assert (nobody.median, nobody.interval) == (None, (None, None))


def test_the_faster_arm_has_the_small_p_value() -> None:
    slow, fast, limits = [8.0, 9.0, 9.5, None], [3.0, 4.0, 5.0, 4.5], [10.0] * 4
    assert faster_to_target(slow, limits, fast, limits) < 0.01
    assert faster_to_target(fast, limits, slow, limits) > 0.99
    assert faster_to_target([None], [10.0], [None], [10.0]) == 1.0
    assert faster_to_target([10.0], [10.0], [None], [10.0]) < 1.0, "reached with the last step"


def test_impossible_times_are_named() -> None:
    with pytest.raises(BadDesign, match=r"stopped at 10\.0 cannot have reached the target at 11\.0"):
        time_to_target([11.0], [10.0])
    with pytest.raises(BadDesign, match="2 times and 1 limits"):
        time_to_target([1.0, 2.0], [10.0])
    with pytest.raises(TooFewRuns):
        time_to_target([], [])
    with pytest.raises(BadDesign, match="one time for each point"):
        first_reach([1.0], [1.0, 2.0], 0.5)
