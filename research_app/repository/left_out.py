"""What of a repository runs will not have as it is there: links, submodules, names that may not enter a tree, LFS pointers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .git import run_git
from .names import full_hash
from .paths import path_problem
from .store import Repository

NAMED = 5  # of each kind
LFS = b"version https://git-lfs.github.com/spec/v1"
LFS_POINTER = 1024  # bytes at most
_ENTRY = re.compile(rb"(\d{6}) (\w+) ([0-9a-f]{40})\s+(\d+|-)\t(.*)", re.DOTALL)


@dataclass
class LeftOut:
    """Paths by what is wrong with them, as they may be shown."""

    links: list[str] = field(default_factory=list)
    submodules: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # path: why
    pointers: list[str] = field(default_factory=list)

    @property
    def sentences(self) -> list[str]:
        """What runs will miss and what to do, for people who bring a repository; empty where all is there."""
        sentences = []
        if self.links:
            sentences.append(
                f"{_named('symbolic link', self.links)}: runs do not have them. Put a copy of the file in its place."
            )
        if self.submodules:
            sentences.append(
                f"{_named('submodule', self.submodules)}: not copied, so the folder is missing in runs. Commit its files, or "
                "put them on the workers and name the folder in [train] read."
            )
        if self.names:
            why = next(iter(self.names.values()))
            sentences.append(
                f"{_named('file', list(self.names))} that runs do not have, because the name {why}. Rename what they need."
            )
        if self.pointers:
            sentences.append(
                f"{_named('file', self.pointers)} of Git LFS: runs have the pointer, not the content. Put the content on the "
                "workers and name its folder in [train] read, or commit it plainly."
            )
        return sentences


def left_out(repository: Repository, commit: str) -> LeftOut:
    """What of a commit's tree runs will not have, or not as it is there. One or two processes."""
    listing = run_git("ls-tree", "-r", "-z", "-l", full_hash(commit), repository=repository.path, timeout=120.0).stdout
    result, small = LeftOut(), dict[str, str]()
    for row in listing.split(b"\0"):
        match = _ENTRY.fullmatch(row)
        if match is None:
            continue
        mode, _, blob, size, name = match.groups()
        path = name.decode("utf-8", "backslashreplace")
        if mode == b"120000":
            result.links.append(path)
        elif mode == b"160000":
            result.submodules.append(path)
        elif problem := _problem(name):
            result.names[path] = problem
        if mode.startswith(b"100") and size.isdigit() and 100 < int(size) <= LFS_POINTER:
            small[path] = blob.decode()
    result.pointers = _pointers(repository, small)
    return result


def _problem(name: bytes) -> str:
    """Why runs do not have a file of this name; empty for those that are git's own, which nobody misses."""
    try:
        problem = path_problem(name.decode()) or ""
    except UnicodeDecodeError:
        return "is not UTF-8"
    return "" if "means something to git" in problem else problem


def _pointers(repository: Repository, small: dict[str, str]) -> list[str]:
    """Which of these blobs are pointers of Git LFS. One process."""
    if not small:
        return []
    names = "".join(f"{blob}\n" for blob in small.values()).encode()
    contents = run_git("cat-file", "--batch", repository=repository.path, stdin=names, timeout=120.0).stdout
    paths_of_pointers, at, paths = list[str](), 0, list(small)
    for path in paths:
        end = contents.index(b"\n", at)
        size = int(contents[at:end].rpartition(b" ")[2])
        if contents[end + 1 : end + 1 + len(LFS)] == LFS:
            paths_of_pointers.append(path)
        at = end + 1 + size + 1
    return paths_of_pointers


def _named(kind: str, paths: list[str]) -> str:
    names = ", ".join("".join(letter if letter.isprintable() else "?" for letter in path) for path in sorted(paths)[:NAMED])
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return f"{len(paths)} {kind}{'s'[: len(paths) != 1]} ({names}{more})"
