"""Metric sources: the ways in which a run says its metric and curves itself, a module each of `training/sources/`.

A source reads printed lines (`lines`) or files below the run's output folder (`files`). docs/how-to/extend.md adds one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from training.left_out import LeftOut
from training.registry import Registry
from training.spec import SelfReported

SCORED = "scored"
"""The source that is none of these: the score is measured by Signoff."""

Record = dict[str, object]
"""Values by name, with `step` where the record is a point."""


@dataclass(frozen=True)
class LineValues:
    """What was read off a printed line: texts by the names of their series, with `step` where they are a point.

    `printed` has them under the names that are printed, where these differ: [metric] facts may name them so.
    """

    values: Mapping[str, str | None]
    printed: Mapping[str, str] = field(default_factory=dict)


LineReader = Callable[[str], Iterable[LineValues]]
"""Takes the lines of one run in order; returns what is in each."""


class Reader(Protocol):
    """Takes the bytes of one file in order; returns what was in them. Raises UnsafeOutput for what cannot be read."""

    def feed(self, chunk: bytes) -> list[Record]: ...

    def finish(self) -> list[Record]: ...


@dataclass(frozen=True)
class FileFormat:
    """How files of a format are found and read. `several`: a run writes more than one, all of which are read."""

    pattern: str
    reader: Callable[[SelfReported, str, LeftOut], Reader]
    several: bool = False


@dataclass(frozen=True)
class Recognised:
    """How a repository shows that its code prints as a source does: two expressions over the texts that it prints, in which NUL
    stands for a value. `key` is then the metric, `facts` go into [metric] facts."""

    key: str
    metric: str
    beside: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricSource:
    """One value of [metric] source. `metrics`: what it can hold as the metric, where that is known; `own_pattern`: the project
    file says with `pattern` what is read."""

    name: str
    words: str
    lines: Callable[[SelfReported], LineReader] | None = None
    files: FileFormat | None = None
    metrics: tuple[str, ...] = ()
    own_pattern: bool = False
    recognised: Recognised | None = None
    order: int = 100


SOURCES = Registry("metric source", "training.sources", "SOURCE", MetricSource)


def printing() -> list[str]:
    """The sources that read what a run prints."""
    return [source.name for source in SOURCES.values() if source.lines]


def writing() -> list[str]:
    """The sources that read files of a run."""
    return [source.name for source in SOURCES.values() if source.files]
