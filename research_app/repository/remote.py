"""Pushing the baseline to a project's remote: with a lease on what was seen there, never by force."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .errors import RejectedError, TroubleError
from .git import GitError, run_git
from .mirror import address_of, heads, shown_without_secrets
from .names import branch_ref

SECONDS = 120.0
"""A remote that takes longer to answer counts as down."""


def push_branch(repository: Path, remote: str, branch: str, commit: str, contains: Callable[[str], bool]) -> None:
    """Bring `branch` of `remote`, a folder or an address, to `commit`; nothing happens where it is there already.

    The remote moves only if it still is where it was seen, and only forward: `contains` says whether what is there
    belongs to the history of `commit`. Raises RejectedError where it does not or the remote refuses, TroubleError where it
    cannot be reached; both messages are for a person.
    """
    address, public_address, ref = address_of(remote), shown_without_secrets(remote), branch_ref(branch)
    try:
        there = heads(repository, address, SECONDS).get(branch, "")
    except GitError as error:
        raise TroubleError(f"The remote {public_address} cannot be reached: {_said(error)}") from None
    if there == commit:
        return
    if there and not contains(there):
        raise RejectedError(
            f"The branch {branch} of {public_address} is at {there[:12]}, which is no part of this baseline: "
            f"somebody else moved it. Nothing is pushed over it. "
            f"Bring it back to a commit of the baseline, or name another branch."
        )
    try:
        run_git(
            "push", "--quiet", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", "--no-signed",
            f"--force-with-lease={ref}:{there}", "--end-of-options", address, f"{commit}:{ref}",
            repository=repository, timeout=SECONDS,
        )  # fmt: skip
    except GitError as error:
        raise RejectedError(f"The remote {public_address} did not take {commit[:12]}: {_said(error)}") from None


def _said(error: GitError) -> str:
    return shown_without_secrets(" ".join(error.errors.split()))[:500] or "it gave no reason"
