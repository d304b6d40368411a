"""Points: what a run logs while it trains goes into the database in batches, under the run's lease."""

import logging
import time
from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction

from research_app.loop.judge.budget_check import usual_of_own
from research_app.models import Event, Lease, LeaseLost, Run, SeriesChunk
from research_app.models.event_kinds import EventKind
from research_app.models.lease import DATABASE_AWAY
from training.spec import Point

logger = logging.getLogger(__name__)


class PointWriter:
    """Receives batches of points from the runner and appends them as chunks, under the run's lease.

    A resumed run hands on the points of the attempts before it first; where they end is where this attempt began. While the
    database is away, points wait for the next batch: the heartbeat says when that has lasted too long.
    """

    def __init__(self, run: Run, lease: Lease, *, resumed: bool = False) -> None:
        self.lease = lease
        self.run = run
        self.budget = run.project.file.run_budget(run.budget_share, run.scale)
        self.usual = usual_of_own(run.project, run) if self.budget.own else None
        self.began = time.monotonic()
        self.resumed = resumed
        self.sequence = 0
        self.unwritten: list[Point] = []
        self.lost = False

    def __call__(self, points: Sequence[Point]) -> None:
        """Take more points. Raises whatever the database says of them, unless it is away."""
        self.unwritten += points
        try:
            self.flush()
        except DATABASE_AWAY as error:
            logger.warning("The points of %s wait for the database: %s", self.run, error)
            renew_connection()

    def flush(self) -> None:
        """Write what waits. Raises DATABASE_AWAY and other errors of the database."""
        if not self.unwritten or self.lost:
            return
        try:
            progress = self.progress(self.unwritten[-1])
            SeriesChunk.append(self.lease, self.sequence, columns(self.unwritten), progress)
            self.unwritten = []
            self.sequence += 1
            if self.sequence == 1:
                self.begin(progress if self.resumed else 0.0)
        except LeaseLost:
            self.lost = True

    def begin(self, share: float) -> None:
        """Write down where this attempt began. One that went further than the one before it counts as a first one."""
        further = {"attempts": 1} if share > self.run.resumed_at else {}
        self.lease.write(resumed_at=share, **further)
        if self.resumed:
            with transaction.atomic():
                event_data = {"share": round(share, 4), "seed": self.run.seed, "scale": self.run.scale}
                Event.objects.record(EventKind.RUN_RESUMED, self.run, device_of(self.run), self.run.project, **event_data)

    def progress(self, point: Point) -> float:
        """Share of the budget used at this point, from the quantity that the budget counts."""
        if self.budget.own:
            return self.progress_of_own(point)
        return min(1.0, max(0.0, self.budget.spent_at(point) / self.budget.amount))

    def progress_of_own(self, point: Point) -> float:
        """The same beside what the baseline's runs come to; 0 while there are none."""
        used = time.monotonic() - self.began if self.budget.is_time else self.budget.spent_at(point)
        return min(1.0, max(0.0, used / self.usual)) if self.usual else 0.0


def device_of(run: Run) -> str:
    """Who is said to have caused the outcome of a run."""
    return run.device.name if run.device else "worker"


def renew_connection() -> None:
    """Begin the next statement on a connection that works, unless a transaction is open on this one."""
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()


def columns(points: Sequence[Point]) -> dict[str, list[list[Any]]]:
    """Points as columns: {series: [[steps], [values]]}."""
    series: dict[str, list[list[Any]]] = {}
    for point in points:
        for name, value in point.values.items():
            steps, values = series.setdefault(name, [[], []])
            steps.append(point.step)
            values.append(value)
    return series
