"""Stack designs: orthogonal, complete, and able to tell what nobody would miss."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from research_app.evidence.errors import BadDesign, BadSigma, TooFewRuns
from research_app.evidence.stacking import check_bundle, design, hadamard, leave_one_out, main_effects

NAMES = [f"change {number}" for number in range(20)]


@pytest.mark.parametrize("order", [1, 2, 4, 8, 12, 16, 20, 24, 32, 44, 48, 64])
def test_hadamard_matrices_are_orthogonal_with_a_first_row_and_column_of_ones(order: int) -> None:
    matrix = hadamard(order)
    assert matrix is not None
    assert set(matrix.ravel().tolist()) <= {-1, 1}
    assert (matrix @ matrix.T == order * np.eye(order)).all()
    assert (matrix[0] == 1).all()
    assert (matrix[:, 0] == 1).all()


@pytest.mark.parametrize("order", [3, 6, 10, 28])
def test_orders_that_cannot_be_built_are_passed_over(order: int) -> None:
    assert hadamard(order) is None


def test_twenty_changes_take_48_runs_folded_and_24_unfolded() -> None:
    assert len(design(NAMES).runs) == 48
    assert len(design(NAMES, folded=False).runs) == 24
    assert len(design(NAMES, folded=False, least_runs=32).runs) == 32


@given(st.integers(2, 40), st.booleans())
def test_every_change_is_on_in_half_of_the_runs_and_with_every_other_in_a_quarter(count: int, folded: bool) -> None:
    names = [str(number) for number in range(count)]
    stack = design(names, folded=folded)
    for one, other in itertools.pairwise(names):
        assert sum(one in run for run in stack.runs) * 2 == len(stack.runs)
        assert sum(one in run and other in run for run in stack.runs) * 4 == len(stack.runs)
    assert stack.runs[0] == frozenset(names)
    assert (frozenset() in stack.runs) == folded or not folded


def test_repeated_or_single_changes_are_refused() -> None:
    with pytest.raises(BadDesign, match="at least 2 different changes"):
        design(["a"])
    with pytest.raises(BadDesign, match="at least 2 different changes"):
        design(["a", "a"])


TRUTH = {name: 0.1 * (index % 5) for index, name in enumerate(NAMES)}


def test_main_effects_are_recovered_exactly_without_noise() -> None:
    stack = design(NAMES)
    scores = {number: 3.0 - sum(TRUTH[change] for change in run) for number, run in enumerate(stack.runs)}
    effects = main_effects(stack, scores, sigma=0.1)
    assert {effect.change: effect.effect for effect in effects} == pytest.approx(TRUTH)
    assert [effect.effect for effect in effects] == sorted((effect.effect for effect in effects), reverse=True)
    assert effects[0].standard_error == pytest.approx(2 * 0.1 / math.sqrt(48))
    higher = main_effects(stack, {number: -score for number, score in scores.items()}, 0.1, lower_is_better=False)
    assert [effect.effect for effect in higher] == pytest.approx([effect.effect for effect in effects])


def test_the_fold_over_frees_main_effects_from_interactions() -> None:
    """Every pair of changes interacts; without the fold-over that leaks into main effects."""
    rng = np.random.default_rng(1)
    pairs = {pair: rng.normal() for pair in itertools.combinations(NAMES[:6], 2)}

    def score(run: frozenset[str]) -> float:
        sign = {change: 1 if change in run else -1 for change in NAMES[:6]}
        return sum(weight * sign[a] * sign[b] for (a, b), weight in pairs.items())

    for folded in (True, False):
        stack = design(NAMES[:6], folded=folded)
        effects = main_effects(stack, {n: score(run) for n, run in enumerate(stack.runs)}, sigma=0.1)
        assert (max(abs(effect.effect) for effect in effects) < 1e-9) == folded


def test_intervals_cover_the_true_effects() -> None:
    rng = np.random.default_rng(2)
    stack, hits, total = design(NAMES), 0, 0
    for _ in range(60):
        clean = [3.0 - sum(TRUTH[change] for change in run) for run in stack.runs]
        scores = {number: score + rng.normal(0, 0.1) for number, score in enumerate(clean)}
        for effect in main_effects(stack, scores, sigma=0.1):
            hits += effect.interval[0] <= TRUTH[effect.change] <= effect.interval[1]
            total += 1
    assert abs(hits / total - 0.95) < 4 * math.sqrt(0.95 * 0.05 / total)


def test_missing_runs_are_survived_with_wider_intervals() -> None:
    stack = design(NAMES)
    scores = {number: 3.0 - sum(TRUTH[change] for change in run) for number, run in enumerate(stack.runs)}
    for lost in (3, 17, 30):
        del scores[lost]
    effects = main_effects(stack, scores, sigma=0.1)
    assert {effect.change: effect.effect for effect in effects} == pytest.approx(TRUTH)
    assert min(effect.standard_error for effect in effects) > 2 * 0.1 / math.sqrt(48)


def test_runs_that_cannot_tell_the_changes_apart_are_refused() -> None:
    stack = design(NAMES)
    with pytest.raises(BadDesign, match="5 of 48 runs cannot tell 20 changes apart"):
        main_effects(stack, dict.fromkeys(range(5), 1.0), sigma=0.1)
    with pytest.raises(BadDesign, match=r"runs \[48\] are not in this design"):
        main_effects(stack, {48: 1.0}, sigma=0.1)
    with pytest.raises(BadSigma):
        main_effects(stack, {0: 1.0}, sigma=0.0)
    with pytest.raises(BadDesign, match="0 of 48"):
        main_effects(stack, {}, sigma=0.1)


def test_what_looks_unhelpful_is_marked() -> None:
    stack = design(["good", "useless"])
    scores = {number: 3.0 - 1.0 * ("good" in run) for number, run in enumerate(stack.runs)}
    assert {effect.change: effect.unhelpful for effect in main_effects(stack, scores, 0.2)} == {
        "good": False,
        "useless": True,
    }


def test_a_bundle_that_gives_less_than_its_parts_is_found() -> None:
    singles = [(0.5, 0.1), (0.4, 0.1)]
    assert check_bundle(singles, 0.2, [2.0] * 4, [1.1] * 4).verdict == "adds up"
    short = check_bundle(singles, 0.2, [2.0] * 4, [1.6] * 4)
    assert short.verdict == "less than the sum"
    assert (short.total, short.bundle) == pytest.approx((0.9, 0.4))
    assert short.interval[1] < 0
    assert check_bundle(singles, 0.2, [2.0] * 4, [0.5] * 4).verdict == "more than the sum"
    assert check_bundle(singles, 0.2, [-2.0] * 4, [-1.6] * 4, lower_is_better=False).verdict == "less than the sum"
    with pytest.raises(TooFewRuns):
        check_bundle([], 0.2, [2.0], [1.0])


def test_leave_one_out_puts_first_what_nobody_would_miss() -> None:
    effects = leave_one_out(0.1, [1.0] * 4, {"needed": [1.5] * 4, "idle": [1.01] * 4, "harmful": [0.7] * 4})
    assert [effect.change for effect in effects] == ["harmful", "idle", "needed"]
    assert [effect.unhelpful for effect in effects] == [True, True, False]
    assert effects[0].effect == pytest.approx(-0.3)
