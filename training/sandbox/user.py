"""A user that nobody else is, for what a worker of root's runs."""

from __future__ import annotations

import itertools
import os
import pwd
from pathlib import Path

WIDE = range(0x7000_0000, 0x7400_0000)  # far above what accounts, containers and name services hand out
NARROW = range(60706, 61184)  # in a container with 65536 users: what systemd's list of ranges leaves unused

_turn = itertools.count()


def unused_user() -> int:
    """A user number without account that no process has, unlike that of any sandbox still in use. Raises OSError."""
    users = WIDE if _maps(WIDE) else NARROW
    taken = _in_use()
    start = os.getpid() * 16 + next(_turn)
    for step in range(len(users)):
        user = users[(start + step) % len(users)]
        if user not in taken and not _has_account(user):
            return user
    raise OSError(f"every user number from {users.start} to {users.stop - 1} is taken")


def _maps(users: range) -> bool:
    """Whether this process's name space of users knows all of them."""
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        first, _, count = map(int, line.split())
        if first <= users.start and users.stop <= first + count:
            return True
    return False


def _in_use() -> set[int]:
    ids = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                ids.add(os.stat(f"/proc/{name}").st_uid)
            except FileNotFoundError:
                continue  # it ended while we looked
    return ids


def _has_account(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True
