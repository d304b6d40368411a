"""The group-sequential boundary: published constants, closed forms, and its error rate under the loop's own looks."""

import numpy as np
import pytest
from scipy.stats import norm

from research_app.evidence.boundary import crossing_probabilities, wang_tsiatis
from research_app.evidence.policy import Policy

LOOP_INFORMATION = tuple(1 / (1 / max(4, n) + 1 / n) for n in range(1, 9))


@pytest.mark.parametrize(("looks", "published"), [(2, 2.178), (3, 2.289), (5, 2.413), (10, 2.555)])
def test_pocock_constants_agree_with_the_published_ones(looks: int, published: float) -> None:
    boundary = wang_tsiatis(0.05, looks, 0.0, two_sided=True)
    assert set(boundary) == {boundary[0]}
    assert round(boundary[0], 3) == published


@pytest.mark.parametrize(("looks", "published"), [(2, 1.977), (3, 2.004), (5, 2.040), (10, 2.087)])
def test_o_brien_fleming_constants_agree_with_the_published_ones(looks: int, published: float) -> None:
    boundary = wang_tsiatis(0.05, looks, 0.5, two_sided=True)
    assert round(boundary[-1], 3) == published
    assert boundary[0] == pytest.approx(boundary[-1] * looks**0.5)


def test_the_default_policy_has_the_boundary_that_the_method_states() -> None:
    assert [round(z, 2) for z in Policy().boundaries] == [4.22, 3.55, 3.21, 2.98, 2.82, 2.70, 2.59, 2.51]


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.2])
def test_a_single_look_is_the_ordinary_test(alpha: float) -> None:
    assert wang_tsiatis(alpha, 1, 0.25)[0] == pytest.approx(norm.isf(alpha), abs=1e-6)
    assert wang_tsiatis(alpha, 1, 0.25, two_sided=True)[0] == pytest.approx(norm.isf(alpha / 2), abs=1e-6)


@pytest.mark.parametrize(("alpha", "looks", "shape"), [(0.01, 8, 0.25), (0.05, 3, 0.0), (0.001, 20, 0.5), (0.3, 6, 0.1)])
def test_all_looks_together_err_at_alpha(alpha: float, looks: int, shape: float) -> None:
    boundary = wang_tsiatis(alpha, looks, shape)
    assert sum(crossing_probabilities(boundary, range(1, looks + 1))) == pytest.approx(alpha, rel=1e-4)


def test_the_looks_of_growing_reference_runs_err_at_most_at_alpha() -> None:
    rate = sum(crossing_probabilities(Policy().boundaries, LOOP_INFORMATION))
    assert 0.009 < rate <= 0.01


@pytest.mark.parametrize("look", range(1, 9))
def test_reference_runs_that_another_candidate_adds_in_between_cost_at_most_a_quarter_of_alpha(look: int) -> None:
    sizes = [max(4, n) + (500 if n >= look else 0) for n in range(1, 9)]
    information = [1 / (1 / size + 1 / n) for n, size in enumerate(sizes, start=1)]
    assert sum(crossing_probabilities(Policy().boundaries, information)) <= 0.0125


@pytest.mark.parametrize("drift", [0.0, 1.0, -0.5])
def test_crossing_probabilities_agree_with_simulated_runs(drift: float) -> None:
    """Reference and candidate runs are drawn one by one, as the loop makes them; 200,000 candidates."""
    rng = np.random.default_rng(5)
    paths, boundary = 200_000, (1.9, 1.7, 1.6, 1.5, 1.5, 1.4, 1.4, 1.3)
    reference, candidate = rng.standard_normal((2, paths, 8))
    candidate -= drift
    open_paths = np.ones(paths, dtype=bool)
    simulated = []
    for look in range(1, 9):
        size = max(4, look)
        effect = reference[:, :size].mean(axis=1) - candidate[:, :look].mean(axis=1)
        crosses = open_paths & (effect / np.sqrt(1 / size + 1 / look) >= boundary[look - 1])
        simulated.append(crosses.mean())
        open_paths &= ~crosses
    exact = crossing_probabilities(boundary, LOOP_INFORMATION, drift=drift)
    assert exact == pytest.approx(simulated, abs=5 * 0.5 / paths**0.5)


def test_two_sided_crossings_are_twice_the_one_sided_ones_where_boundaries_are_far_apart() -> None:
    levels = (1.0, 2.0, 3.0)
    boundary = (4.0, 4.0, 4.0)
    one = crossing_probabilities(boundary, levels)
    two = crossing_probabilities(boundary, levels, two_sided=True)
    assert two == pytest.approx([2 * p for p in one], rel=1e-4)


def test_a_boundary_is_computed_once() -> None:
    assert wang_tsiatis(0.0123, 8, 0.25) is wang_tsiatis(0.0123, 8, 0.25)
