"""The points of a run while it trains: from its series file and from what it prints, handed on at most once a second."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Self

from training.detectors.watch import Watch
from training.failure import Failure, StepFailed, during
from training.left_out import LOG_BYTES
from training.metric_source import SOURCES
from training.output import OutputParser
from training.process import BoundedLog
from training.readings import Readings
from training.run_files import FileReadings
from training.series import Outputs, SeriesReader, UnsafeOutput
from training.spec import Point, Scored, SelfReported

POINTS_SECONDS = 1.0  # at least this long between two calls of `on_points`

OnPoints = Callable[[Sequence[Point]], None]


def readings_of(scoring: SelfReported, outputs: Outputs) -> Readings:
    """What reads the values of a run: those that it prints, or those of its files. Raises FormatError."""
    source = SOURCES.get(scoring.format)
    return FileReadings(scoring, outputs) if source and source.files else OutputParser(scoring)


class Progress:
    """Reads what a run logs as it grows. `alive` once there was any point. A context manager."""

    def __init__(self, scoring: Scored | SelfReported, outputs: Outputs, on_points: OnPoints) -> None:
        names = scoring if isinstance(scoring, SelfReported) else scoring.curves
        self.parser = readings_of(names, outputs) if names is not None else None
        self.reader = SeriesReader(outputs)
        self.on_points = on_points
        self.waiting: list[Point] = []
        self.handed_on = time.monotonic()
        self.alive = False
        self.watch = Watch()
        self.unreadable = False  # the parser failed: what else is printed is not read

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.reader.close()
        if self.parser is not None:
            self.parser.close()

    def printed(self, chunk: bytes) -> None:
        """Take what the run printed. Raises StepFailed, once."""
        if self.parser is None or self.unreadable:
            return
        try:
            self.waiting += self.parser.feed(chunk)
        except Exception as error:
            self.unreadable = True
            raise StepFailed(Failure.of("reading what it printed", error)) from error

    def hand_on(self) -> None:
        """Read what is new and hand it on when the last time is long enough ago. Raises UnsafeOutput, StepFailed."""
        if time.monotonic() - self.handed_on >= POINTS_SECONDS:
            self._hand_on(self._read())

    def finish(self) -> None:
        """Hand on the rest. Raises UnsafeOutput, StepFailed."""
        last = self._read(last=True)
        if self.parser is not None and not self.unreadable:
            with during("reading what it printed", UnsafeOutput):
                self.waiting += self.parser.finish()
        self._hand_on(last)

    @property
    def not_finite(self) -> str:
        """Why the run is lost: a number that it logged was not finite; empty while it is not."""
        return self.parser.not_finite if self.parser is not None else self.reader.not_finite

    @property
    def ran_away(self) -> bool:
        """Whether that number was finite, but too large for any."""
        return self.parser is not None and self.parser.ran_away

    def left_out(self, log: BoundedLog) -> dict[str, int]:
        """How many values, lines and bytes of the log were not kept, by the limit that they broke."""
        counts = Counter(self.reader.left_out.counts)
        if self.parser is not None:
            counts.update(self.parser.left_out.counts)
        if log.cut:
            counts[f"{LOG_BYTES} (at most {log.limit} are kept)"] = log.cut
        return dict(counts)

    def _read(self, *, last: bool = False) -> list[Point]:
        with during("reading its series", UnsafeOutput):
            points = self.reader.finish() if last else self.reader.read()
        if self.parser is not None and not self.unreadable and not last:
            with during("reading its files", UnsafeOutput):
                points += self.parser.read()
        return points

    def _hand_on(self, read: list[Point]) -> None:
        points, self.waiting = [*self.waiting, *read], []
        self.handed_on = time.monotonic()
        if points:
            self.alive = True
            self.watch.see(points)
            with during("storing its points"):
                self.on_points(points)
