"""The last step into the sandbox: drops what the command must not have, then becomes the command.

    python -I -S enter.py ORDERS COMMAND…

ORDERS is JSON, written by `confinement.py`, which knows why; this file only does it, in the one order that works, and imports
nothing of ours, because inside bubblewrap nothing of ours is there.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from typing import Any, NoReturn

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 1, 8, 22, 38, 47
SECCOMP_MODE_FILTER = 2
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_READ_SEARCH = 2
CAPSET_VERSION = 0x20080522
SYS_CAPSET = {"x86_64": 126, "aarch64": 91}
LANDLOCK_CREATE, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT = 444, 445, 446
FAILED = 125  # exit code: the sandbox could not be entered

libc = ctypes.CDLL(None, use_errno=True)


class FilterProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


class Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64)]


class PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def main() -> NoReturn:
    orders: dict[str, Any] = json.loads(sys.argv[1])
    command = sys.argv[2:]
    parent = os.getppid()
    try:
        close_all_but({0, 1, 2, *orders["keep_fds"]})
        if orders["user"] is not None:
            become_user(orders["user"], orders["see_closed_folders"])
        for name, value in orders["limits"].items():
            limit(getattr(resource, name), value)
        demand(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        if orders["landlock"] is not None:
            landlock(**orders["landlock"])
        die_with(parent)
        seccomp(bytes.fromhex(orders["seccomp"]))
    except OSError as error:
        os.write(2, f"cannot enter the sandbox: {error}\n".encode())
        os._exit(FAILED)
    os.environ.pop("PWD", None)  # bubblewrap's
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"cannot start {command[0]!r}: {error.strerror}\n".encode(errors="replace"))
        os._exit(127)


def close_all_but(kept: set[int]) -> None:
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd not in kept:
            try:
                os.set_inheritable(fd, False)
            except OSError:
                continue  # the one that listed the folder
    for fd in kept - {0, 1, 2}:
        os.set_inheritable(fd, True)


def become_user(user: int, see_closed_folders: bool) -> None:
    """Change to a user of its own for good. `see_closed_folders`: keep the right to pass closed folders, as Landlock allows."""
    if see_closed_folders:
        demand(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    rights = 1 << CAP_DAC_READ_SEARCH if see_closed_folders else 0
    header = (ctypes.c_uint32 * 2)(CAPSET_VERSION, 0)
    demand(libc.syscall(SYS_CAPSET[os.uname().machine], header, (ctypes.c_uint32 * 6)(rights, rights, rights)))
    if see_closed_folders:
        demand(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH, 0, 0))


def limit(kind: int, value: int) -> None:
    """Set a limit, or keep the one that is there when it is lower."""
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def landlock(handled: list[int], rules: list[tuple[str, int]], own: int) -> None:
    """Allow files by `rules` and nothing else of what is `handled`; of /proc, the process's own folder with rights `own`."""
    ruleset = demand(libc.syscall(LANDLOCK_CREATE, ctypes.byref(Ruleset(*handled)), ctypes.c_size_t(8 * len(handled)), 0))
    for path, allowed in rules:
        allow(ruleset, path, allowed)
    # Kept open: the kernel's rule is about this very entry of /proc, which it may otherwise forget and make anew.
    os.set_inheritable(allow(ruleset, f"/proc/{os.getpid()}", own), True)
    demand(libc.syscall(LANDLOCK_RESTRICT, ruleset, 0))


def allow(ruleset: int, path: str, allowed: int) -> int:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    demand(libc.syscall(LANDLOCK_ADD_RULE, ruleset, 1, ctypes.byref(PathRule(allowed, fd)), 0))
    return fd


def die_with(parent: int) -> None:
    """Changing the user forgot the wish to die with the parent."""
    demand(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if os.getppid() != parent:
        os._exit(FAILED)


def seccomp(code: bytes) -> None:
    program = FilterProgram(len(code) // 8, code)
    demand(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0))


def demand(result: int) -> int:
    """The result of a system call. Raises OSError when it failed."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


if __name__ == "__main__":
    main()
