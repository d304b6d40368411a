"""A run that got away from the others of its tree is told from one that scatters."""

import pytest

from research_app.evidence.divergence import diverged
from research_app.evidence.noise import Noise

NOISE = Noise(sigma=0.001, low=0.0005, high=0.002, degrees=7)


def test_a_run_far_in_noise_and_far_in_score_diverged() -> None:
    assert diverged([1.05, 1.051, 1.049, 8.0], NOISE) == [3]
    assert diverged([1.05, 1.051, 1.049, 1.19], NOISE) == [3]


def test_a_run_far_in_noise_and_near_in_score_did_not() -> None:
    """40 standard deviations, and less than a tenth of the score."""
    assert diverged([1.05, 1.051, 1.049, 1.09], NOISE) == []


def test_a_run_far_in_score_and_near_in_noise_did_not() -> None:
    wide = Noise(sigma=0.05, low=0.03, high=0.1, degrees=7)
    assert diverged([1.0, 1.01, 0.99, 1.5], wide) == []


def test_a_run_that_got_away_on_the_good_side_is_none() -> None:
    assert diverged([1.05, 1.051, 1.049, 0.2], NOISE) == []
    assert diverged([0.5, 0.501, 0.499, 0.05], NOISE, lower_is_better=False) == [3]


@pytest.mark.parametrize(("scores", "noise"), [([1.0, 8.0], NOISE), ([1.0, 1.001, 8.0], None), ([1.0, 1.0, 1.0, 8.0], None)])
def test_few_runs_or_no_scatter_at_all_decide_nothing(scores: list[float], noise: Noise | None) -> None:
    assert diverged(scores, noise) == []


def test_without_known_noise_the_runs_own_scatter_must_do() -> None:
    assert diverged([1.0, 1.001, 0.999, 1.002, 0.998, 1.0005, 0.9995, 3.0], None) == [7]
