"""The best set without conflicts: never beaten by trying every set, within its budget, and bounded where there are many."""

import itertools
import random
from time import perf_counter

import pytest

from research_app.loop.scale_up.best_set import EXACT_UP_TO, Choice, best_set

SHARED = (("base 1 at M", 8.0), ("base 2 at M", 5.0), ("base 1 at L", 20.0))


def drawn(seed: int, count: int) -> tuple[tuple[Choice, ...], frozenset[tuple[int, int]], float]:
    """Candidates with conflicts at random, and a budget that some of them fit in."""
    chance = random.Random(seed)
    choices = tuple(
        Choice(n, chance.gauss(0.01, 0.01), chance.choice([0.0, 2.0, 5.37, 9.5]), chance.choice(SHARED)[0])
        for n in range(count)
    )
    share = chance.choice([0.0, 0.2, 0.6])
    clashes = frozenset(pair for pair in itertools.combinations(range(count), 2) if chance.random() < share)
    return choices, clashes, chance.uniform(0, 60)


def cost_of(chosen: tuple[Choice, ...]) -> float:
    return sum(each.cost for each in chosen) + sum(dict(SHARED)[group] for group in {each.group for each in chosen})


def allowed(chosen: tuple[Choice, ...], clashes: frozenset[tuple[int, int]], budget: float) -> bool:
    pairs = itertools.combinations(sorted(each.number for each in chosen), 2)
    return cost_of(chosen) <= budget + 1e-6 and not any(pair in clashes for pair in pairs)


@pytest.mark.parametrize("seed", range(12))
def test_no_other_set_of_a_few_is_better(seed: int) -> None:
    choices, clashes, budget = drawn(seed, 9)
    found = best_set(choices, clashes, SHARED, budget)
    every = (chosen for size in range(10) for chosen in itertools.combinations(choices, size))
    best = max(sum(each.gain for each in chosen) for chosen in every if allowed(chosen, clashes, budget))
    chosen = tuple(each for each in choices if each.number in found.numbers)
    assert found.exact and allowed(chosen, clashes, budget)
    assert found.gain == pytest.approx(max(best, 0.0)) and found.cost == pytest.approx(cost_of(chosen))


@pytest.mark.parametrize("count", [EXACT_UP_TO, 100])
def test_a_set_of_many_is_allowed_says_whether_it_is_exact_and_comes_at_once(count: int) -> None:
    choices, clashes, _ = drawn(99, count)
    begin = perf_counter()
    found = best_set(choices, clashes, SHARED, 50.0)
    assert perf_counter() - begin < 2
    chosen = tuple(each for each in choices if each.number in found.numbers)
    assert chosen and allowed(chosen, clashes, 50.0)
    assert not (found.exact and count > EXACT_UP_TO)


def test_what_costs_nothing_and_helps_is_always_in_and_what_harms_never() -> None:
    free, harm, dear = Choice(1, 0.001, 0.0), Choice(2, -0.5, 0.0), Choice(3, 1.0, 51.0)
    found = best_set((free, harm, dear), frozenset(), (), 50.0)
    assert (list(found.numbers), found.exact) == ([1], True)


def test_the_baselines_runs_are_paid_for_once() -> None:
    two = (Choice(1, 0.02, 5.0, "M"), Choice(2, 0.01, 5.0, "M"))
    assert list(best_set(two, frozenset(), (("M", 10.0),), 20.0).numbers) == [1, 2]
    assert list(best_set(two, frozenset(), (("M", 10.0),), 19.0).numbers) == [1]
    assert best_set(two, frozenset(), (("M", 10.0),), 14.0).numbers == []
