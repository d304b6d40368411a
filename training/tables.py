"""Readers of text files of numbers: JSON lines and comma-separated tables, as loggers write them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping

from training.left_out import NO_NUMBER, NO_POINT, LeftOut
from training.lines import Lines

STEPS = ("step", "_step", "global_step", "iteration", "iter", "it", "epoch")
"""What loggers call the step; the first that a record has counts."""

NO_ROW = "rows of a table that are longer or shorter than its head"
DEEPEST = 4  # objects within objects, of which the names are joined with "/"


def with_step(record: Mapping[str, object], step: str = "") -> dict[str, object]:
    """The record with its step under that name; as it is where it has none."""
    key = next((name for name in ((step,) if step else STEPS) if name in record), None)
    if key is None:
        return dict(record)
    return {**{name: value for name, value in record.items() if name != key}, "step": record[key]}


def flat(record: Mapping[str, object], left_out: LeftOut, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, object]]:
    """Numbers and texts of an object, those of objects within it as `outer/inner`. Anything else is counted as left out."""
    for name, value in record.items():
        if isinstance(value, dict) and depth < DEEPEST:
            yield from flat(value, left_out, f"{prefix}{name}/", depth + 1)
        elif isinstance(value, int | float | str) and not isinstance(value, bool):
            yield f"{prefix}{name}", value
        elif value is not None:
            left_out.count(NO_NUMBER)


class JsonLines:
    """One JSON object a line; `NaN` and `Infinity` are read as such."""

    def __init__(self, left_out: LeftOut, step: str = "") -> None:
        self.left_out, self.step = left_out, step
        self.lines = Lines(left_out)

    def feed(self, chunk: bytes) -> list[dict[str, object]]:
        return [record for line in self.lines.feed(chunk) for record in self._record(line)]

    def finish(self) -> list[dict[str, object]]:
        return list(self._record(self.lines.rest()))

    def _record(self, line: bytes) -> Iterator[dict[str, object]]:
        if not line.strip():
            return
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            yield with_step(dict(flat(record, self.left_out)), self.step)
        else:
            self.left_out.count(NO_POINT)


class CsvTable:
    """A head of names, then rows; empty cells are no values. A head that comes again begins a new table."""

    def __init__(self, left_out: LeftOut, step: str = "") -> None:
        self.left_out, self.step = left_out, step
        self.lines = Lines(left_out)
        self.head: list[str] = []

    def feed(self, chunk: bytes) -> list[dict[str, object]]:
        return [record for line in self.lines.feed(chunk) for record in self._row(line)]

    def finish(self) -> list[dict[str, object]]:
        return list(self._row(self.lines.rest()))

    def _row(self, line: bytes) -> Iterator[dict[str, object]]:
        text = line.decode("utf-8-sig", errors="replace").strip("\r\n\0")
        if not text.strip() or text.startswith("#"):
            return
        try:
            (cells,) = csv.reader([text], skipinitialspace=True, delimiter=self._delimiter(text))
        except (csv.Error, ValueError):
            self.left_out.count(NO_POINT)
            return
        if not self.head or cells == self.head:
            self.head = cells
        elif len(cells) != len(self.head):
            self.left_out.count(NO_ROW)
        else:
            yield with_step(
                {name: cell.strip() for name, cell in zip(self.head, cells, strict=True) if cell.strip()}, self.step
            )

    def _delimiter(self, text: str) -> str:
        """A comma, or what stands in the head instead of one."""
        if not self.head:
            self.mark = next((mark for mark in (",", "\t", ";") if mark in text), ",")
        return self.mark
