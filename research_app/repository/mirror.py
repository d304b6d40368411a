"""Making a project's bare repository: built beside its place and moved there whole, from nothing or from a source."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import RepositoryError
from .git import GitError, run_git
from .names import branch_ref

FETCH_SECONDS = 900.0


@contextmanager
def built_at(path: Path, branch: str) -> Iterator[Path]:
    """An empty bare repository that moves to `path` when the block ends well, and vanishes when it does not."""
    path = Path(path).absolute()
    branch_ref(branch)
    if path.exists() and any(path.iterdir()):
        raise RepositoryError(f"There is something at {path} already; choose another place for the repository.")
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        run_git("init", "--bare", "--quiet", "--template=", f"--initial-branch={branch}", "--", str(folder))
        yield folder
        folder.rename(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fetch_branch(repository: Path, source: str, branch: str, *, depth: int = 0) -> None:
    """Fetch one branch of `source`, a folder or an address, with its history or the newest `depth` commits of it.

    Raises RepositoryError.
    """
    address, public_address = address_of(source), shown_without_secrets(source)
    try:
        _check_branch(heads(repository, address), public_address, branch)
        ref = branch_ref(branch)
        run_git(
            "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--update-shallow",
            *([f"--depth={depth}"] if depth else []),
            "--end-of-options", address, f"{ref}:{ref}",
            repository=repository, timeout=FETCH_SECONDS,
        )  # fmt: skip
    except GitError as error:
        raise RepositoryError(_why_not(error.errors, public_address)) from None


def address_of(source: str) -> str:
    """What git is told: an absolute folder, or the address as it is."""
    if not source or source.startswith("-") or not source.isprintable():
        raise RepositoryError(f"{source!r} is not a repository: give a folder or an address.")
    folder = Path(source).expanduser()
    if folder.exists():
        return str(folder.absolute())
    if not re.match(r"(https?|ssh|git|file)://|[\w.-]++(?:@[\w.-]*+)?:(?!:)", source):
        raise RepositoryError(f"There is no folder {source}, and it is not an address either (https://…, ssh://…).")
    return source


def heads(repository: Path, address: str, timeout: float = FETCH_SECONDS) -> dict[str, str]:
    """The branches at an address, with their commits. Raises GitError, TroubleError."""
    listing = run_git(
        "ls-remote", "--heads", "--end-of-options", address, repository=repository, timeout=timeout
    ).stdout.decode("utf-8", "backslashreplace")
    rows = (line.partition("\trefs/heads/") for line in listing.split("\n") if line)
    return {branch: commit for commit, _tab, branch in rows}


def _check_branch(branches: Collection[str], public_address: str, branch: str) -> None:
    if not branches:
        raise RepositoryError(f"The repository {public_address} is empty: commit something to its branch {branch} first.")
    if branch not in branches:
        names = ", ".join(list(branches)[:20]) + (", …" if len(branches) > 20 else "")
        raise RepositoryError(f"The repository {public_address} has no branch {branch}. It has: {names}.")


def _why_not(errors: str, public_address: str) -> str:
    if "dubious ownership" in errors:
        return f"The repository {public_address} belongs to another user: make a copy of your own (git clone) and name that."
    if "terminal prompts disabled" in errors or "Permission denied" in errors or "Authentication failed" in errors:
        return f"The repository {public_address} asks for a sign-in: use an ssh address with a key, or a local clone."
    if "not appear to be a git repository" in errors or "not found" in errors:
        return f"There is no git repository at {public_address}. Name the folder that holds .git, or an address to clone from."
    if "Could not resolve host" in errors or "unable to access" in errors or "Could not read from remote" in errors:
        return f"The repository {public_address} cannot be reached. Check the address and the network, or name a local clone."
    return f"The repository {public_address} could not be copied: {shown_without_secrets(' '.join(errors.split()))[:500]}"


def shown_without_secrets(text: str) -> str:
    """A text as a person may see it: addresses in it without user and password."""
    return re.sub(r"//[^/@\s]*@", "//", text)


def default_branch(source: str) -> str:
    """The branch that a repository shows first. Raises RepositoryError."""
    address, public_address = address_of(source), shown_without_secrets(source)
    with tempfile.TemporaryDirectory(prefix=".signoff-look-") as folder:
        run_git("init", "--bare", "--quiet", "--template=", "--", folder)
        try:
            listing = run_git(
                "ls-remote", "--symref", "--end-of-options", address, "HEAD", repository=Path(folder), timeout=60.0
            )
            match = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", listing.stdout.decode("utf-8", "replace"), re.MULTILINE)
            branches = [match[1]] if match else list(heads(Path(folder), address))
        except GitError as error:
            raise RepositoryError(_why_not(error.errors, public_address)) from None
    if not branches:
        raise RepositoryError(f"The repository {public_address} is empty: commit something first.")
    return branches[0]
