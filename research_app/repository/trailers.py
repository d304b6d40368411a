"""Trailers: the `Key: value` lines that end a commit's message and tie it to the records of its review."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .errors import RepositoryError
from .git import run_git

Trailers = tuple[tuple[str, str], ...]
CANDIDATE, REVIEWER, EVIDENCE, AUDIT_HEAD = "Candidate", "Reviewed-by", "Evidence", "Audit-Head"
"""Trailers of a landing: what was judged, who approved it, on which evidence, and how far the audit log went."""


@dataclass(frozen=True)
class LogEntry:
    """One commit of the baseline's history, its text untrusted; `time` is the committer's, in UTC."""

    commit: str
    subject: str
    trailers: Trailers
    time: datetime
    tree: str
    parents: tuple[str, ...]
    author: str

    def values(self, key: str) -> list[str]:
        """The values of all trailers with this key."""
        return [value for name, value in self.trailers if name == key]


def message_with_trailers(text: str, trailers: Sequence[tuple[str, str]]) -> str:
    """A commit message whose only trailers are `trailers`, whatever `text` (untrusted) ends with.

    Raises RepositoryError for a key that is not letters and dashes, and for a value that is not one printable line.
    """
    if not trailers:
        raise RepositoryError("A landing needs at least one trailer, to tie it to its candidate.")
    for key, value in trailers:
        if not re.fullmatch(r"[A-Za-z][A-Za-z-]*", key) or not value.strip() or not value.isprintable():
            raise RepositoryError(f"{key!r}: {value!r} is not a trailer: give a key of letters and one line of text.")
    printable = ("".join(letter if letter.isprintable() else " " for letter in line) for line in text.split("\n"))
    body = "\n".join(line.rstrip() for line in printable).strip() or "Change"
    block = "\n".join(f"{key}: {value.strip()}" for key, value in trailers)
    return f"{body}\n\n{block}\n"


def history(repository: Path, tip: str, limit: int | None = None, since: str = "") -> list[LogEntry]:
    """Commits from `tip` back along first parents, newest first: at most `limit`, and none that `since` has too."""
    pretty = "--format=%H%x00%ct%x00%s%x00%T%x00%P%x00%an%x00%(trailers:only,unfold)"
    bounds = [f"--max-count={limit}"] if limit is not None else []
    output = run_git(
        "log", "--first-parent", "-z", "--no-show-signature", "--no-decorate", "--encoding=UTF-8", pretty, *bounds,
        "--end-of-options", tip, *([f"^{since}"] if since else []), "--",
        repository=repository,
    ).stdout  # fmt: skip
    fields = output.decode("utf-8", "backslashreplace").split("\0")
    rows = zip(*(fields[start::7] for start in range(7)), strict=False)
    return [
        LogEntry(commit, subject, _parsed(block), datetime.fromtimestamp(int(when), UTC), tree, tuple(parents.split()), author)
        for commit, when, subject, tree, parents, author, block in rows
    ]


def _parsed(block: str) -> Trailers:
    pairs = (line.partition(":") for line in block.split("\n") if line)
    return tuple((key.strip(), value.strip()) for key, _colon, value in pairs)
