"""The decision policy: each step, its bad input, and what must not change a decision."""

import math
from dataclasses import replace
from fractions import Fraction
from random import Random
from statistics import fmean

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from research_app.evidence.errors import BadPolicy, BadScore, BadSigma, TooFewRuns, TooManyRuns
from research_app.evidence.noise import Noise
from research_app.evidence.policy import Decision, Policy, decide, decide_confirmation

POLICY = Policy()
KNOWN = replace(POLICY, sigma_weight=math.inf)
REFERENCE = [0.0] * 4
FIVE = [0.0] * 5


def test_a_first_run_that_gains_too_little_is_dropped() -> None:
    assert decide(POLICY, 1.0, REFERENCE, [-0.79]).step == "drop"
    assert decide(POLICY, 1.0, REFERENCE, [-0.81]).step == "run"


def test_from_the_second_run_on_the_drop_rule_is_stricter() -> None:
    assert decide(POLICY, 1.0, REFERENCE, [-0.89, -0.89]).step == "drop"
    assert decide(POLICY, 1.0, REFERENCE, [-0.91, -0.91]).step == "run"


def test_a_crossed_boundary_leads_to_confirmation() -> None:
    decision = decide(POLICY, 1.0, REFERENCE, [-3.1, -3.1])
    assert decision.step == "confirm"
    assert decision.effect == pytest.approx(3.1)
    assert decision.standard_error == pytest.approx(math.sqrt(1 / 4 + 1 / 2))
    assert decision.z == pytest.approx(decision.effect / decision.standard_error)
    assert decision.boundary == POLICY.boundaries[1]
    assert decision.runs_needed == POLICY.confirm_runs


def test_an_open_case_says_how_many_runs_would_cross_the_boundary() -> None:
    decision = decide(POLICY, 1.0, REFERENCE, [-2.2])
    assert (decision.step, decision.runs_needed) == ("run", 3)
    later = 1 + decision.runs_needed
    assert decide(POLICY, 1.0, REFERENCE, [-2.2] * later).step == "confirm"
    assert decide(POLICY, 1.0, REFERENCE, [-2.2] * (later - 1)).step == "run"


def test_the_fifth_run_needs_a_fifth_baseline_run() -> None:
    assert decide(POLICY, 1.0, REFERENCE, [-1.0] * 3).reference_runs_needed == 4
    assert decide(POLICY, 1.0, REFERENCE, [-1.0] * 4).reference_runs_needed == 5


def test_eight_runs_without_a_decision_are_inconclusive_and_say_what_would_settle_it() -> None:
    decision = decide(POLICY, 1.0, [0.0] * 8, [-1.0] * 8)
    assert decision.step == "inconclusive"
    total = 8 + decision.runs_needed
    assert decision.reference_runs_needed == total
    assert 1.0 / math.sqrt(2 / total) >= POLICY.boundaries[-1] > 1.0 / math.sqrt(2 / (total - 1))


def test_many_reference_runs_make_fewer_further_runs_settle_it() -> None:
    small = decide(POLICY, 1.0, [0.0] * 8, [-0.91] * 8)
    large = decide(POLICY, 1.0, [0.0] * 40, [-0.91] * 8)
    assert large.step == small.step == "inconclusive"
    assert large.runs_needed < small.runs_needed
    total = 8 + large.runs_needed
    assert 0.91 / math.sqrt(1 / 40 + 1 / total) >= POLICY.boundaries[-1]
    assert large.reference_runs_needed == 40


def test_a_found_gain_is_not_dropped_for_being_smaller_than_the_drop_rule() -> None:
    policy = replace(POLICY, n_max=40, drop=0.8)
    assert decide(policy, 1.0, [0.0] * 40, [-0.7] * 40).step == "confirm"


def test_too_few_reference_runs_are_named_with_what_to_run() -> None:
    with pytest.raises(TooFewRuns, match="reference runs of the baseline: 3 of 4 runs have a score; run 1 more"):
        decide(POLICY, 1.0, [0.0] * 3, [-1.0])
    with pytest.raises(TooFewRuns, match="candidate: 0 of 1"):
        decide(POLICY, 1.0, REFERENCE, [])


def test_more_runs_than_looks_are_refused() -> None:
    with pytest.raises(TooManyRuns, match="9 runs, the policy stops at 8"):
        decide(POLICY, 1.0, [0.0] * 9, [-1.0] * 9)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_refused_in_either_arm(score: float) -> None:
    with pytest.raises(BadScore, match="candidate score 2"):
        decide(POLICY, 1.0, REFERENCE, [-1.0, score])
    with pytest.raises(BadScore, match="baseline score 4"):
        decide(POLICY, 1.0, [0.0, 0.0, 0.0, score], [-1.0])
    with pytest.raises(BadScore):
        decide_confirmation(POLICY, Noise.known(1.0), FIVE, [-1.0, -1.0, -1.0, -1.0, score], 1.0)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf])
def test_a_sigma_that_is_not_positive_is_refused(sigma: float) -> None:
    with pytest.raises(BadSigma, match="must be positive"):
        decide(POLICY, sigma, REFERENCE, [-1.0])


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("alpha", 0.0),
        ("alpha", math.nan),
        ("n_max", 0),
        ("n_max", 2.5),
        ("drop", 0.0),
        ("shape", 0.9),
        ("reference_runs", 100),
        ("sigma_weight", 0.0),
    ],
)
def test_a_policy_setting_outside_its_range_is_named(setting: str, value: float) -> None:
    with pytest.raises(BadPolicy, match=f"{setting} is {value}"):
        replace(POLICY, **{setting: value})  # type: ignore[arg-type]


def test_with_sigma_as_known_confirmation_is_the_z_test() -> None:
    error = math.sqrt(2 / 5)
    critical = 1.475791  # one-sided 0.07
    assert decide_confirmation(KNOWN, Noise.known(1.0), FIVE, [-(critical + 0.001) * error] * 5, 1.0).solid
    result = decide_confirmation(KNOWN, Noise.known(1.0), FIVE, [-(critical - 0.001) * error] * 5, 1.0)
    assert not result.solid
    assert (result.sigma, result.standard_error) == (1.0, error)
    assert result.p_value == pytest.approx(0.07, abs=5e-4)


def test_confirming_runs_that_scatter_more_than_sigma_says_need_a_larger_gain() -> None:
    calm, wild = [-1.2, -1.1, -1.0, -0.9, -0.8], [-5.0, -3.0, -1.0, 1.0, 3.0]
    assert decide_confirmation(POLICY, Noise.known(1.0), FIVE, calm, 1.0).solid
    refused = decide_confirmation(POLICY, Noise.known(1.0), FIVE, wild, 1.0)
    assert not refused.solid
    assert refused.sigma == pytest.approx(math.sqrt((8 + 40) / 16))  # (w sigma² + squares) / (w + m - 2)
    assert decide_confirmation(KNOWN, Noise.known(1.0), FIVE, wild, 1.0).solid


def test_the_confirmation_errs_as_stated_even_when_sigma_is_an_estimate() -> None:
    """Sigma from 9 runs weighs exactly its 8 degrees of freedom, so the t-test is exact."""
    rng = np.random.default_rng(1)
    solid = inside = 0
    for _ in range(4000):
        sigma = rng.standard_normal(9).std(ddof=1)
        baseline, candidate = rng.standard_normal((2, 5)).tolist()
        result = decide_confirmation(POLICY, Noise.known(sigma), baseline, candidate, 1.0)
        solid += result.solid
        inside += result.interval[0] <= 0 <= result.interval[1]
    assert abs(solid / 4000 - 0.07) < 4 * math.sqrt(0.07 * 0.93 / 4000)
    assert abs(inside / 4000 - 0.95) < 4 * math.sqrt(0.05 * 0.95 / 4000)


def test_confirmation_fails_when_the_gate_shard_disagrees() -> None:
    assert decide_confirmation(POLICY, Noise.known(1.0), FIVE, [-3.0] * 5, 1.0, gate_effect=0.4).solid
    refused = decide_confirmation(POLICY, Noise.known(1.0), FIVE, [-3.0] * 5, 1.0, gate_effect=-0.4)
    assert not refused.solid
    assert refused.same_sign is False


def test_the_shown_effect_is_shrunk_by_the_spread_of_true_effects() -> None:
    error = math.sqrt(2 / 5)
    result = decide_confirmation(KNOWN, Noise.known(1.0), FIVE, [-2.0] * 5, tau=error)
    assert result.effect == pytest.approx(2.0)
    assert result.shrunk_effect == pytest.approx(1.0)  # tau = SE: half of it stays
    assert result.interval == pytest.approx((2.0 - 1.959964 * error, 2.0 + 1.959964 * error))
    low, high = result.shrunk_interval
    assert ((low + high) / 2, (high - low) / 2) == pytest.approx((1.0, 1.959964 * error * math.sqrt(0.5)))


def test_without_a_known_spread_nothing_is_shrunk() -> None:
    result = decide_confirmation(POLICY, Noise.known(1.0), FIVE, [-2.0] * 5, tau=math.inf)
    assert result.shrunk_effect == result.effect
    assert result.shrunk_interval == result.interval
    with pytest.raises(BadSigma, match="tau is 0"):
        decide_confirmation(POLICY, Noise.known(1.0), FIVE, [-2.0] * 5, tau=0.0)


def test_a_confirmation_with_too_few_runs_is_refused() -> None:
    with pytest.raises(TooFewRuns, match="candidate arm of the confirmation: 4 of 5"):
        decide_confirmation(POLICY, Noise.known(1.0), FIVE, [-1.0] * 4, 1.0)


scores = st.integers(-4096, 4096).map(lambda number: number / 256)
sigmas = st.integers(1, 1024).map(lambda number: number / 128)
arms = st.integers(1, 8).flatmap(
    lambda runs: st.tuples(st.lists(scores, min_size=max(4, runs), max_size=12), st.lists(scores, min_size=runs, max_size=runs))
)


def away_from_thresholds(sigma: float, decision: Decision, runs: int) -> bool:
    """Whether rounding in the last place cannot turn the decision."""
    return (
        abs(decision.z - decision.boundary) > 1e-9
        and abs(decision.effect / sigma - POLICY.drop_below(runs)) > 1e-9
        and decision.step != "inconclusive"
    )


def assert_same(a: Decision, b: Decision, scale: float = 1.0) -> None:
    assert (a.step, a.reference_runs_needed, a.boundary) == (b.step, b.reference_runs_needed, b.boundary)
    assert b.effect == pytest.approx(a.effect * scale, rel=1e-9, abs=1e-9 * scale)
    assert b.standard_error == pytest.approx(a.standard_error * scale)
    assert b.z == pytest.approx(a.z, rel=1e-6, abs=1e-9)


@given(arms, sigmas, st.randoms(use_true_random=False))
def test_the_order_of_the_runs_changes_nothing(arms: tuple[list[float], list[float]], sigma: float, random: Random) -> None:
    baseline, candidate = arms
    shuffled = random.sample(baseline, len(baseline)), random.sample(candidate, len(candidate))
    assert decide(POLICY, sigma, baseline, candidate) == decide(POLICY, sigma, *shuffled)


@given(arms, sigmas, st.integers(-(10**6), 10**6))
def test_shifting_every_score_changes_nothing(arms: tuple[list[float], list[float]], sigma: float, shift: int) -> None:
    baseline, candidate = arms
    decision = decide(POLICY, sigma, baseline, candidate)
    assume(away_from_thresholds(sigma, decision, len(candidate)))
    assert_same(decision, decide(POLICY, sigma, [x + shift for x in baseline], [x + shift for x in candidate]))


@given(arms, sigmas, st.fractions(Fraction(1, 10**6), 10**6))
def test_scaling_scores_and_sigma_together_scales_the_effect_alone(
    arms: tuple[list[float], list[float]], sigma: float, factor: Fraction
) -> None:
    baseline, candidate = arms
    scale = float(factor)
    decision = decide(POLICY, sigma, baseline, candidate)
    assume(away_from_thresholds(sigma, decision, len(candidate)))
    scaled = decide(POLICY, sigma * scale, [x * scale for x in baseline], [x * scale for x in candidate])
    assert_same(decision, scaled, scale)


@given(arms, sigmas)
def test_a_metric_where_higher_is_better_is_the_mirror_image(arms: tuple[list[float], list[float]], sigma: float) -> None:
    baseline, candidate = arms
    mirrored = [-x for x in baseline], [-x for x in candidate]
    assert decide(POLICY, sigma, baseline, candidate) == decide(POLICY, sigma, *mirrored, lower_is_better=False)


@given(st.lists(st.tuples(scores, scores), min_size=5, max_size=8), sigmas)
def test_swapping_the_arms_of_a_confirmation_turns_its_sign(pairs: list[tuple[float, float]], sigma: float) -> None:
    baseline, candidate = (list(arm) for arm in zip(*pairs, strict=True))
    there = decide_confirmation(POLICY, Noise.known(sigma), baseline, candidate, sigma)
    back = decide_confirmation(POLICY, Noise.known(sigma), candidate, baseline, sigma)
    assert back.effect == -there.effect
    assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]))
    assert back.p_value == pytest.approx(1 - there.p_value)
    assert not (there.solid and back.solid)


confirming = st.lists(scores, min_size=5, max_size=12)


@given(confirming, confirming, scores, scores)
def test_with_sigma_as_known_more_runs_always_narrow_the_interval(
    baseline: list[float], candidate: list[float], one: float, other: float
) -> None:
    before = decide_confirmation(KNOWN, Noise.known(1.0), baseline, candidate, 1.0)
    for after in (
        decide_confirmation(KNOWN, Noise.known(1.0), [*baseline, one], candidate, 1.0),
        decide_confirmation(KNOWN, Noise.known(1.0), baseline, [*candidate, other], 1.0),
    ):
        assert width(after.interval) < width(before.interval)
        assert width(after.shrunk_interval) < width(before.shrunk_interval)


@given(confirming, confirming, sigmas, st.floats(-1, 1))
def test_only_a_surprising_run_can_widen_the_interval(
    baseline: list[float], candidate: list[float], sigma: float, surprise: float
) -> None:
    """A run within one sigma of its arm's mean is no surprise, and narrows it."""
    before = decide_confirmation(POLICY, Noise.known(sigma), baseline, candidate, 1.0)
    run = fmean(candidate) + surprise * before.sigma
    after = decide_confirmation(POLICY, Noise.known(sigma), baseline, [*candidate, run], 1.0)
    assert width(after.interval) < width(before.interval)


@given(confirming, confirming, sigmas, st.integers(-(10**4), 10**4), st.sampled_from([0.01, 1.0, 300.0]))
def test_a_confirmation_ignores_shift_scale_and_direction(
    baseline: list[float], candidate: list[float], sigma: float, shift: int, scale: float
) -> None:
    plain = decide_confirmation(POLICY, Noise.known(sigma), baseline, candidate, sigma)
    moved = [[(score + shift) * scale for score in arm] for arm in (baseline, candidate)]
    other = decide_confirmation(POLICY, Noise.known(sigma * scale), moved[0], moved[1], sigma * scale)
    assert other.p_value == pytest.approx(plain.p_value, rel=1e-5, abs=1e-12)
    assert other.interval == pytest.approx([end * scale for end in plain.interval], rel=1e-5, abs=1e-9 * scale)
    assert other.shrunk_effect == pytest.approx(plain.shrunk_effect * scale, rel=1e-5, abs=1e-9 * scale)
    low, high = ([-score for score in arm] for arm in (baseline, candidate))
    assert decide_confirmation(POLICY, Noise.known(sigma), low, high, sigma, lower_is_better=False) == plain


@given(arms, sigmas, st.integers(1, 2048).map(lambda number: number / 256))
def test_a_better_candidate_is_never_judged_worse(arms: tuple[list[float], list[float]], sigma: float, gain: float) -> None:
    order = {"drop": 0, "run": 1, "inconclusive": 1, "confirm": 2}
    baseline, candidate = arms
    before = decide(POLICY, sigma, baseline, candidate)
    after = decide(POLICY, sigma, baseline, [score - gain for score in candidate])
    assert order[after.step] >= order[before.step]
    if before.step == after.step and before.step != "confirm":
        assert after.runs_needed <= before.runs_needed


def width(interval: tuple[float, float]) -> float:
    return interval[1] - interval[0]


@pytest.mark.parametrize(("setting", "low", "high"), [("n_max", 1, 64), ("reference_runs", 1, 64), ("confirm_runs", 1, 64)])
def test_a_policy_setting_may_be_all_of_its_range(setting: str, low: int, high: int) -> None:
    for value in (low, high):
        assert getattr(replace(POLICY, **{setting: value}), setting) == value
    for value in (low - 1, high + 1):
        with pytest.raises(BadPolicy, match=f"{setting} is {value}: it must lie between {low} and {high}"):
            replace(POLICY, **{setting: value})
