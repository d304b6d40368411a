"""The errors of this room. Each message says what was wrong and what to do."""

from __future__ import annotations

from collections.abc import Sequence


class RepositoryError(Exception):
    """The repository cannot do what was asked."""


class TroubleError(RepositoryError):
    """The machine, the keys or a lock stand in the way. Nothing about any change: the same call works once that is mended."""


class OvertakenError(RepositoryError):
    """Another worker took this work over: what was about to be written must not be."""


class PatchError(RepositoryError):
    """A proposed change cannot be taken in.

    `reason` is one sentence for the change's author. It may quote names from the change: untrusted text on a page.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ConflictError(RepositoryError):
    """A change and the commit that it should go onto alter the same lines of `paths`."""

    def __init__(self, message: str, paths: Sequence[str], part: int = 0) -> None:
        super().__init__(message)
        self.paths = tuple(paths)
        self.part = part  # of several changes, the one that does not go onto those before it


class RejectedError(RepositoryError):
    """A remote does not take the baseline; the message has what it said and what to do."""


class StaleTipError(RepositoryError):
    """The baseline moved: it was expected at one commit and found at another."""

    def __init__(self, branch: str, expected: str, actual: str) -> None:
        super().__init__(
            f"The branch {branch} is at {actual[:12]}, not at {expected[:12]} as expected: something landed in between. "
            f"Judge the change on {actual[:12]} and try again."
        )
        self.expected = expected
        self.found = actual
