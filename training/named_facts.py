"""Figures that a run says of itself and that its project file names: which fact each is, and in which unit.

`facts = { device_memory = "peak_vram_mb MiB", speed = "tok/sec" }`: the name of a figure as the run says it, and its unit where
that is another one. What only the run says is marked so wherever it stands (training/reported_by_run.py), and decides nothing
alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

BYTES = {"B": 1.0, "kB": 1e3, "KB": 1e3, "KiB": 2**10, "MB": 1e6, "MiB": 2**20, "GB": 1e9, "GiB": 2**30}
SECONDS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
NUMBERS = {"K": 1e3, "k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
SPEEDS = {"tok/s": 1.0, "tokens/s": 1.0, "ktok/s": 1e3, "Mtok/s": 1e6, "K": 1e3, "M": 1e6}
MOST_VALUES = 100_000  # of one figure, whose median is taken


@dataclass(frozen=True)
class Known:
    """A fact that may be named: where it is kept, and its units with what each is in the fact's own."""

    fact: str
    units: Mapping[str, float]
    largest: bool = False  # of several values the largest stands, not the median


KNOWN = {
    "device_memory": Known("device_memory_said", BYTES, largest=True),
    "memory": Known("memory_said", BYTES, largest=True),
    "speed": Known("tokens_per_second", SPEEDS),
    "tokens": Known("tokens", NUMBERS, largest=True),
    "parameters": Known("parameters", NUMBERS, largest=True),
    "flops": Known("flops", NUMBERS, largest=True),
    "flops_per_token": Known("flops_per_token", NUMBERS),
    "training_time": Known("training_seconds", SECONDS, largest=True),
}


@dataclass(frozen=True)
class NamedFact:
    """One entry: the figure's name, and what one of its unit is."""

    figure: str
    factor: float


def named_fact(name: str, text: str) -> NamedFact:
    """One entry of the project file. Raises ValueError for a fact or unit that is not known."""
    known = KNOWN.get(name)
    if known is None:
        raise ValueError(f"{name!r} is no fact that anything reads; known are {', '.join(KNOWN)}")
    figure, _, unit = text.strip().rpartition(" ")
    if unit in known.units and figure.strip():
        return NamedFact(figure.strip(), known.units[unit])
    if not text.strip() or len(text) > 64 or not text.isprintable():
        raise ValueError(f'{name} names no figure: write for example {name} = "peak_vram_mb {next(iter(known.units))}"')
    if figure and _looks_like_a_unit(unit):
        raise ValueError(f"{unit!r} is no unit of {name}; its units are {', '.join(known.units)}")
    return NamedFact(text.strip(), 1.0)


def _looks_like_a_unit(word: str) -> bool:
    return any(word.lower() == unit.lower() for each in (BYTES, SECONDS, SPEEDS) for unit in each)


class NamedFacts:
    """Collects the named figures of one run."""

    def __init__(self, facts: Mapping[str, str]) -> None:
        self.entries = {name: named_fact(name, text) for name, text in facts.items()}
        self.wanted = {entry.figure for entry in self.entries.values()}
        self.seen: dict[str, list[float]] = {}

    def take(self, values: Mapping[str, float]) -> None:
        """Look at what was said together."""
        for name in self.wanted & values.keys():
            kept = self.seen.setdefault(name, [])
            if math.isfinite(values[name]) and len(kept) < MOST_VALUES:
                kept.append(values[name])

    def facts(self) -> dict[str, float]:
        """The facts so far, each in its own unit."""
        facts = {}
        for name, entry in self.entries.items():
            if kept := self.seen.get(entry.figure):
                value = (max(kept) if KNOWN[name].largest else median(kept)) * entry.factor
                if 0 < value < 1e300:
                    facts[KNOWN[name].fact] = value
        return facts
