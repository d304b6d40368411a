"""Reading commits, trees and blobs of our bare repository through GitPython, which asks `git cat-file` for the bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # let run_git say that git is missing, not this import

from git import Repo
from git.exc import BadName, BadObject
from git.objects import Blob, Commit, Tree

from .errors import RepositoryError
from .git import ENVIRONMENT

_UNDECODED = re.compile("[\udc80-\udcff]")  # how Python holds bytes of a name that are not UTF-8
_FILE_TYPE, _REGULAR = 0o170000, 0o100000


@contextmanager
def _repo(path: Path) -> Iterator[Repo]:
    """A reader of its own for each block, so that threads share nothing and no process is left behind."""
    with Repo(path, expand_vars=False) as repo:
        here = {"GIT_DIR": str(path), "GIT_OBJECT_DIRECTORY": str(path / "objects")}
        repo.git.update_environment(**ENVIRONMENT, **here)
        yield repo


@contextmanager
def opened(path: Path, commit: str) -> Iterator[Commit]:
    """The commit with this full hash, readable inside the block. Raises RepositoryError when there is none."""
    with _repo(path) as repo:
        try:
            git_object = repo.commit(commit)
        except (BadName, BadObject, ValueError):
            raise RepositoryError(f"The repository {path} has no commit {commit}.") from None
        yield git_object


def blobs(tree: Tree) -> Iterator[Blob]:
    """All regular files of a tree and its folders. Links, submodules and names that are not UTF-8 are left out."""
    for entry in tree.traverse():
        if isinstance(entry, Blob) and entry.mode & _FILE_TYPE == _REGULAR and not _UNDECODED.search(str(entry.path)):
            yield entry


def blob_at(commit: Commit, path: str) -> Blob | None:
    """The regular file at `path`, or None."""
    try:
        entry = commit.tree / path
    except KeyError:
        return None
    return entry if isinstance(entry, Blob) and entry.mode & _FILE_TYPE == _REGULAR else None


def content(blob: Blob) -> bytes:
    data: bytes = blob.data_stream.read()
    return data


def read_blob(path: Path, blob: str, largest: int) -> tuple[int, bytes]:
    """The size of a blob in bytes and its content, which is empty when the blob is larger than `largest`."""
    with _repo(path) as repo:
        size = repo.odb.info(bytes.fromhex(blob)).size
        return size, repo.odb.stream(bytes.fromhex(blob)).read() if size <= largest else b""
