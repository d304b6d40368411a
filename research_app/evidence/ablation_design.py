"""The trees of an ablation: which design points are trained, in how many runs each, in the first round and in further ones."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

from research_app.evidence.stacking import StackDesign, design

Point = frozenset[str]

EVERY_PAIR = 4
"""Up to so many changes every pair is measured at once; of more, those pairs whose members depend on what else is on."""
MOST_PAIRS = 15  # that are measured in the second round
PAIR_RUNS = 4
MOST_SUSPECTS = 3  # landed changes that are looked at again, the least helpful first
FRESH_RUNS = 16
"""Of the baseline, and of the baseline without each suspect, in one round; a second such round where that does not settle it.
Of changes that bring nothing, seven in ten are shown after one round to bring less than LEAST sigma, 19 in 20 after both."""
FRESH_ROUNDS = 2
LEAST_RUNS = 6  # of the trees that many differences share
MOST_BARE = 24


class Stack(NamedTuple):
    """The changes of a check, and those of them that are on today's baseline."""

    changes: tuple[str, ...]
    landed: Point

    @property
    def everything(self) -> Point:
        return frozenset(self.changes)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return list(itertools.combinations(self.changes, 2))


@dataclass(frozen=True)
class FollowUp:
    """What a second round measures: further pairs, and on fresh seeds the landed changes that seem to bring nothing."""

    pairs: tuple[Point, ...] = ()
    suspects: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.pairs or self.suspects)

    @property
    def runs(self) -> int:
        return len(self.pairs) * PAIR_RUNS + (FRESH_RUNS * (len(self.suspects) + 1) if self.suspects else 0)

    def fresh(self, stack: Stack) -> dict[Point, int]:
        """The trees that are trained on fresh seeds: the baseline, and the baseline without each suspect."""
        points = [stack.landed, *(stack.landed ^ {change} for change in self.suspects)] if self.suspects else []
        return dict.fromkeys(points, FRESH_RUNS)


def points_of(stack: Stack, folded: bool = True) -> dict[Point, int]:
    """The trees of the first round with their numbers of runs. Raises BadDesign for fewer than two changes."""
    rows = design_of(stack, folded).runs
    runs = dict.fromkeys(rows, 1) if len(stack.changes) > EVERY_PAIR else {}
    each, count = repeats_of(len(stack.changes)), len(stack.changes)
    single = [frozenset({change}) for change in stack.changes]
    once = [*single, *(stack.everything - one for one in single), *(stack.landed ^ one for one in single)]
    if count <= EVERY_PAIR:
        once += map(frozenset, stack.pairs)
    shared = max(LEAST_RUNS, math.ceil(each * math.sqrt(count)))
    bare = max(LEAST_RUNS, min(MOST_BARE, each * (count - 1)))
    for point, wanted in (
        *((point, each) for point in once),
        (stack.everything, shared),
        (stack.landed, shared),
        (Point(), bare),
    ):
        runs[point] = max(runs.get(point, 0), wanted)
    return runs


def repeats_of(changes: int) -> int:
    """Runs of a tree that few differences rest on: fewer of each where there are many such trees."""
    return 4 if changes <= 3 else 3 if changes <= 6 else 2


def design_of(stack: Stack, folded: bool) -> StackDesign:
    """The two-level design that averages are read off, every tree once."""
    plan = design(stack.changes, folded=folded)
    return StackDesign(plan.changes, tuple(dict.fromkeys(plan.runs)), folded)


def most_further_runs(stack: Stack) -> int:
    """The most runs that further rounds may ask for."""
    pairs = 0 if len(stack.changes) <= EVERY_PAIR else min(MOST_PAIRS, len(stack.pairs))
    again = FollowUp(suspects=tuple(sorted(stack.landed))[:MOST_SUSPECTS])
    return FollowUp((Point(),) * pairs).runs + FRESH_ROUNDS * again.runs
