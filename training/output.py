"""Reads series and final metric from what a project's own code prints: for code that is trained as it is, unchanged.

Such a score is self-reported: nobody but the code itself says it is true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from training.left_out import LONG_LINES
from training.line_patterns import FormatError
from training.metric_source import SOURCES, LineValues, printing
from training.readings import Readings, number_in
from training.spec import Point, SelfReported

LINE_LIMIT = 1 << 14  # characters; the rest of a longer line is left out


class OutputParser(Readings):
    """Feed it output as it arrives; it returns points, and keeps the final figures in `final`.

    How its lines are read says the source (`training/sources/`). Raises FormatError for a source that reads no lines, or a bad
    pattern.
    """

    def __init__(self, scoring: SelfReported) -> None:
        source = SOURCES.get(scoring.format)
        if source is None or source.lines is None:
            raise FormatError(f"output format {scoring.format!r} is unknown; use one of: {', '.join(printing())}")
        super().__init__(scoring)
        self._partial = ""
        self._read = source.lines(scoring)

    def feed(self, chunk: bytes) -> list[Point]:
        """The points in what was printed since the last call. Progress lines may end in a carriage return."""
        *lines, self._partial = re.split(r"[\r\n]", self._partial + chunk.decode(errors="replace"))
        excess = sum(max(0, len(line) - LINE_LIMIT) for line in (*lines, self._partial))
        if excess:
            self.left_out.count(LONG_LINES, excess)
        self._partial = self._partial[:LINE_LIMIT]
        return [point for line in lines for point in self._line(line[:LINE_LIMIT])]

    def finish(self) -> list[Point]:
        """The point in a last line without an end, if there is one."""
        return self.feed(b"\n")

    def _line(self, line: str) -> Iterator[Point]:
        for each in self._read(line):
            self._name(each)
            yield from self.values(each.values)

    def _name(self, each: LineValues) -> None:
        """Let figures be named as they are printed, too, where that is not what their series are called."""
        wanted = {name: number_in(text) for name, text in each.printed.items() if name in self.named.wanted}
        self.named.take({name: value for name, value in wanted.items() if value is not None})
