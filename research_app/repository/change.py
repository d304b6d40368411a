"""What a proposed change is, and how large it may be."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Limits:
    """The largest change that is taken in. Lines count added and removed together; bytes are those of UTF-8."""

    max_files: int = 20
    max_changed_lines: int = 2000
    max_file_bytes: int = 1 << 20
    max_patch_bytes: int = 2 << 20


@dataclass(frozen=True)
class FileChange:
    """One file of a change; `added` and `removed` count lines. A renamed file is one deleted and one added."""

    path: str
    kind: Literal["modified", "added", "deleted"]
    added: int
    removed: int


@dataclass(frozen=True)
class Change:
    """A commit on a base, ready for review. `commit`, `tree`, `base`: full hashes; `diff`: what a person reads."""

    commit: str
    tree: str
    base: str
    diff: str
    diff_hash: str
    files: tuple[FileChange, ...]


def diff_hash(diff: str) -> str:
    """SHA-256 over what a diff says, whatever it was made on: blob names and line numbers do not count.

    Lines of a file begin with ' ', '+', '-' or '\\' in a diff, so what is left out here can never be content.
    """
    kept = []
    for line in diff.split("\n"):
        if line.startswith("@@ "):
            kept.append("@@")
        elif not line.startswith("index "):
            kept.append(line)
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()
