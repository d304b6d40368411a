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


@dataclass(frozen=True)
class LogEntry:
    """One commit of the baseline's history, its text untrusted; `time` is the committer's, in UTC."""

    commit: str
    subject: str
    trailers: Trailers
    time: datetime


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


def history(repository: Path, tip: str, limit: int) -> list[LogEntry]:
    """At most `limit` commits from `tip` back along first parents, newest first."""
    pretty = "--format=%H%x00%ct%x00%s%x00%(trailers:only,unfold)"
    output = run_git(
        "log", "--first-parent", "-z", "--no-show-signature", "--no-decorate", "--encoding=UTF-8", pretty,
        f"--max-count={limit}", "--end-of-options", tip, "--",
        repository=repository,
    ).stdout  # fmt: skip
    fields = output.decode("utf-8", "backslashreplace").split("\0")
    return [
        LogEntry(commit, subject, _parsed(block), datetime.fromtimestamp(int(seconds), UTC))
        for commit, seconds, subject, block in zip(*(fields[start::4] for start in range(4)), strict=False)
    ]


def _parsed(block: str) -> Trailers:
    pairs = (line.partition(":") for line in block.split("\n") if line)
    return tuple((key.strip(), value.strip()) for key, _colon, value in pairs)
