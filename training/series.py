"""Reads what an untrusted run left in its folder: the series as they grow, and the facts it states at its end."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Self

from training.left_out import FACT_LIMIT, LINE_LIMIT, LONG_POINTS, NO_POINT, LeftOut, printable
from training.spec import Point

SERIES = "series.jsonl"
CHECKPOINT = "checkpoint.safetensors"
SERIES_LIMIT = 64 << 20  # bytes


class UnsafeOutput(Exception):
    """An output of a run is not what it must be: a plain file of its own, within its size."""


class Outputs:
    """The folder of a run, held open, so that the run cannot swap it for another one."""

    def __init__(self, folder: Path) -> None:
        self.folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self.folder)

    def clear(self, *names: str) -> None:
        """Remove outputs of an earlier attempt."""
        for name in names:
            try:
                os.unlink(name, dir_fd=self.folder)
            except FileNotFoundError:
                continue

    def open(self, name: str, limit: int) -> int | None:
        """A read-only descriptor of a regular file of at most `limit` bytes; None when there is none. Raises UnsafeOutput."""
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.folder)
        except FileNotFoundError:
            return None
        except OSError as error:  # ELOOP for a link, ENXIO for a socket
            raise UnsafeOutput(f"{name} cannot be opened as a plain file ({error.strerror})") from error
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size > limit:
            os.close(fd)
            if not stat.S_ISREG(found.st_mode):
                raise UnsafeOutput(f"{name} is not a plain file")
            if found.st_nlink != 1:
                raise UnsafeOutput(f"{name} is a second name of another file")
            raise UnsafeOutput(f"{name} has {found.st_size} bytes, more than the {limit} allowed")
        return fd


class SeriesReader:
    """Follows `series.jsonl`: one JSON object per line, either a point, the facts of the run, or why it stopped itself."""

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs
        self.fd: int | None = None
        self.read_bytes = 0
        self.partial = b""
        self.skipping = False  # within a line that is too long
        self.facts: dict[str, float | int | str] = {}
        self.not_finite = ""  # why the run stopped itself, when a number was no longer finite
        self.left_out = LeftOut()

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)

    def read(self) -> list[Point]:
        """The points that were added since the last call. Raises UnsafeOutput."""
        if self.fd is None:
            self.fd = self.outputs.open(SERIES, SERIES_LIMIT)
            if self.fd is None:
                return []
        points = []
        while chunk := os.read(self.fd, 1 << 20):
            self.read_bytes += len(chunk)
            if self.read_bytes > SERIES_LIMIT:
                raise UnsafeOutput(f"{SERIES} grew beyond the {SERIES_LIMIT} bytes allowed; log fewer points")
            points += [point for line in self._lines(chunk) if (point := self._parse(line)) is not None]
        return points

    def _lines(self, chunk: bytes) -> list[bytes]:
        """The lines that end in this chunk, without those that are too long, wherever the chunks begin and end."""
        *lines, self.partial = (self.partial + chunk).split(b"\n")
        if self.skipping:
            self.skipping = not lines
            lines, self.partial = lines[1:], b"" if self.skipping else self.partial
        if len(self.partial) > LINE_LIMIT:
            self.left_out.count(LONG_POINTS)
            self.partial, self.skipping = b"", True
        short = [line for line in lines if len(line) <= LINE_LIMIT]
        if len(short) < len(lines):
            self.left_out.count(LONG_POINTS, len(lines) - len(short))
        return short

    def finish(self) -> list[Point]:
        """The points that are left, a last line without an end among them. Raises UnsafeOutput."""
        points = self.read()
        last, self.partial = self.partial, b""
        if last.strip() and (point := self._parse(last)) is not None:
            points.append(point)
        return points

    def _parse(self, line: bytes) -> Point | None:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            self.left_out.count(NO_POINT)
            return None
        if isinstance(facts := record.get("facts"), dict):
            self.facts = self.left_out.facts(facts)
        elif isinstance(reason := record.get("not_finite"), str):
            self.not_finite = printable(reason[:FACT_LIMIT])
        elif isinstance(step := record.pop("step", None), int) and not isinstance(step, bool) and 0 <= step < 2**53:
            return Point(step, self.left_out.values(record))
        else:
            self.left_out.count(NO_POINT)
        return None
