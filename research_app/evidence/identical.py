"""Whether two runs are one and the same training: every point and the score alike, to the last digit.

A change that reaches the training alters the curve of the same seed somewhere, however slightly. One that does not (a
constant that a config file or an option overrides) repeats the baseline's run exactly wherever the target repeats itself.
Runs that are alike to the last digit prove it on any device; runs that differ prove nothing: the device may not repeat itself.

Digits can also agree by chance, where few are printed. `chance_of` says how easily.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import pstdev

import numpy as np
from numpy.typing import NDArray

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]  # steps, values

BELIEVED = 1e-3
"""Runs that agree with at most this chance of a coincidence are one and the same training."""

# Words in the name of a series that say what the machine did, not what the training came to.
OF_THE_MACHINE = re.compile(
    r"(?:^|_)(?:times?|timing|seconds?|secs?|s|ms|minutes?|mins?|hours?|dt|elapsed|wall|clock|eta|remaining|duration|latency"
    r"|tps|wps|speed|throughput|mfu|hfu|tflops|memory|mem|vram|rss|gpu|cpu|util|utili[sz]ation|watts?)(?:_|$)"
)


@dataclass(frozen=True)
class Trajectory:
    """What a run left behind: its score, on each source too, the curves that it logged, and how much it did."""

    score: float
    by_source: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    work: Mapping[str, object] = field(default_factory=dict)  # steps, tokens, parameters: what was said or counted

    @property
    def compared(self) -> dict[str, Curve]:
        """The curves without those of the machine: times, speeds and memory differ between any two runs."""
        return {name: curve for name, curve in self.curves.items() if not is_of_the_machine(name)}

    @property
    def points(self) -> int:
        """How many values of the curves are compared."""
        return sum(len(values) for _, values in self.compared.values())

    def repeats(self, other: Trajectory) -> bool:
        """Whether it is the other, to the last digit."""
        if (self.score, dict(self.by_source), dict(self.work)) != (other.score, dict(other.by_source), dict(other.work)):
            return False
        mine, theirs = self.compared, other.compared
        return mine.keys() == theirs.keys() and all(_same(mine[name], theirs[name]) for name in mine)


def is_of_the_machine(series: str) -> bool:
    """Whether a series is a time, a speed, a share of the machine or its memory, by the words of its name."""
    return OF_THE_MACHINE.search(re.sub(r"[^a-z0-9]+", "_", series.lower())) is not None


def chance_of(run: Trajectory, reference: Sequence[Trajectory], sigma: float) -> float:
    """The chance that a run of another training ends on the same digits as this one.

    Of the score it is the last digit over sigma; of each curve the last digit of its last value over the spread between the
    baseline's seeds there. Values on which all seeds agree say nothing. `reference` are the baseline's runs, this seed's among
    them; an empty one leaves the score alone.
    """
    chance = min(1.0, _last_digit([run.score, *(other.score for other in reference)]) / sigma) if sigma > 0 else 1.0
    for name, (_, values) in run.compared.items():
        last = [float(curve[1][-1]) for other in reference if (curve := other.curves.get(name)) and len(curve[1])]
        if len(last) > 1 and len(values) and (spread := pstdev(last)) > 0:
            chance *= min(1.0, _last_digit(last) / spread)
    return chance


def _last_digit(values: Iterable[float]) -> float:
    """The place value of the last digit that any of these numbers has: 0.0001 for 3.27 and 3.2781."""
    places = [int(Decimal(repr(value)).normalize().as_tuple().exponent) for value in values if math.isfinite(value)]
    return 10.0 ** min(places, default=0)


def _same(mine: Curve, theirs: Curve) -> bool:
    """Whether two curves have the same points, as the numbers that they are."""
    return all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))
