"""What a diff is made of: lines in hunks, the unchanged stretches between them, files. Plain data, filled in step by step."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from django.utils.safestring import SafeString


@dataclass
class Line:
    """One line of a hunk. `old` and `new` are line numbers; `html` is safe."""

    kind: str  # "context", "added", "removed" or "note"
    text: str
    old: int | None = None
    new: int | None = None
    marks: list[tuple[int, int]] = field(default_factory=list)  # ranges of changed words
    flags: list[Any] = field(default_factory=list)  # findings.Flag: risky edits on this line
    old_threads: list[Any] = field(default_factory=list)  # threads.Placed on the left
    new_threads: list[Any] = field(default_factory=list)  # and on the right
    first: bool = False  # of a chunk: a run of changed lines
    rebased: bool = False  # came with a newer baseline, not with the author's revision
    rest: int = 0  # characters at its end that are not shown before somebody asks
    respaced: bool = False  # differs in white space alone, and is shown as context
    html: SafeString = field(default_factory=SafeString)

    @property
    def changed(self) -> bool:
        return self.kind in ("added", "removed")


@dataclass
class Hunk:
    """Consecutive lines. `old` and `new`: numbers of the first line on each side; `place` is what git names after the @@.

    `made` may be a function that makes the lines: it is called when somebody looks at one, as nobody does in a folded file.
    """

    place: str
    made: list[Line] | Callable[[], list[Line]]
    old: int = 1
    new: int = 1
    old_count: int = 0
    new_count: int = 0

    @property
    def lines(self) -> list[Line]:
        if callable(self.made):
            self.made = self.made()
        return self.made

    @lines.setter
    def lines(self, lines: list[Line]) -> None:
        self.made = lines

    def chunks(self) -> Iterator[list[Line]]:
        """Runs of changed lines."""
        for changed, lines in groupby((line for line in self.lines if line.kind != "note"), lambda line: line.changed):
            if changed:
                yield list(lines)


@dataclass(frozen=True)
class Gap:
    """Unchanged lines that are not shown: `count` of them from line `old` before and `new` after. `place` follows it."""

    old: int
    new: int
    count: int
    place: str = ""
    last: bool = False  # up to the end of the file


@dataclass
class FileDiff:
    """One file of a diff."""

    path: str
    kind: str  # "modified", "added", "deleted", "renamed" or "copied"
    hunks: list[Hunk]
    added: int = 0
    removed: int = 0
    hidden_characters: bool = False
    crlf: bool = False  # every line of the diff ends with CR and LF: said once, not at each line
    coloured: bool = True
    mode: tuple[str, str] | None = None  # before and after, where it changed
    number: int = 0  # place in the list of files, from 1
    parts: list[Hunk | Gap] = field(default_factory=list)  # what is shown, in order
    heavy: bool = False  # so much that it is drawn only when somebody asks
    loaded: bool = False  # False: its lines come by a request of their own
    viewed: bool = False
    threads: list[Any] = field(default_factory=list)  # threads.Placed that have no line here: on the whole file, or outdated
    talk: int = 0  # number of threads in the file
    open_talk: int = 0  # of which so many are not resolved
    address: str = ""  # where its lines are fetched

    html: SafeString = field(default_factory=SafeString)  # its rows

    @property
    def folder(self) -> str:
        """With its last slash; empty at the top."""
        return self.path[: self.path.rfind("/") + 1]

    @property
    def name(self) -> str:
        return self.path[self.path.rfind("/") + 1 :]

    @property
    def lines(self) -> Iterator[Line]:
        """What is shown of it, also in gaps that were opened."""
        for part in self.parts or self.hunks:
            if isinstance(part, Hunk):
                yield from part.lines
