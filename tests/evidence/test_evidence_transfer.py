"""Transfer: which gains survive a larger scale, and what the next rung is expected to show."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from research_app.evidence.errors import BadDesign, BadScore, BadSigma, TooFewRuns
from research_app.evidence.noise import Noise
from research_app.evidence.transfer import RungSaving, judge_rung, predict, shrunken_saving

SMALL = RungSaving("S", 1.0, 0.10, 0.02)


def test_a_gain_that_holds_passes_the_rung() -> None:
    verdict = judge_rung(Noise.known(0.01), [2.0] * 4, [1.95] * 4, saved=0.08, saved_below=0.09)
    assert verdict.passed
    assert verdict.difference.effect == pytest.approx(0.05)
    assert verdict.sentence.startswith("saves 8.0% here, 9.0% expected")


def test_a_gain_far_beyond_the_noise_has_a_small_p_value_and_not_none() -> None:
    verdict = judge_rung(Noise.known(0.01), [2.0] * 4, [1.75] * 4, saved=0.42, saved_below=0.62)
    assert 0 < verdict.difference.p_value < 1e-200
    assert judge_rung(Noise.known(0.01), [2.0] * 4, [1.95] * 4, 0.42, 0.62).difference.p_value == pytest.approx(
        math.erfc(5) / 2, rel=1e-9
    )


def test_a_gain_within_the_noise_of_the_rung_does_not_pass() -> None:
    verdict = judge_rung(Noise.known(0.1), [2.0] * 4, [1.95] * 4, saved=0.08, saved_below=0.09)
    assert not verdict.passed
    assert "within the noise of this rung" in verdict.sentence


def test_a_significant_gain_that_saves_less_than_half_of_the_promise_does_not_pass() -> None:
    verdict = judge_rung(Noise.known(0.01), [2.0] * 4, [1.95] * 4, saved=0.04, saved_below=0.09)
    assert not verdict.passed
    assert "less than half of the 9.0%" in verdict.sentence
    assert judge_rung(Noise.known(0.01), [2.0] * 4, [1.95] * 4, saved=0.045, saved_below=0.09).passed


def test_a_rung_of_a_metric_where_higher_is_better_is_the_mirror_image() -> None:
    lower = judge_rung(Noise.known(0.01), [2.0, 2.1], [1.95, 2.0], 0.08, 0.09)
    assert judge_rung(Noise.known(0.01), [-2.0, -2.1], [-1.95, -2.0], 0.08, 0.09, lower_is_better=False) == lower


def test_a_noisy_saving_is_shrunk_more() -> None:
    assert shrunken_saving(SMALL, tau=0.02) == pytest.approx(0.05)
    assert shrunken_saving(SMALL, tau=0.2) > 0.099
    with pytest.raises(BadSigma, match="tau is 0"):
        shrunken_saving(SMALL, tau=0.0)


def test_one_rung_predicts_itself_with_an_interval_that_widens_with_distance() -> None:
    near, far = predict([SMALL], 8.0), predict([SMALL], 64.0)
    assert (near.saved, far.saved) == pytest.approx((0.10, 0.10))
    assert near.standard_error == pytest.approx(math.hypot(0.02, 0.03 * math.log(8)))
    assert far.standard_error > near.standard_error
    assert predict([SMALL], 1.0).standard_error == pytest.approx(0.02)


def test_a_saving_that_fades_is_predicted_to_fade_further() -> None:
    prediction = predict([SMALL, RungSaving("M", 8.0, 0.06, 0.02)], 64.0)
    assert prediction.slope < 0
    assert prediction.saved < 0.06
    assert prediction.interval[0] < prediction.saved < prediction.interval[1]


def test_many_precise_rungs_outweigh_the_prior() -> None:
    rungs = [RungSaving(str(c), c, 0.2 - 0.02 * math.log(c), 1e-4) for c in (1.0, 4.0, 16.0)]
    prediction = predict(rungs, 64.0)
    assert prediction.saved == pytest.approx(0.2 - 0.02 * math.log(64), abs=1e-3)
    assert prediction.slope == pytest.approx(-0.02, abs=1e-4)


def test_the_interval_covers_the_next_rung_when_slopes_are_as_spread_as_assumed() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(2000):
        slope, level = rng.normal(0, 0.03), rng.normal(0.1, 0.1)
        rungs = [RungSaving(str(c), c, level + slope * math.log(c) + rng.normal(0, 0.02), 0.02) for c in (1.0, 8.0)]
        low, high = predict(rungs, 64.0).interval
        covered += low <= level + slope * math.log(64) <= high
    assert abs(covered / 2000 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000)


@given(st.floats(0.01, 100.0), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_the_unit_of_compute_changes_no_prediction(unit: float, one: float, other: float) -> None:
    rungs = [RungSaving("S", 1.0, one, 0.02), RungSaving("M", 8.0, other, 0.03)]
    moved = [RungSaving(rung.rung, rung.compute * unit, rung.saved, rung.standard_error) for rung in rungs]
    assert predict(moved, 64.0 * unit).saved == pytest.approx(predict(rungs, 64.0).saved, abs=1e-9)


@given(st.floats(-0.5, 0.5), st.floats(0.005, 0.2), st.floats(1.0, 100.0))
def test_another_rung_never_widens_the_prediction(saved: float, error: float, compute: float) -> None:
    more = [SMALL, RungSaving("M", compute, saved, error)]
    assert predict(more, 64.0).standard_error <= predict([SMALL], 64.0).standard_error * (1 + 1e-9)


def test_bad_rungs_are_named() -> None:
    with pytest.raises(TooFewRuns, match="prediction of a saving: 0 of 1"):
        predict([], 8.0)
    with pytest.raises(BadDesign, match="compute must be positive"):
        predict([RungSaving("S", 0.0, 0.1, 0.02)], 8.0)
    with pytest.raises(BadScore, match="saving score 1 is nan"):
        predict([RungSaving("S", 1.0, math.nan, 0.02)], 8.0)
    with pytest.raises(BadSigma):
        predict([RungSaving("S", 1.0, 0.1, 0.0)], 8.0)
    with pytest.raises(BadScore):
        judge_rung(Noise.known(0.01), [2.0], [1.9], math.nan, 0.1)
