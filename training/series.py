"""Reads what an untrusted run left in its folder: the series as they grow, and the facts it states at its end."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from training.left_out import FACT_LIMIT, NO_POINT, LeftOut, printable
from training.lines import Lines
from training.spec import Point

SERIES = "series.jsonl"
CHECKPOINT = "checkpoint.safetensors"
SERIES_LIMIT = 64 << 20  # bytes
MOST_ENTRIES = 20_000  # files and folders below an output folder, where one is looked for
MOST_DEEP = 8  # folders


class UnsafeOutput(Exception):
    """An output of a run is not what it must be: a plain file of its own, within its size."""


class Damaged(UnsafeOutput):
    """A file of a run that is damaged, or of another format; the message names it and the place."""


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
        """A read-only descriptor of a regular file of at most `limit` bytes; None when there is none. Raises UnsafeOutput.

        `name` may lie in folders below this one; a link on the way is refused as one at its end is.
        """
        try:
            with self._folder_of(name) as folder:
                fd = os.open(name.rpartition("/")[2], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except FileNotFoundError:
            return None
        except OSError as error:  # ELOOP for a link, ENXIO for a socket
            raise UnsafeOutput(f"{name} cannot be opened as a plain file ({error.strerror})") from error
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_size > limit:
            os.close(fd)
            if not stat.S_ISREG(status.st_mode):
                raise UnsafeOutput(f"{name} is not a plain file")
            if status.st_nlink != 1:
                raise UnsafeOutput(f"{name} is a second name of another file")
            raise UnsafeOutput(f"{name} has {status.st_size} bytes, more than the {limit} allowed")
        return fd

    def files(self, most: int = MOST_ENTRIES) -> Iterator[str]:
        """The names of what lies below, links and pipes among them, in order; at most MOST_DEEP folders deep.

        Raises UnsafeOutput where there is more than `most`. What cannot be read is passed over.
        """
        waiting, seen = [""], 0
        while waiting:
            place = waiting.pop()
            try:
                with self._folder_of(f"{place}x") as folder:
                    entries = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in os.scandir(folder))
            except OSError:
                continue
            seen += len(entries)
            if seen > most:
                raise UnsafeOutput(f"there are more than {most:,} files below its output folder")
            yield from (f"{place}{name}" for name, is_folder in entries if not is_folder)
            if place.count("/") < MOST_DEEP:
                waiting += [f"{place}{name}/" for name, is_folder in reversed(entries) if is_folder]

    @contextmanager
    def _folder_of(self, name: str) -> Iterator[int]:
        """The folder that a name lies in, no link followed on the way. Raises OSError."""
        folder, opened = self.folder, []
        try:
            for part in name.split("/")[:-1]:
                folder = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                opened.append(folder)
            yield folder
        finally:
            for fd in opened:
                os.close(fd)


class SeriesReader:
    """Follows `series.jsonl`: one JSON object per line, either a point, the facts of the run, or why it stopped itself."""

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs
        self.fd: int | None = None
        self.read_bytes = 0
        self.facts: dict[str, float | int | str] = {}
        self.not_finite = ""  # why the run stopped itself, when a number was no longer finite
        self.left_out = LeftOut()
        self.lines = Lines(self.left_out)

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
            points += [point for line in self.lines.feed(chunk) if (point := self._parse(line)) is not None]
        return points

    def finish(self) -> list[Point]:
        """The points that are left, a last line without an end among them. Raises UnsafeOutput."""
        points = self.read()
        last = self.lines.rest()
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
