"""What Landlock lets a process open, as numbers for `enter.py` (landlock(7), <linux/landlock.h>)."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from pathlib import Path

CREATE_RULESET = 444
VERSION_FLAG = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REFER, TRUNCATE, IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}  # all that a version knows
MAKES = sum(1 << bit for bit in (6, 11))  # character and block devices: nobody gets these
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE
READ = EXECUTE | READ_FILE | READ_DIR
TCP = 0b11  # bind, connect
SCOPES = 0b11  # abstract unix sockets, signals

Rule = tuple[str, int]


def version() -> int:
    """Of Landlock in this kernel; 0 where there is none."""
    abi: int = ctypes.CDLL(None, use_errno=True).syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION_FLAG)
    return max(0, abi)


def handled(version: int) -> tuple[int, int, int]:
    """What is refused where no rule allows it: rights to files, rights to TCP, scopes."""
    rights = RIGHTS[max(known for known in RIGHTS if known <= version)]
    return rights, TCP if version >= 4 else 0, SCOPES if version >= 6 else 0


def rules(
    version: int, readable: Sequence[Path], writable: Path | None, devices: Sequence[Path], hidden: Sequence[Path]
) -> list[Rule]:
    """Paths and what may be done at and below each of them. What does not exist needs no rule."""
    rights = handled(version)[0]
    rules_ = [rule for path in readable if path.exists() for rule in _reading(path, hidden)]
    if writable is not None:
        rules_.append((str(writable), rights & ~MAKES))
    rules_ += [(str(path), READ_FILE | WRITE_FILE | IOCTL_DEVICE) for path in devices if path.exists()]
    return [(path, allowed & rights) for path, allowed in rules_]


def _reading(path: Path, hidden: Sequence[Path]) -> Iterator[Rule]:
    """Rules to read all of `path` but what is hidden; beside a hidden one, names can be listed and nothing else."""
    if path in hidden:
        return
    if not path.is_dir():
        yield str(path), READ & OF_FILES
    elif not any(other.is_relative_to(path) for other in hidden):
        yield str(path), READ
    else:
        yield str(path), READ_DIR
        for child in sorted(path.iterdir()):
            if not child.is_symlink() and child.exists():
                yield from _reading(child, hidden)
