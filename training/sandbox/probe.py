"""Which level holds on this machine: found by running what tries to get out, with the very command line of a run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from training.sandbox.confinement import Level


class NoSandbox(Exception):
    """No level at or above the wanted one holds on this machine; the message says why and how to mend it."""


@dataclass(frozen=True)
class ProbeResult:
    """The best level that holds, why no better one does, and what to do about that ("" when there is nothing)."""

    level: Level
    reasons: tuple[str, ...] = ()
    fix: str = ""


def probe(minimum: Level) -> ProbeResult:
    """The best level that holds here."""
    return ProbeResult(Level.none)


@cache
def best_level(minimum: Level = Level.basic) -> Level:
    """The best level that holds, found once in a process. Raises NoSandbox when it is below `minimum`."""
    found = probe(minimum)
    if not found.level.at_least(minimum):
        raise NoSandbox(" ".join((*found.reasons, found.fix)))
    return found.level
