"""Sigma of a project: sharp on honest runs, and nothing that one candidate can move."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from research_app.evidence.errors import BadSigma, TooFewRuns
from research_app.evidence.noise import Noise, pool
from research_app.evidence.pooling import Repeats, most_moved_by_all, most_moved_by_one, pool_guarded

Draw = list[float]


def baseline(rng: np.random.Generator, *sizes: int) -> list[Repeats]:
    return [Repeats("baseline", rng.standard_normal(size).tolist(), anchor=True) for size in sizes]


def honest(rng: np.random.Generator, count: int) -> list[Repeats]:
    """Candidates of the baseline's noise, each with 2 to 8 runs."""
    return [Repeats(f"C-{n}", rng.standard_normal(rng.integers(2, 9)).tolist()) for n in range(count)]


@pytest.mark.parametrize(("reference", "candidates"), [((8,), 0), ((8,), 3), ((8,), 40), ((8, 5, 5, 5), 40)])
def test_on_honest_runs_sigma_is_unbiased_and_its_interval_covers(reference: tuple[int, ...], candidates: int) -> None:
    rng = np.random.default_rng(1)
    noises = [pool_guarded([*baseline(rng, *reference), *honest(rng, candidates)]) for _ in range(1500)]
    variances = [noise.sigma**2 for noise in noises]
    assert np.mean(variances) == pytest.approx(1.0, abs=4 * float(np.std(variances)) / math.sqrt(1500))
    covered = np.mean([noise.low <= 1 <= noise.high for noise in noises])
    assert 0.93 <= covered <= 0.985
    named = np.mean([len(noise.left_out) for noise in noises])
    assert named <= 0.005 * max(candidates, 1)


def test_candidates_sharpen_sigma() -> None:
    rng = np.random.default_rng(2)
    alone = [pool_guarded(baseline(rng, 8)).sigma for _ in range(800)]
    helped = [pool_guarded([*baseline(rng, 8), *honest(rng, 20)]).sigma for _ in range(800)]
    assert np.std(helped) < 0.75 * np.std(alone)


def test_a_candidate_that_diverges_on_every_third_seed_is_left_out_and_named() -> None:
    rng = np.random.default_rng(3)
    reference = [1.05 + 0.002 * x for x in rng.standard_normal(8)]
    poison = [8.0 if seed % 3 == 0 else 1.03 + 0.002 * x for seed, x in enumerate(rng.standard_normal(9))]
    noise = pool_guarded([Repeats("baseline", reference, anchor=True), Repeats("C-1", poison)])
    assert noise.sigma == pytest.approx(pool([reference]).sigma)
    [left] = noise.left_out
    assert (left.group, left.runs) == ("C-1", 9) and left.times > 500


def test_a_candidate_whose_seeds_make_no_difference_does_not_lower_sigma() -> None:
    rng = np.random.default_rng(4)
    reference = baseline(rng, 8)
    deaf = [Repeats(f"C-{n}", [0.25] * 8) for n in range(50)]
    noise = pool_guarded([*reference, *deaf])
    assert noise.sigma == pytest.approx(pool([reference[0].scores]).sigma)
    assert len(noise.left_out) == 50 and noise.left_out[0].times == 0


scatter = st.floats(1e-9, 1e9)


@pytest.mark.slow
@given(st.integers(2, 30), st.lists(st.floats(-1, 1), min_size=2, max_size=12), scatter, st.integers(0, 10**6))
def test_no_candidate_can_move_sigma_by_more_than_the_stated_bound(
    runs: int, shape: list[float], scale: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    reference = baseline(rng, runs)
    before, after = pool_guarded(reference), pool_guarded([*reference, Repeats("C-1", [scale * x for x in shape])])
    assert after.sigma <= before.sigma * most_moved_by_one(runs - 1) * (1 + 1e-9)
    assert after.sigma >= before.sigma / most_moved_by_one(runs - 1)


@given(st.integers(4, 30), scatter, st.integers(0, 10**6))
def test_fifty_candidates_of_one_agent_cannot_move_sigma_beyond_the_stated_bound(runs: int, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference = baseline(rng, runs)
    many = [Repeats(f"C-{n}", (scale * rng.standard_normal(8)).tolist()) for n in range(50)]
    before, after = pool_guarded(reference), pool_guarded([*reference, *many])
    assert after.sigma <= before.sigma * most_moved_by_all(runs - 1) * (1 + 1e-9)
    assert after.sigma >= before.sigma / most_moved_by_all(runs - 1)


def test_the_bounds_are_small_after_calibration_and_shrink_with_the_baselines_runs() -> None:
    assert most_moved_by_one(7) < 1.2 and most_moved_by_all(7) < 1.65
    assert most_moved_by_one(60) < 1.05 and most_moved_by_all(60) < 1.5


def test_heavy_tails_of_candidates_move_it_little() -> None:
    rng = np.random.default_rng(6)
    wild = [
        pool_guarded([*baseline(rng, 8, 5, 5), *(Repeats(f"C-{n}", rng.standard_cauchy(6).tolist()) for n in range(30))])
        for _ in range(300)
    ]
    assert 0.8 < np.median([noise.sigma for noise in wild]) < 1.3
    plain = [pool([rng.standard_cauchy(6).tolist() for _ in range(30)]).sigma for _ in range(300)]
    assert np.median(plain) > 10, "which is what pooling everything would say"


def test_without_repeats_of_the_baseline_the_median_group_decides() -> None:
    rng = np.random.default_rng(7)
    estimates = []
    for _ in range(400):
        groups = honest(rng, 15)
        groups[3] = Repeats("C-3", [0.0, 1000.0, -500.0])
        estimates.append(pool_guarded(groups).sigma)
    assert np.median(estimates) == pytest.approx(1.0, rel=0.1)
    assert pool_guarded([Repeats("C-1", [1.0, 2.0, 3.0])]).sigma == pytest.approx(1.0)


def test_nothing_repeated_and_nothing_that_varies_are_named() -> None:
    with pytest.raises(TooFewRuns, match="no tree was run twice"):
        pool_guarded([Repeats("baseline", [1.0], anchor=True)])
    with pytest.raises(BadSigma, match="seed does not reach"):
        pool_guarded([Repeats("baseline", [1.0] * 8, anchor=True)])


@pytest.mark.parametrize("scale", [5e-320, 1e-300, 1e-160, 1.0, 1e90])
def test_sigma_of_tiny_and_huge_scores_is_neither_0_nor_infinite(scale: float) -> None:
    def scaled(scores: Draw) -> Draw:
        return [scale * score for score in scores]

    noise = pool_guarded(
        [Repeats("baseline", scaled([1.0, 2.0, 3.0, 4.0]), anchor=True), Repeats("C-1", scaled([1.0, 2.0, 4.0]))]
    )
    assert isinstance(noise, Noise) and 0 < noise.sigma < math.inf and noise.low <= noise.sigma <= noise.high
