"""The few system calls of a process that only answers questions: memory, time, and reading and writing what it has open.

Everything else is refused, so that it can name no file and reach no process: what is not on the list is no way out, whatever
the kernel learns to do. The kernel keeps the filter from before the candidate's code is there until the process is gone.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Iterator, Mapping

from training.sandbox.seccomp import (
    ALLOW,
    ARCH,
    AUDIT_ARCH,
    EQUAL,
    ERROR,
    EVICTS,
    LOAD,
    NUMBER,
    RETURN,
    Instruction,
    UnknownMachine,
    refuse_equal,
    refuse_unless_bits,
)

# name -> (x86_64, aarch64); -1 where an architecture has no such call.
ANSWERING: Mapping[str, tuple[int, int]] = {
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "close": (3, 57), "fstat": (5, 80),
    "lseek": (8, 62),
    "munmap": (11, 215), "mprotect": (10, 226), "mremap": (25, 216), "brk": (12, 214),
    "futex": (202, 98), "sched_yield": (24, 124), "restart_syscall": (219, 128), "getcpu": (309, 168),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "nanosleep": (35, 101),
    "gettimeofday": (96, 169), "time": (201, -1), "getrandom": (318, 278),
    "getpid": (39, 172), "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176),
    "getegid": (108, 177), "sched_getaffinity": (204, 123), "uname": (63, 160), "getcwd": (79, 17),
    "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip
MMAP, MADVISE = (9, 222), (28, 233)  # of memory that is no file's; of all advice but to drop pages of a file
ANONYMOUS = 0x20  # MAP_ANONYMOUS
# Besides, of a process that tries the code out before there is a question: to look at files.
READING: Mapping[str, tuple[int, int]] = {
    "open": (2, -1), "openat": (257, 56), "stat": (4, -1), "lstat": (6, -1), "newfstatat": (262, 79), "statx": (332, 291),
    "access": (21, -1), "faccessat": (269, 48), "faccessat2": (439, 439), "readlink": (89, -1), "readlinkat": (267, 78),
    "getdents": (78, -1), "getdents64": (217, 61), "pread64": (17, 67), "fcntl": (72, 25), "ioctl": (16, 29),
    "dup": (32, 23), "dup2": (33, -1), "dup3": (292, 24), "statfs": (137, 43), "fstatfs": (138, 44), "mmap": MMAP,
    "sysinfo": (99, 179), "prlimit64": (302, 261), "getrlimit": (97, 163), "chdir": (80, 49),
}  # fmt: skip


def answering_program(machine: str | None = None, *, reading: bool = False) -> bytes:
    """The filter as an array of struct sock_filter; `reading` for the process that tries out. Raises UnknownMachine."""
    machine = machine or platform.machine()
    if machine not in AUDIT_ARCH:
        raise UnknownMachine(f"no system call filter is known for {machine}; it is for {' and '.join(AUDIT_ARCH)}")
    column = list(AUDIT_ARCH).index(machine)
    refused = (RETURN, 0, 0, ERROR | errno.EPERM)
    code: list[Instruction] = [
        (LOAD, 0, 0, ARCH),
        (EQUAL, 1, 0, AUDIT_ARCH[machine]),
        refused,
        (LOAD, 0, 0, NUMBER),
    ]
    calls = [*ANSWERING.values(), *(READING.values() if reading else ())]
    for number in sorted(call[column] for call in calls if call[column] >= 0):
        code += [(EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    for call, body in _checked(column):
        code += [(EQUAL, 0, len(body) + 1, call), *body, (RETURN, 0, 0, ALLOW)]
    code.append(refused)
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in code)


def _checked(column: int) -> Iterator[tuple[int, list[Instruction]]]:
    """Calls that are allowed for some arguments."""
    yield MMAP[column], refuse_unless_bits(3, ANONYMOUS)
    yield MADVISE[column], [each for advice in EVICTS for each in refuse_equal(2, advice)]
