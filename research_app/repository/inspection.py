"""Reading many objects of a repository at once: for the audit, which looks at all of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from .git import run_git
from .store import Repository
from .trailers import LogEntry, history

_HASH = re.compile("[0-9a-f]{40}")


def trees_of(repository: Repository, commits: Collection[str]) -> dict[str, str]:
    """The tree of each commit that is there; others, and what is no full hash, are left out. One process."""
    hashes = [commit for commit in commits if _HASH.fullmatch(commit)]
    lines = "".join(f"{commit}^{{tree}}\n" for commit in hashes).encode()
    listing = run_git("cat-file", "--batch-check=%(objectname)", repository=repository.path, stdin=lines, timeout=600.0).stdout
    answers = listing.decode("utf-8", "replace").splitlines()
    return {commit: tree for commit, tree in zip(hashes, answers, strict=True) if _HASH.fullmatch(tree)}


def kept_commits(repository: Repository) -> dict[str, str]:
    """The commits that are kept for good, by their names below refs/signoff/. One process."""
    listing = run_git(
        "for-each-ref", "--format=%(refname) %(objectname)", "refs/signoff/candidates/", repository=repository.path
    )
    pairs = (line.split(" ") for line in listing.stdout.decode("utf-8", "replace").splitlines())
    return {name.removeprefix("refs/signoff/"): commit for name, commit in pairs}


def commits_between(repository: Repository, since: str, tip: str) -> Sequence[LogEntry]:
    """First parents from `tip` back to `since`, without that, oldest first. Raises RepositoryError where one is not there."""
    return history(repository.path, tip, since=since)[::-1]
