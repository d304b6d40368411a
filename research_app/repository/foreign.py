"""Commits of a repository that is not ours, read in a throw-away copy: who made them, when, and what they changed.

Nothing of the source's configuration is used. Its branch is fetched, as for a mirror; of a folder on this machine the objects
are looked through too, because a loop that resets its branch leaves discarded commits behind that no branch names.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from .errors import RepositoryError
from .git import EMPTY_TREE, Bounds, run_git
from .mirror import address_of, built_at, fetch_branch
from .store import Repository

MOST_COMMITS = 100_000  # of the branch that are looked at
DIFF = Bounds(output=1 << 20)
LOG = Bounds(output=256 << 20, memory=1 << 30, seconds=120)
STEPS_BACK = 1000  # first parents on the way to an earlier commit
_FIELDS = 5


@dataclass(frozen=True)
class ForeignCommit:
    """What a commit says of itself. Names and words are anybody's."""

    commit: str
    parents: tuple[str, ...]
    author: str
    at: datetime | None
    message: str


class ForeignRepository(Repository):
    """The throw-away copy, with what its commits say."""

    def find(self, names: Iterable[str]) -> dict[str, str]:
        """Full hashes by the hashes, or beginnings of some, that were given. What is missing or ambiguous is left out."""
        wanted = [name for name in dict.fromkeys(names) if re.fullmatch(r"[0-9a-f]{4,40}", name)]
        query = "".join(f"{name}^{{commit}}\n" for name in wanted).encode()
        answer = run_git("cat-file", "--batch-check", repository=self.path, stdin=query).stdout.decode("utf-8", "replace")
        pairs = zip(wanted, answer.split("\n"), strict=False)
        return {name: line.split(" ")[0] for name, line in pairs if re.fullmatch(r"[0-9a-f]{40} commit [0-9]+", line)}

    def about(self, commits: Iterable[str]) -> Mapping[str, ForeignCommit]:
        """These commits and those of the branch, by hash, with their ancestors."""
        names = "".join(f"{commit}\n" for commit in [self.tip(), *commits]).encode()
        words = run_git(
            "log", "--stdin", "-z", f"--max-count={MOST_COMMITS}", "--encoding=UTF-8", "--format=%H%x00%P%x00%an%x00%at%x00%B",
            repository=self.path, stdin=names, bounds=LOG, timeout=300.0,
        ).stdout.decode("utf-8", "backslashreplace")  # fmt: skip
        fields = words.removesuffix("\0").split("\0")
        records = (fields[at : at + _FIELDS] for at in range(0, len(fields), _FIELDS))
        return {each[0]: _commit(*each) for each in records if len(each) == _FIELDS}

    def changed(self, base: str, commit: str) -> str:
        """The diff between two commits, to be applied. Raises GitError beyond a megabyte, PatchError for what is not UTF-8."""
        return self.patch(base or EMPTY_TREE, commit, DIFF)

    @cached_property
    def head(self) -> str:
        """The branch's newest commit."""
        return self.tip()


def _commit(commit: str, parents: str, author: str, seconds: str, message: str) -> ForeignCommit:
    try:
        at = datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        at = None
    return ForeignCommit(commit, tuple(parents.split()), author, at, message.strip())


def is_ancestor(commits: Mapping[str, ForeignCommit], earlier: str, later: str) -> bool:
    """Whether one commit lies on the other's way back along first parents."""
    for _ in range(STEPS_BACK):
        if later == earlier:
            return True
        match = commits.get(later)
        if match is None or not match.parents:
            return False
        later = match.parents[0]
    return False


@contextmanager
def opened_elsewhere(source: str, branch: str) -> Iterator[ForeignRepository]:
    """A copy of one branch of `source`, gone when the block ends. Raises RepositoryError."""
    with tempfile.TemporaryDirectory(prefix="signoff-history-") as folder:
        path = Path(folder) / "history.git"
        with built_at(path, branch) as new:
            fetch_branch(new, source, branch)
        if objects := objects_of(source):
            (path / "objects" / "info").mkdir(parents=True, exist_ok=True)
            (path / "objects" / "info" / "alternates").write_text(f"{objects}\n", encoding="utf-8")
        yield ForeignRepository(path, branch)


def objects_of(source: str) -> Path | None:
    """Where a repository on this machine keeps its objects; None for one elsewhere, or whose place git cannot be told."""
    folder = Path(source).expanduser()
    if not folder.is_dir():
        return None
    folder = Path(address_of(source))
    git = folder / ".git"
    if git.is_file():  # a work tree beside another
        pointed = git.read_text(encoding="utf-8", errors="replace").strip().removeprefix("gitdir: ")
        common = (folder / pointed) / "commondir"
        git = (folder / pointed / common.read_text(encoding="utf-8").strip()) if common.is_file() else folder / pointed
    objects = next((place for place in (git / "objects", folder / "objects") if place.is_dir()), None)
    return objects.resolve() if objects and str(objects).isprintable() and '"' not in str(objects) else None


__all__ = ["ForeignCommit", "ForeignRepository", "RepositoryError", "is_ancestor", "opened_elsewhere"]
