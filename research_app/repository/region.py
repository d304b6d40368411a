"""The lines that a change alters, followed through later commits: which of those altered the same lines.

A merge takes two changes of one file for a conflict where no unchanged line stands between them (git, xdiff/xmerge.c). The
same rule is used here, so that who is named is who is in the way, and not everybody who touched the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.diff import parse_diff

from .git import run_git
from .names import full_hash


@dataclass(frozen=True)
class Span:
    """Lines of one state of a file, counted from 0: from `start` up to, not including, `end`. Empty: a place between lines."""

    start: int
    end: int

    def touches(self, other: Span) -> bool:
        """Whether no line stands between the two."""
        return self.start <= other.end and other.start <= self.end


@dataclass(frozen=True)
class Hunk:
    """Lines before, and what stands in their place after."""

    old: Span
    new: Span


Region = Mapping[str, Sequence[Span]]
"""By path: the lines that a change alters, in one state of the file."""


def hunks(repository: Path, before: str, after: str, path: str) -> list[Hunk]:
    """What differs in one file between two commits, from top to bottom; the whole file where it was made or removed."""
    diff = run_git(
        "diff-tree", "-p", "-r", "--text", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--unified=0",
        "--inter-hunk-context=0", "--diff-algorithm=histogram", "--no-indent-heuristic",
        "--end-of-options", full_hash(before), full_hash(after), "--", f":(literal){path}",
        repository=repository,
    )  # fmt: skip
    files = parse_diff(diff.stdout.decode("utf-8", "backslashreplace"))
    return [Hunk(_span(hunk.old, hunk.old_count), _span(hunk.new, hunk.new_count)) for file in files for hunk in file.hunks]


def _span(first: int, count: int) -> Span:
    return Span(first - 1, first - 1 + count)


def altered(repository: Path, base: str, commit: str, paths: Sequence[str]) -> Region:
    """The lines of `base` that the change from there to `commit` alters, in these files."""
    return {path: [hunk.old for hunk in hunks(repository, base, commit, path)] for path in paths}


def follow(repository: Path, region: Region, before: str, after: str) -> tuple[Region, tuple[str, ...]]:
    """The same lines in a later commit, and the files in which that commit altered them."""
    moved: dict[str, list[Span]] = {}
    clashes = []
    for path, spans in region.items():
        between = hunks(repository, before, after, path) if spans else []
        moved[path] = [_moved(span, between) for span in spans]
        if any(span.touches(hunk.old) for span in spans for hunk in between):
            clashes.append(path)
    return moved, tuple(clashes)


def _moved(span: Span, between: Sequence[Hunk]) -> Span:
    """Where these lines are after; what was put in their place belongs to them."""
    start, end, shift = span.start, span.end, 0
    for hunk in between:
        if hunk.old.end < span.start:
            shift += (hunk.new.end - hunk.new.start) - (hunk.old.end - hunk.old.start)
    start, end = start + shift, end + shift
    for hunk in between:
        if span.touches(hunk.old):
            grown = (hunk.new.end - hunk.new.start) - (hunk.old.end - hunk.old.start)
            start, end = min(start, hunk.new.start), max(end + grown, hunk.new.end)
    return Span(start, max(start, end))
