"""The system call filter decides as it says, on both processors: the program is run here by a small BPF machine."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from training.sandbox.answering import answering_program
from training.sandbox.seccomp import (
    ADVICE,
    AUDIT_ARCH,
    CALLS,
    CALLS_OF_BASIC,
    LOCKS,
    NEWEST,
    SIGNALS,
    UnknownMachine,
    Where,
    program,
)

ALLOW = 0x7FFF0000
EPERM, ENOSYS = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
STRONG, BASIC = Where(), Where(landlock=7)
MACHINES = list(AUDIT_ARCH)


def decide(code: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the kernel would do: classic BPF over struct seccomp_data."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *(*arguments, *(0,) * (6 - len(arguments))))
    instructions = list(struct.iter_unpack("<HBBI", code))
    accumulator = position = 0
    while True:
        operation, if_true, if_false, k = instructions[position]
        position += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif operation == 0x54:
            accumulator &= k
        elif operation == 0x06:
            return int(k)
        else:
            true = accumulator == k if operation == 0x15 else accumulator > k
            position += if_true if true else if_false


def verdict(where: Where, machine: str, call: tuple[int, int], *arguments: int) -> int:
    return decide(program(where, machine), AUDIT_ARCH[machine], call[MACHINES.index(machine)], *arguments)


@pytest.mark.parametrize("machine", MACHINES)
def test_listed_calls_are_refused_and_ordinary_ones_are_not(machine: str) -> None:
    for call in CALLS.values():
        if call[MACHINES.index(machine)] >= 0:
            assert verdict(STRONG, machine, call) == verdict(BASIC, machine, call) == EPERM
    for call in ((0, 63), (1, 64), (9, 222), (202, 98), (39, 172), (262, 79), (59, 221)):  # read … execve
        assert verdict(STRONG, machine, call) == verdict(BASIC, machine, call) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_by_name_are_refused_only_where_no_name_spaces_are(machine: str) -> None:
    for call in CALLS_OF_BASIC.values():
        if call[MACHINES.index(machine)] >= 0:
            assert verdict(BASIC, machine, call, socket.AF_UNIX) == EPERM
            assert verdict(STRONG, machine, call, socket.AF_UNIX) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_signals_are_refused_only_where_landlock_does_not_keep_them_in(machine: str) -> None:
    for call in SIGNALS.values():
        assert verdict(Where(landlock=5), machine, call) == EPERM
        assert verdict(Where(landlock=6), machine, call) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_other_processors_unknown_calls_and_those_with_hidden_flags_are_not_there(machine: str) -> None:
    code = program(BASIC, machine)
    assert decide(code, 0x40000003, 1) == ENOSYS  # 32-bit
    for number in (NEWEST + 1, 0x40000000, 0x7FFFFFFF, 435, 437):
        assert decide(code, AUDIT_ARCH[machine], number) == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_arguments_decide_where_they_matter(machine: str) -> None:
    sock, pair, clone, prlimit, openat, fchmod = (41, 198), (53, 199), (56, 220), (302, 261), (257, 56), (91, 52)
    for family in (socket.AF_INET, socket.AF_INET6, 16, 17, 38, 40):
        assert verdict(STRONG, machine, sock, family) == EPERM
    assert verdict(STRONG, machine, sock, socket.AF_UNIX) == ALLOW
    assert verdict(BASIC, machine, pair, socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) == ALLOW
    assert verdict(BASIC, machine, pair, socket.AF_UNIX, socket.SOCK_DGRAM) == EPERM
    assert verdict(STRONG, machine, clone, 0x3D0F00) == ALLOW  # a thread
    assert verdict(STRONG, machine, clone, 0x10000011) == EPERM  # CLONE_NEWUSER
    assert verdict(BASIC, machine, prlimit, 0) == ALLOW
    assert verdict(BASIC, machine, prlimit, 4711) == EPERM
    assert verdict(STRONG, machine, openat, 0, 0, 0o101, 0o644) == ALLOW
    assert verdict(STRONG, machine, openat, 0, 0, 0o101, 0o4755) == EPERM
    assert verdict(STRONG, machine, openat, 0, 0, 0, 0o7777) == ALLOW  # without O_CREAT, what stands there means nothing
    assert verdict(STRONG, machine, fchmod, 3, 0o2755) == EPERM
    assert verdict(STRONG, machine, fchmod, 3, 0o755) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_shared_files_can_be_neither_watched_nor_leased_and_own_ones_can_be_locked(machine: str) -> None:
    fcntl = (72, 25)
    for where in (STRONG, BASIC):
        for command in (5, 36, 1024, 1026):  # F_GETLK, F_OFD_GETLK, F_SETLEASE, F_NOTIFY
            assert verdict(where, machine, fcntl, 3, command) == EPERM
        for command in (1, 3, 4, 6, 7, 37, 1030, 1031):  # descriptors and flags, F_SETLK, F_SETLKW, F_OFD_SETLK, pipes
            assert verdict(where, machine, fcntl, 3, command) == ALLOW


def test_a_processor_without_a_filter_is_named() -> None:
    with pytest.raises(UnknownMachine, match="riscv64"):
        program(STRONG, "riscv64")


@pytest.mark.parametrize("machine", MACHINES)
def test_a_lock_on_a_file_succeeds_without_effect_unless_a_run_is_several_processes(machine: str) -> None:
    for call in LOCKS.values():
        assert verdict(STRONG, machine, call, 3, 2) == verdict(BASIC, machine, call, 3, 2) == 0x50000
        assert verdict(Where(loopback=True), machine, call, 3, 2) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_nothing_tells_or_changes_what_of_a_file_is_in_the_page_cache(machine: str) -> None:
    for where in (STRONG, BASIC, Where(loopback=True)):
        for call in ADVICE.values():
            assert verdict(where, machine, call, 3, 0, 0, 4) == 0x50000
        for flags, expected in ((0, ALLOW), (0x1, ALLOW), (0x8, EPERM), (0x80, EPERM)):  # none, HIPRI, NOWAIT, DONTCACHE
            for call in ((327, 286), (328, 287)):
                assert verdict(where, machine, call, 3, 0, 1, 0, 0, flags) == expected
        for advice, expected in ((4, ALLOW), (8, ALLOW), (14, ALLOW), (20, EPERM), (21, EPERM)):
            assert verdict(where, machine, (28, 233), 0, 4096, advice) == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_a_process_that_answers_opens_nothing_and_starts_nothing(machine: str) -> None:
    column = MACHINES.index(machine)

    def decided(call: tuple[int, int], *arguments: int, reading: bool = False) -> int:
        return decide(answering_program(machine, reading=reading), AUDIT_ARCH[machine], call[column], *arguments)

    for call in ((0, 63), (1, 64), (202, 98), (12, 214), (231, 94)):  # read, write, futex, brk, exit_group
        assert decided(call) == ALLOW
    opens = ((257, 56), (262, 79), (267, 78), (17, 67), (217, 61))  # openat, newfstatat, readlinkat, pread64, getdents64
    starts = ((56, 220), (59, 221), (435, 435), (293, 59), (41, 198), (290, 19), (29, 194), (16, 29), (72, 25))
    for call in opens:
        assert decided(call) == EPERM and decided(call, reading=True) == ALLOW
    for call in (*starts, (62, 129), (203, 122), (157, 167), (98, 165), (100, 153), (99, 179), (600, 600)):
        assert decided(call) == EPERM
    assert all(decided(call, reading=True) == EPERM for call in starts[:7])
    assert decided((9, 222), 0, 4096, 3, 0x22) == ALLOW and decided((9, 222), 0, 4096, 1, 0x2, 5) == EPERM  # mmap


def test_a_process_that_answers_does_not_speak_in_other_numbers() -> None:
    for machine in MACHINES:
        code = answering_program(machine)
        assert decide(code, 0x40000003, 3) == decide(code, AUDIT_ARCH[machine], 0x40000000) == EPERM
