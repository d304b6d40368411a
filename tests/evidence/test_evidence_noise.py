"""Sigma with its uncertainty, and the checks that tell when it no longer holds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from research_app.evidence.errors import BadDesign, BadScore, BadSigma, TooFewRuns
from research_app.evidence.noise import (
    Noise,
    aa_check,
    calibrate,
    drift_between,
    drift_over_time,
    false_accept_rate,
    pool,
    prior_spread,
)

KNOWN = Noise(sigma=1.0, low=0.8, high=1.3, degrees=60)


def test_sigma_is_the_sample_standard_deviation_with_its_chi_squared_interval() -> None:
    noise = calibrate([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    assert noise.degrees == 7
    assert noise.sigma == pytest.approx(math.sqrt(6))
    assert noise.low == pytest.approx(math.sqrt(42 / 16.01276))  # published quantiles of chi-squared with 7 degrees
    assert noise.high == pytest.approx(math.sqrt(42 / 1.68987), rel=1e-5)


def test_the_interval_covers_the_true_sigma_in_19_of_20_calibrations() -> None:
    rng = np.random.default_rng(1)
    noises = [calibrate(rng.normal(3.0, 0.02, 8).tolist()) for _ in range(1500)]
    covered = np.mean([noise.low <= 0.02 <= noise.high for noise in noises])
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 1500)


def test_pooling_uses_the_spread_within_groups_only() -> None:
    noise = pool([[0.0, 2.0], [100.0, 102.0, 104.0], [7.0]])
    assert noise.degrees == 3
    assert noise.sigma == pytest.approx(math.sqrt((2 + 8) / 3))


def test_new_repeats_update_what_is_known() -> None:
    groups = [[0.1, 0.4, 0.2], [5.1, 5.0], [2.0, 2.2, 2.5, 2.1]]
    assert pool(groups[1:], known=pool(groups[:1])).sigma == pytest.approx(pool(groups).sigma)
    assert pool([], known=KNOWN).sigma == KNOWN.sigma


def test_more_repeats_narrow_the_relative_interval() -> None:
    widths = [calibrate(np.linspace(0, 1, runs).tolist()) for runs in (2, 4, 8, 16, 64)]
    ratios = [noise.high / noise.low for noise in widths]
    assert ratios == sorted(ratios, reverse=True)


def test_too_few_runs_and_equal_scores_are_named() -> None:
    with pytest.raises(TooFewRuns, match="calibration: 1 of 2"):
        calibrate([1.0])
    with pytest.raises(TooFewRuns, match="no tree was run twice"):
        pool([[1.0], [2.0]])
    with pytest.raises(BadSigma, match="the seed does not reach the training"):
        calibrate([0.3] * 8)
    with pytest.raises(BadScore, match="repeated score 2 is nan"):
        calibrate([1.0, math.nan, 2.0])


@given(st.lists(st.integers(-1000, 1000), min_size=3, max_size=10, unique=True), st.integers(-999, 999), st.integers(1, 99))
def test_sigma_ignores_shifts_and_mirrors_and_scales_with_the_scores(numbers: list[int], shift: int, scale: int) -> None:
    noise = calibrate(numbers)
    assert calibrate([number + shift for number in numbers]).sigma == pytest.approx(noise.sigma)
    assert calibrate([-number for number in reversed(numbers)]).sigma == pytest.approx(noise.sigma)
    scaled = calibrate([number * scale for number in numbers])
    assert (scaled.sigma, scaled.high) == pytest.approx((noise.sigma * scale, noise.high * scale))


def test_changes_that_do_nothing_keep_a_true_sigma_and_unmask_a_wrong_one() -> None:
    rng = np.random.default_rng(2)
    honest = [rng.normal(level, 1.0, 6).tolist() for level in (0.0, 4.0, 9.0, 2.0)]
    assert aa_check(KNOWN, honest).holds
    doubled = [(4 * np.asarray(group)).tolist() for group in honest]
    check = aa_check(KNOWN, doubled)
    assert not check.holds
    assert "measure sigma again" in check.sentence
    assert not aa_check(KNOWN, [(np.asarray(group) / 5).tolist() for group in honest]).holds
    with pytest.raises(TooFewRuns, match="no A/A candidate"):
        aa_check(KNOWN, [[1.0]])


def test_false_alarms_of_the_aa_check_are_as_rare_as_stated() -> None:
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(1500):
        noise = calibrate(rng.normal(size=8).tolist())
        alarms += not aa_check(noise, [rng.normal(size=5).tolist() for _ in range(3)]).holds
    assert alarms / 1500 < 0.01 + 4 * math.sqrt(0.01 / 1500)


def test_the_false_accept_rate_has_its_exact_interval() -> None:
    none = false_accept_rate(0, 60)
    assert (none.rate, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 60))
    every = false_accept_rate(60, 60)
    assert (every.high, every.low) == pytest.approx((1.0, 0.025 ** (1 / 60)))
    some = false_accept_rate(3, 10)
    assert (some.low, some.high) == pytest.approx((0.06674, 0.65245), abs=1e-5)
    with pytest.raises(BadDesign, match="2 of 1"):
        false_accept_rate(2, 1)
    with pytest.raises(BadDesign):
        false_accept_rate(0, 0)


def test_a_device_that_scores_differently_is_named() -> None:
    same = {"cpu-a": [0.1, -0.4, 0.3], "cpu-b": [0.2, 0.0, -0.6]}
    assert drift_between(KNOWN, same).holds
    check = drift_between(KNOWN, {**same, "gpu": [3.1, 2.7, 3.4]})
    assert not check.holds
    assert check.sentence.startswith("gpu lies +")
    with pytest.raises(TooFewRuns, match="at least 2 days, devices or hosts"):
        drift_between(KNOWN, {"cpu-a": [1.0]})


def test_a_steady_slide_of_one_trees_scores_is_seen() -> None:
    rng = np.random.default_rng(4)
    times = np.arange(20.0)
    noise = rng.normal(0, 1, 20)
    assert drift_over_time(times.tolist(), noise.tolist()).holds
    check = drift_over_time(times.tolist(), (noise + 0.3 * times).tolist())
    assert not check.holds
    assert "measure the reference runs again" in check.sentence
    with pytest.raises(BadDesign, match="same time"):
        drift_over_time([1.0] * 4, [1.0, 2.0, 3.0, 4.0])
    with pytest.raises(TooFewRuns):
        drift_over_time([1.0, 2.0], [1.0, 2.0])


def test_the_spread_of_true_effects_is_recovered_from_noisy_ones() -> None:
    rng = np.random.default_rng(6)
    errors = rng.uniform(0.2, 0.6, 4000)
    effects = rng.normal(0, 0.8, 4000) + rng.normal(0, errors)
    assert prior_spread(effects.tolist(), errors.tolist(), floor=0.1) == pytest.approx(0.8, rel=0.06)


def test_one_candidate_with_an_absurd_effect_does_not_set_the_prior_of_all_others() -> None:
    rng = np.random.default_rng(7)
    errors = [0.3] * 12
    honest = (rng.normal(0, 1.0, 12) + rng.normal(0, 0.3, 12)).tolist()
    before = prior_spread(honest, errors, floor=0.5)
    for absurd in (1e3, -1e6, 1e90):
        assert prior_spread([*honest, absurd], [*errors, 0.3], floor=0.5) < 1.5 * before
    assert prior_spread([1e9], [0.3], floor=1.0) < 3.2, "the first one of a project does not either"
    assert math.isfinite(prior_spread([1e-310, -1e90], [1e-310, 1e90], floor=1e-310))


def test_without_effects_beyond_noise_the_spread_is_the_floor() -> None:
    assert prior_spread([], [], floor=0.5) == 0.5
    assert prior_spread([0.1, -0.1], [1.0, 1.0], floor=0.25) == 0.25
    with pytest.raises(BadDesign, match="1 effects and 2 standard errors"):
        prior_spread([1.0], [1.0, 2.0], floor=0.1)
