"""Runs that train now, with the small curve of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from research_app.models import Candidate, Run
from research_app.models.run import arrays_of
from research_app.web.shared.curves import Logged

SPARK_WIDTH, SPARK_HEIGHT, SPARK_POINTS = 120, 28, 60
SPARK_SERIES = ("val_loss", "train_loss")


@dataclass(frozen=True)
class Training:
    """One run that trains now."""

    run: Run
    logged: Logged

    @property
    def candidate(self) -> Candidate | None:
        return self.run.patch_set.candidate if self.run.patch_set else None

    @property
    def left(self) -> timedelta | None:
        """Time left at the pace so far; None before a pace can be told."""
        return self.run.left

    @cached_property
    def curve(self) -> tuple[list[float], list[float]]:
        """Validation loss, or train loss before there is enough of it."""
        for name in SPARK_SERIES:
            steps, values = self.logged.get(name, ((), ()))
            if len(values) >= 3:
                stride = max(1, len(values) // SPARK_POINTS)
                return [float(step) for step in steps[::stride]], [float(value) for value in values[::stride]]
        return [], []

    @property
    def last(self) -> float | None:
        return self.curve[1][-1] if self.curve[1] else None

    @property
    def points(self) -> str:
        """Of the small curve, as an SVG polyline; x is the share of the budget, so that it grows to the right."""
        steps, values = self.curve
        if not values or not steps[-1]:
            return ""
        low, high = min(values), max(values)
        reach = max(self.run.progress, 0.02) * SPARK_WIDTH
        rise = (SPARK_HEIGHT - 4) / (high - low or 1)
        return " ".join(
            f"{step / steps[-1] * reach:.1f},{2 + (high - value) * rise:.1f}" for step, value in zip(steps, values, strict=True)
        )


def with_curves(runs: Sequence[Run]) -> list[Training]:
    """The runs with what they have logged so far. Two queries."""
    logged = arrays_of([run.pk for run in runs], SPARK_SERIES)
    return [Training(run, logged[run.pk]) for run in runs]
