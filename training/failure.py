"""Failures of ours: a step of handling a run that went wrong, in words, and whether it may pass by itself."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MACHINE = frozenset(
    (
        errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.EBUSY, errno.EINTR,
        errno.EROFS, errno.ESTALE, errno.ETXTBSY, errno.EPIPE, errno.ENOBUFS, errno.ENODEV, errno.EFBIG,
        errno.ETIMEDOUT, errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EHOSTUNREACH, errno.ENETUNREACH,
        errno.ENETDOWN, errno.EHOSTDOWN,
    )
)  # fmt: skip
"""What the machine lacks for a while: room, memory, files, a disk, a network. A missing or unreadable file is not among it."""
LONGEST = 1500  # characters of an error


@dataclass(frozen=True)
class Failure:
    """A step that failed: what was being done ("scoring it"), the error in words, and whether another try may go well."""

    step: str
    error: str
    may_pass: bool = False

    @classmethod
    def of(cls, step: str, error: BaseException, may_pass: bool | None = None) -> Failure:
        """What an exception at a step comes to; `may_pass` where the caller knows better."""
        if isinstance(error, StepFailed):
            return error.failure
        return cls(step, in_words(error), may_pass_by_itself(error) if may_pass is None else may_pass)

    def __str__(self) -> str:
        return f"{self.step} failed: {self.error}"


class StepFailed(Exception):
    """A step failed, and what follows cannot be done."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


@contextmanager
def during(step: str, *passed_on: type[BaseException]) -> Iterator[None]:
    """Name the step that a block is. Raises StepFailed for every exception but those to be passed on."""
    try:
        yield
    except Exception as error:
        if isinstance(error, (StepFailed, *passed_on)):
            raise
        raise StepFailed(Failure.of(step, error)) from error


def may_pass_by_itself(error: BaseException) -> bool:
    """Whether the machine is in the way for now; what would go wrong again in the same way is not tried again."""
    if isinstance(error, OSError):
        return error.errno in MACHINE or isinstance(error, ConnectionError | TimeoutError)
    return isinstance(error, MemoryError)


def in_words(error: BaseException) -> str:
    """The kind of an error and what it says; of one that is no message to people also where it was raised."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in str(error)).split())
    where = ""
    if not isinstance(error, OSError) and (frames := traceback.extract_tb(error.__traceback__)):
        where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
    return f"{type(error).__name__}: {text or 'no message'}"[:LONGEST] + where
