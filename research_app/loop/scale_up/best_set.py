"""The best set of candidates without conflicts within a budget: exact where they are few, greedy beyond. Pure.

The sum of gains is maximised as if gains added up, which they often do not (docs/explanation/statistics.md): it is a way to
choose what to scale up next, not a forecast. The baseline's runs on a rung are paid for once, by whoever needs them first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

EXACT_UP_TO = 30  # candidates; more are chosen greedily
MOST_NODES = 20_000  # of the search tree, about 0.2 s; beyond them greedily too
ROUNDING = 1e-9  # of the budget: sums of prices are floats


@dataclass(frozen=True)
class Choice:
    """A candidate that could be scaled up: its gain, what its own runs cost, and whose baseline runs it needs beside them."""

    number: int
    gain: float
    cost: float
    group: str = ""


@dataclass(frozen=True)
class BestSet:
    """The chosen numbers, most gain first; `exact` where no better set exists."""

    numbers: Sequence[int]
    gain: float
    cost: float
    exact: bool


@lru_cache(maxsize=64)  # a page asks again with every pulse
def best_set(
    choices: tuple[Choice, ...], clashes: frozenset[tuple[int, int]], shared: tuple[tuple[str, float], ...], budget: float
) -> BestSet:
    """The conflict-free set of the largest summed gain that costs no more than `budget`.

    `clashes` are pairs of numbers, the smaller one first; `shared` is what the baseline's runs of each group cost. Candidates
    that bring no gain are left out.
    """
    useful = [choice for choice in choices if choice.gain > 0 and choice.cost <= budget]
    listed = sorted(useful, key=lambda each: (-_worth(each), each.number))
    problem = _Problem(listed, _conflict_masks(listed, clashes), dict(shared), budget * (1 + ROUNDING))
    best, exact = problem.greedy(), False
    if len(listed) <= EXACT_UP_TO:
        best, exact = problem.search(best)
    chosen = sorted((listed[at] for at in range(len(listed)) if best >> at & 1), key=lambda each: (-each.gain, each.number))
    return BestSet([each.number for each in chosen], sum(each.gain for each in chosen), problem.cost_of(best), exact)


def _worth(choice: Choice) -> float:
    """Gain per cost; what costs nothing comes first."""
    return choice.gain / choice.cost if choice.cost > 0 else float("inf")


def _conflict_masks(listed: Sequence[Choice], clashes: frozenset[tuple[int, int]]) -> list[int]:
    """For each candidate a bit for every other one that it conflicts with."""
    place = {each.number: at for at, each in enumerate(listed)}
    masks = [0] * len(listed)
    for one, other in clashes:
        if one in place and other in place:
            masks[place[one]] |= 1 << place[other]
            masks[place[other]] |= 1 << place[one]
    return masks


@dataclass(frozen=True)
class _Problem:
    """Candidates in the order of their gain per cost; a set of them is the bits of a number."""

    listed: Sequence[Choice]
    masks: Sequence[int]
    shared: Mapping[str, float]
    budget: float

    def cost_of(self, chosen: int) -> float:
        members = [each for at, each in enumerate(self.listed) if chosen >> at & 1]
        return sum(each.cost for each in members) + sum(self.shared.get(group, 0.0) for group in {m.group for m in members})

    def greedy(self) -> int:
        """Take whoever brings most gain per cost and still fits and conflicts with nobody taken before."""
        chosen = blocked = 0
        for at, mask in enumerate(self.masks):
            if not blocked >> at & 1 and self.cost_of(chosen | 1 << at) <= self.budget:
                chosen, blocked = chosen | 1 << at, blocked | mask
        return chosen

    def search(self, chosen: int) -> tuple[int, bool]:
        """Branch and bound, depth first, from a set that is known. The better one, and whether the whole tree was searched.

        Bound: what is left, filled in the order of gain per cost, the last one in part, without conflicts or shared runs.
        """
        best, best_gain = chosen, sum(each.gain for at, each in enumerate(self.listed) if chosen >> at & 1)
        stack = [(0, 0, (1 << len(self.listed)) - 1, 0.0, 0.0, frozenset[str]())]
        for _ in range(MOST_NODES):
            if not stack:
                return best, True
            at, taken, free, gain, cost, groups = stack.pop()
            if gain > best_gain:
                best, best_gain = taken, gain
            while at < len(self.listed) and not free >> at & 1:
                at += 1
            if at == len(self.listed) or gain + self._bound(at, free, self.budget - cost) <= best_gain * (1 + ROUNDING):
                continue
            each = self.listed[at]
            stack.append((at + 1, taken, free, gain, cost, groups))
            whole = cost + each.cost + (0.0 if each.group in groups else self.shared.get(each.group, 0.0))
            if whole <= self.budget:
                stack.append((at + 1, taken | 1 << at, free & ~self.masks[at], gain + each.gain, whole, groups | {each.group}))
        return best, not stack

    def _bound(self, at: int, free: int, left: float) -> float:
        """The most that candidates from this place on can add."""
        gain = 0.0
        for each in (self.listed[place] for place in range(at, len(self.listed)) if free >> place & 1):
            if each.cost > left:
                return gain + each.gain * left / each.cost
            gain, left = gain + each.gain, left - each.cost
        return gain
