"""What detectors read and what they say: one finished run, the circumstances it ran in, a finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.spec import Budget

Level = Literal["info", "warning", "invalid"]
Columns = Sequence[Sequence[float | None]]  # [steps, values], as the series of a run are stored
Fact = float | int | str

# The names of the series, as prepare.py logs them and training/output.py translates them.
TRAIN_LOSS, VAL_LOSS, VAL_BPB, GRAD_NORM = "train_loss", "val_loss", "val_bpb", "grad_norm"
SPEED, MEMORY, STEP_MS = "tokens_per_second", "memory_mb", "step_ms"
LEARNING_RATES = ("lr", "lr_multiplier")


@dataclass(frozen=True)
class Finding:
    """What one detector saw, in a sentence with its numbers, and where: on a curve, or on a line of a changed file.

    `info` is for reading on, `warning` puts a gain in quarantine until a person has looked, `invalid` makes the run's score
    meaningless. `line` counts from 1 in the file as it is after the change; for removed code it is where that code was.
    """

    detector: str
    level: Level
    sentence: str
    series: str | None = None
    step_from: int | None = None
    step_to: int | None = None
    path: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class Curve:
    """One series in the order of its steps. Values may be infinite or NaN only where a detector asks for them."""

    name: str
    steps: NDArray[np.int64]  # (N,)
    values: NDArray[np.float64]  # (N,)

    def __len__(self) -> int:
        return len(self.steps)

    def part(self, start: float, end: float) -> Curve:
        """The points from share `start` to share `end` of all points; at least one where there is any."""
        first, last = int(start * len(self)), max(int(np.ceil(end * len(self))), int(start * len(self)) + 1)
        return Curve(self.name, self.steps[first:last], self.values[first:last])

    def blocks(self, most: int) -> Curve:
        """At most `most` points: the medians of blocks of equal length, each at the step where its block begins."""
        if len(self) <= most:
            return self
        cuts = np.linspace(0, len(self), most + 1).astype(int)
        medians = [np.median(self.values[a:b]) for a, b in pairwise(cuts)]
        return Curve(self.name, self.steps[cuts[:-1]], np.array(medians))


@dataclass(frozen=True)
class RunRecord:
    """One run that has ended: its series as columns, its facts, and what was measured from outside.

    `score` is the trusted one, in bits per byte; None when there is none or when the project reports its own.
    `not_finite` is the run's own reason for stopping, when a number was no longer finite.
    """

    series: Mapping[str, Columns] = field(default_factory=dict)
    facts: Mapping[str, Fact] = field(default_factory=dict)
    score: float | None = None
    train_seconds: float | None = None  # of the whole training command, start-up included
    not_finite: str = ""

    @cached_property
    def raw(self) -> Mapping[str, Curve]:
        """Every series by name, sorted by step; of several values at one step the last counts. A hole is NaN."""
        return {name: _curve(name, columns) for name, columns in self.series.items()}

    def curve(self, name: str) -> Curve:
        """The finite points of a series, none when it was not logged."""
        curve = self.raw.get(name)
        if curve is None:
            return Curve(name, np.empty(0, np.int64), np.empty(0))
        finite = np.isfinite(curve.values)
        return Curve(name, curve.steps[finite], curve.values[finite])

    def first(self, *names: str) -> Curve:
        """The first of these series that has points; an empty one when none has."""
        return next((curve for name in names if len(curve := self.curve(name))), self.curve(names[0]))

    def number(self, fact: str) -> float | None:
        """A fact that is a number; None when it is missing or text."""
        value = self.facts.get(fact)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class Overlap:
    """How much of the gate shard occurs, word for word, in text that a run could read (see training/detectors/overlap.py)."""

    windows: int  # of the gate shard
    shared: int  # windows with at least one n-gram that was read
    ngram: int  # bytes
    example: str = ""  # one n-gram that was found, as text


@dataclass(frozen=True)
class Circumstances:
    """What a run is held against. `baseline` holds completed runs of the base at the same scale, any number of them."""

    baseline: Sequence[RunRecord] = ()
    budget: Budget | None = None
    peak_flops: float | None = None  # what the device can do at most, FLOPs per second (see device_peak_flops)
    memory_limit: int | None = None  # bytes
    overlap: Overlap | None = None
    baseline_overlap: Overlap | None = None
    of_baseline: bool = False  # whether the run is one of the baseline's own


def _curve(name: str, columns: Columns) -> Curve:
    if len(columns) != 2 or len(columns[0]) != len(columns[1]):
        raise ValueError(f"series {name!r} must be two lists of equal length, its steps and its values")
    steps = np.array([int(step) for step in columns[0] if step is not None], dtype=np.int64)
    if len(steps) != len(columns[0]):
        raise ValueError(f"series {name!r} has a point without a step")
    values = np.array([np.nan if value is None else value for value in columns[1]], dtype=np.float64)
    # Reversed, so that the first of equal steps, which np.unique keeps, is the one logged last.
    unique, index = np.unique(steps[::-1], return_index=True)
    return Curve(name, unique, values[::-1][index])
