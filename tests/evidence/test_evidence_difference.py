"""One measure for better, worse and within the noise; intervals and p-values that hold with few degrees of freedom."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from research_app.evidence.difference import Direction, compare, direction_of, in_words, t_quantile
from research_app.evidence.digits import Gain
from research_app.evidence.errors import BadScore, BadSigma, TooFewRuns
from research_app.evidence.noise import Noise, calibrate
from research_app.evidence.policy import Policy, decide_confirmation

REPLICATES = 4000


def estimated(rng: np.random.Generator, degrees: int, sigma: float = 1.0) -> Noise:
    """Sigma as measured with so many degrees of freedom."""
    return calibrate((sigma * rng.standard_normal(degrees + 1)).tolist())


@pytest.mark.parametrize("degrees", [3, 4, 8, 30])
@pytest.mark.parametrize("weight", [0.0, 8.0, math.inf])
def test_95_percent_intervals_cover_95_percent_with_few_degrees_of_freedom(degrees: int, weight: float) -> None:
    rng = np.random.default_rng(degrees)
    covered, below, above = 0, 0, 0
    for _ in range(REPLICATES):
        baseline, candidate = rng.standard_normal(4).tolist(), rng.standard_normal(3).tolist()
        found = compare(baseline, candidate, estimated(rng, degrees), weight=weight)
        covered += found.interval[0] <= 0 <= found.interval[1]
        below += found.p_value < 0.05
        above += found.p_harm < 0.05
    assert 0.93 <= covered / REPLICATES <= 0.97
    assert below / REPLICATES <= 0.06 and above / REPLICATES <= 0.06


@pytest.mark.parametrize("degrees", [3, 4, 8, 30])
def test_a_confirmation_covers_and_errs_as_stated_with_few_degrees_of_freedom(degrees: int) -> None:
    rng, policy = np.random.default_rng(degrees), Policy()
    covered, solid = 0, 0
    for _ in range(REPLICATES):
        baseline, candidate = rng.standard_normal((2, 5)).tolist()
        found = decide_confirmation(policy, estimated(rng, degrees), baseline, candidate, 1.0)
        covered += found.interval[0] <= 0 <= found.interval[1]
        solid += found.solid
    assert 0.93 <= covered / REPLICATES <= 0.97
    assert solid / REPLICATES < policy.confirm_alpha + 0.015


def test_without_any_known_noise_the_arms_own_spread_covers_as_well() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(REPLICATES):
        found = compare(rng.standard_normal(3).tolist(), rng.standard_normal(3).tolist(), None)
        covered += found.interval[0] <= 0 <= found.interval[1]
        assert found.degrees == 4
    assert 0.93 <= covered / REPLICATES <= 0.97


def test_an_interval_of_few_degrees_is_wider_than_the_normal_one() -> None:
    assert t_quantile(math.inf) == pytest.approx(1.959964)
    assert t_quantile(4) == pytest.approx(2.776445)


def test_three_runs_do_not_give_an_absurd_p_value() -> None:
    """A rung whose sigma has 4 degrees of freedom: 25 of them away is p = 8e-6, not 1e-103."""
    found = compare([2.0] * 3, [1.8] * 3, Noise.known(0.01, 4))
    assert found.effect / found.standard_error == pytest.approx(24.5, abs=0.1)
    assert 1e-6 < found.p_value < 1e-4


def test_the_direction_is_that_of_the_interval_and_nothing_else() -> None:
    assert direction_of(0.1, 0.3) is Direction.BETTER
    assert direction_of(-0.3, -0.1) is Direction.WORSE
    assert direction_of(-0.1, 0.3) is Direction.UNCLEAR
    assert direction_of(0.0, 0.3) is Direction.UNCLEAR
    assert direction_of(None, None) is Direction.UNCLEAR


def test_harm_is_said_as_harm_with_its_size_and_interval() -> None:
    assert in_words(Gain(-0.042, 0.0015, -0.045, -0.039)) == "worse: −0.0420, 95% interval −0.0450 … −0.0390"
    assert in_words(Gain(0.042, 0.0015, 0.039, 0.045)).startswith("better: +0.0420, 95% interval +0.0390")
    assert in_words(Gain(0.001, 0.002, -0.003, 0.005)).startswith(
        "better or worse cannot be told: +0.0010, 95% interval −0.0030"
    )


finite = st.floats(-1e6, 1e6)
arm = st.lists(finite, min_size=2, max_size=6)


@given(arm, arm, st.floats(1e-6, 1e6), st.floats(3, 100))
def test_swapping_the_arms_swaps_better_and_worse(
    baseline: list[float], candidate: list[float], sigma: float, degrees: float
) -> None:
    noise = Noise.known(sigma, degrees)
    there, back = compare(baseline, candidate, noise), compare(candidate, baseline, noise)
    mirrored = compare([-x for x in baseline], [-x for x in candidate], noise, lower_is_better=False)
    assert (back.effect, back.p_value) == pytest.approx((-there.effect, there.p_harm))
    assert mirrored == there
    swapped = {Direction.BETTER: Direction.WORSE, Direction.WORSE: Direction.BETTER, Direction.UNCLEAR: Direction.UNCLEAR}
    assert back.direction is swapped[there.direction]


@given(
    st.lists(st.floats(0.5, 2), min_size=2, max_size=6),
    st.lists(st.floats(0.5, 2), min_size=2, max_size=6),
    st.integers(-320, 99),
)
def test_scores_of_any_finite_size_give_finite_figures(baseline: list[float], candidate: list[float], power: int) -> None:
    """Squares of 1e-200 are 0 and those of 1e200 infinite: neither may reach the evidence."""
    scale = float(f"1e{power}")
    base, mine = [score * scale for score in baseline], [score * scale for score in candidate]
    sigma = max(0.01 * scale, 5e-324)
    for weight in (0.0, 8.0):
        found = compare(base, mine, Noise.known(sigma, 7), weight=weight)
        figures = (found.effect, found.sigma, found.standard_error, *found.interval, found.p_value, found.p_harm)
        assert all(math.isfinite(figure) for figure in figures)


def test_what_is_no_score_is_refused_by_name() -> None:
    noise = Noise.known(1.0)
    for score in (math.nan, math.inf, 1e200, -1e308):
        with pytest.raises(BadScore, match="candidate score 2"):
            compare([1.0], [1.0, score], noise)
    with pytest.raises(TooFewRuns, match="neither arm repeats a run"):
        compare([1.0], [1.0], None)
    with pytest.raises(BadSigma):
        compare([1.0, 1.0], [2.0, 2.0], None)
