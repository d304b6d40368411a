"""Making trees and commits by git's plumbing, in private index files; there is no work tree anywhere."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from .errors import PatchError, RepositoryError, TroubleError
from .git import EMPTY_TREE, GitError, identity, run_git
from .paths import path_problem

LOCAL_SECONDS = 60.0
SIGNING_SECONDS = 20.0
"""A signer asks others (an agent, a smart card) and may hang; a landing does not wait for it longer than that."""


@dataclass(frozen=True)
class Signing:
    """How landing commits are signed: with the ssh key in the file `key`, or the OpenPGP key with that fingerprint."""

    kind: Literal["ssh", "openpgp"]
    key: str
    gnupg_home: str = ""


@contextmanager
def private_index(repository: Path, base: str) -> Iterator[Path]:
    """A temporary index file that holds the tree of `base`."""
    with tempfile.TemporaryDirectory(prefix="signoff-index-") as folder:
        index = Path(folder, "index")
        run_git("read-tree", "--end-of-options", base, repository=repository, environment=_at(index))
        yield index


def index_tree(repository: Path, index: Path) -> str:
    """Write the index's tree and return its hash."""
    return run_git("write-tree", repository=repository, environment=_at(index)).stdout.decode().strip()


def tree_with(repository: Path, files: Mapping[str, tuple[str, bytes]], base: str = EMPTY_TREE) -> str:
    """The tree of `base` with `files` (path to mode and content) put in.

    Raises PatchError for a path that may not enter a tree, or that would be a file and a folder at once.
    """
    lines = []
    for path, (mode, data) in files.items():
        if problem := path_problem(path):
            raise PatchError(f"The path {path!r} {problem}.")
        blob = run_git("hash-object", "-w", "--stdin", repository=repository, stdin=data).stdout.decode().strip()
        lines.append(f"{mode} {blob}\t{path}\0")
    with private_index(repository, base) as index:
        stdin = "".join(lines).encode()
        try:
            run_git("update-index", "-z", "--index-info", repository=repository, stdin=stdin, environment=_at(index))
        except GitError as error:
            raise PatchError(f"The files cannot be put into one tree: {error.errors}.") from None
        return index_tree(repository, index)


def commit_tree(
    repository: Path,
    tree: str,
    parents: Sequence[str],
    message: str,
    author: str,
    when: datetime,
    signing: Signing | None = None,
) -> str:
    """Commit `tree` as it is and return the commit. Its date is `when`, so the same input makes the same commit.

    Raises TroubleError where it cannot be signed.
    """
    if not message.strip() or "\0" in message:
        raise RepositoryError("A commit needs a message of plain text.")
    arguments = [part for parent in parents for part in ("-p", parent)]
    environment, configuration = identity(author, when), {}
    if signing:
        arguments.append("-S")
        configuration = {"gpg.format": signing.kind, "user.signingKey": signing.key}
        environment |= {"GNUPGHOME": signing.gnupg_home} if signing.gnupg_home else {}
    try:
        output = run_git(
            "commit-tree", tree, *arguments,
            repository=repository, stdin=message.encode("utf-8", "backslashreplace"), environment=environment,
            configuration=configuration, timeout=SIGNING_SECONDS if signing else LOCAL_SECONDS,
        )  # fmt: skip
    except (GitError, TroubleError) as error:
        if not signing:
            raise
        reason = " ".join(error.errors.split())[:400] if isinstance(error, GitError) else str(error)
        raise TroubleError(f"The landing could not be signed with the {signing.kind} key {signing.key}: {reason}") from None
    return output.stdout.decode().strip()


def _at(index: Path) -> dict[str, str]:
    return {"GIT_INDEX_FILE": str(index)}
