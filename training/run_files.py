"""Curves and the metric from files that a run writes below its output folder, read while it trains.

Nothing in them is trusted: no link is followed, sizes are bounded, and what cannot be read is named. Which files are read, and
how, says the source (`training/sources/`).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping

from training.launch import COPY
from training.metric_source import SOURCES, FileFormat, Reader, Record
from training.readings import Readings, shown
from training.series import SERIES, Damaged, Outputs, UnsafeOutput
from training.spec import Point, SelfReported

FILE_LIMIT = 64 << 20  # bytes of all files that are read of one run
SECONDS = 2.0  # between two looks for the file, while there is none
MOST_FILES = 16
NAMED = 8  # files in a sentence
AT_ONCE = 4 << 20  # bytes of a file while the run trains, so that its limits are kept meanwhile
CHUNK = 1 << 20


class FileReadings(Readings):
    """The values of one run, from its files.

    What is read while it trains is for its curves. At the end everything is read anew, by name and from the beginning, for code
    that writes its file again each time: what stands there then counts.
    """

    verb = "wrote"

    def __init__(self, scoring: SelfReported, outputs: Outputs) -> None:
        super().__init__(scoring)
        self.scoring, self.outputs, self.kind = scoring, outputs, files_of(scoring)
        self.pattern = scoring.file or self.kind.pattern
        self.matches = matcher(self.pattern)
        self.began = time.time()
        self.looked = 0.0
        self.followed: dict[str, _Followed] = {}
        self.damaged = False  # what is wrong is said at the end, where it may be mended
        self.read_bytes = 0
        self.others: list[str] = []  # files that were there and did not match

    def close(self) -> None:
        for each in self.followed.values():
            each.close()
        self.followed = {}

    def read(self) -> list[Point]:
        """The points that were written since the last call. Raises UnsafeOutput for more than may be read of a run."""
        if self.damaged:
            return []
        if (not self.followed or self.kind.several) and time.monotonic() - self.looked >= SECONDS:
            self._look()
        try:
            return self._points({}, AT_ONCE)
        except Damaged:
            self.damaged = True
            return []

    def finish(self) -> list[Point]:
        """The points that were not handed on yet. Raises UnsafeOutput."""
        known = {path: each.records for path, each in self.followed.items()}
        self.close()
        self.begin()
        self.read_bytes = 0
        self._look()
        points = self._points(known)
        for each in self.followed.values():
            points += [point for record in each.reader.finish() for point in self._take(each, record)]
        return points

    def why_no_score(self) -> str:
        if self.no_number:
            return super().why_no_score()
        if not self.followed:
            there = ", ".join(map(shown, self.others[:NAMED])) or "none"
            return (
                f"The run ended, and no file below its output folder is {self.pattern} ([metric] source {self.format}, file). "
                f"Files there: {there}."
            )
        read = ", ".join(map(shown, self.followed))
        names = ", ".join(map(shown, sorted(self.left_out.names - {self.metric})[:20])) or "none"
        return f"The run ended without writing its metric {self.metric!r} into {read} (values there: {names})."

    def number(self, value: object) -> float | None:
        """In a file a text is a number as a whole or not at all: dates and names are none."""
        try:
            return float(value) if isinstance(value, str) else super().number(value)
        except ValueError:
            return None

    def _look(self) -> None:
        """Find the files of this run that match. Raises UnsafeOutput."""
        self.looked, self.others = time.monotonic(), []
        inside = os.path.normpath(f"{COPY}/{self.scoring.directory}") + "/"
        for path in self.outputs.files():
            name = path.removeprefix(inside).removeprefix(f"{COPY}/")  # in the run's own copy of the tree
            if name == SERIES or path in self.followed:
                continue
            if not (self.matches(name) or self.matches(path)):
                self.others.append(name)
            elif followed := self._opened(path):
                self.followed[path] = followed
        most = MOST_FILES if self.kind.several else 1
        if len(self.followed) > most:
            names = ", ".join(map(shown, list(self.followed)[:NAMED]))
            raise UnsafeOutput(f"more than {most} of its files {counted_by(self.pattern)} ({names}): name one in [metric] file")

    def _opened(self, path: str) -> _Followed | None:
        fd = self.outputs.open(path, FILE_LIMIT)
        if fd is None:
            return None
        if os.fstat(fd).st_mtime < self.began:  # part of the tree, not of what the run wrote
            os.close(fd)
            return None
        return _Followed(fd, path, self.kind.reader(self.scoring, path, self.left_out))

    def _points(self, known: Mapping[str, int], most: int = FILE_LIMIT) -> list[Point]:
        """The points of what is new in every file, at most so many bytes; without those of the first `known` records."""
        points = []
        for path, each in self.followed.items():
            for record in self._new(each, most):
                each.records += 1
                taken = list(self._take(each, record))
                points += taken if each.records > known.get(path, 0) else []
        return points

    def _new(self, followed: _Followed, most: int) -> Iterator[Record]:
        while most > 0 and (chunk := os.read(followed.fd, CHUNK)):
            most -= len(chunk)
            self.read_bytes += len(chunk)
            if self.read_bytes > FILE_LIMIT:
                raise UnsafeOutput(f"{shown(followed.name)} grew beyond the {FILE_LIMIT:,} bytes allowed; log fewer points")
            yield from followed.reader.feed(chunk)

    def _take(self, followed: _Followed, record: Record) -> Iterator[Point]:
        """One record; of several folders of files each gives its series its name, as TensorBoard shows them."""
        folders = {name.rpartition("/")[0] for name in self.followed}
        if len(folders) > 1:
            common = os.path.commonpath(folders) if all(folders) else ""
            prefix = followed.name.rpartition("/")[0].removeprefix(common).strip("/")
            record = {f"{prefix}/{name}" if prefix and name != "step" else name: value for name, value in record.items()}
        yield from self.values(record, ALIASES)


def files_of(scoring: SelfReported) -> FileFormat:
    """The files that its source reads."""
    files = SOURCES.named(scoring.format).files
    assert files is not None, f"{scoring.format} reads no files"
    return files


def counted_by(pattern: str) -> str:
    return f"match {pattern}" if set("*?") & set(pattern) else f"are {pattern}"


_CALLED = {
    "train_loss": ("loss", "train/loss", "loss/train", "training_loss"),
    "val_loss": ("val/loss", "loss/val", "eval/loss", "validation/loss", "loss/validation", "eval_loss", "valid_loss"),
    "lr": ("learning_rate", "train/lr", "train/learning_rate"),
    "grad_norm": ("train/grad_norm", "gradient_norm"),
    "tokens_per_second": ("tok/sec", "tok/s", "tokens/sec", "train/tok_per_sec", "tokens_per_sec"),
}
ALIASES = {theirs: ours for ours, names in _CALLED.items() for theirs in names}
"""What well-known series are called here, by what others call them. The metric keeps its own name too."""


class _Followed:
    """One file that is open, read as it grows."""

    def __init__(self, fd: int, name: str, reader: Reader) -> None:
        self.fd, self.name, self.reader = fd, name, reader
        self.records = 0

    def close(self) -> None:
        os.close(self.fd)


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a path below the output folder is meant: `*` within one name, `**/` for any folders, none among them."""
    parts = re.split(r"(\*\*/|\*|\?)", pattern)
    known = {"**/": r"(?:[^/]+/)*", "*": r"[^/]*", "?": r"[^/]"}
    expression = re.compile("".join(known.get(part, re.escape(part)) for part in parts))
    return lambda path: expression.fullmatch(path) is not None
