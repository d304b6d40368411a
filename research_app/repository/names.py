"""Checks on the names that reach git's command line."""

from __future__ import annotations

import re

from .errors import RepositoryError


def full_hash(name: str) -> str:
    """`name` itself if it is a full object hash. Raises RepositoryError."""
    if not re.fullmatch(r"[0-9a-f]{40}", name) or not name.strip("0"):
        raise RepositoryError(f"{name!r} is not a full commit hash of 40 hexadecimal digits.")
    return name


def branch_ref(branch: str) -> str:
    """The full name of a branch. Raises RepositoryError for a name that git would not take."""
    return f"refs/heads/{_checked(branch, 'branch')}"


def kept_ref(name: str) -> str:
    """The full name under which a patch set is kept. Raises RepositoryError for a name that git would not take."""
    return f"refs/signoff/{_checked(name, 'patch set')}"


def _checked(name: str, what: str) -> str:
    parts = name.split("/")
    if not all(re.fullmatch(r"\w[\w.+#@=,-]*", part) for part in parts) or ".." in name:
        raise RepositoryError(f"{name!r} is not a usable {what} name: letters, digits, '.', '-', '_' and '/' are.")
    if any(part.endswith((".", ".lock")) for part in parts):
        raise RepositoryError(f"{name!r} is not a usable {what} name: no part of it may end with '.' or '.lock'.")
    return name
