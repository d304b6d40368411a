"""What a run spent of a budget that its code keeps itself, in seconds, steps or tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from training.spec import Counted

SAID_SECONDS = {"loop_seconds": 1.0, "training_seconds": 1.0, "training_minutes": 60.0}
"""Facts in which well-known code says how long it trained, without what went before the first step; seconds each."""

FACTS = {"steps": "steps", "tokens": "tokens"}
Facts = Mapping[str, object]


def spent(runs: Sequence[tuple[Facts, float | None]], counts: Counted) -> list[float | None]:
    """What each run, facts and seconds of the whole command, spent.

    Seconds are those that the code says it trained where every run says so, otherwise those of the command by our clock.
    """
    if counts != "seconds":
        return [_positive(facts.get(FACTS[counts])) for facts, _ in runs]
    stated_seconds = [_said_seconds(facts) for facts, _ in runs]
    return stated_seconds if None not in stated_seconds else [_positive(seconds) for _, seconds in runs]


def reference(amount: float, baseline: Sequence[float | None]) -> float | None:
    """What overshoots are counted from: the stated amount, or the median of what the baseline's runs spent."""
    known = [value for value in baseline if value is not None]
    return amount or (median(known) if known else None)


def _said_seconds(facts: Facts) -> float | None:
    stated = [value * unit for name, unit in SAID_SECONDS.items() if (value := _positive(facts.get(name))) is not None]
    return max(stated, default=None)


def _positive(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e300 else None
