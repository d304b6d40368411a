"""The system calls that a confined process cannot make, as a filter that the kernel runs before each call.

What honest training needs is let through; refused is what reaches other processes, other name spaces, the network or rarely
used parts of the kernel. A number that this table does not know is refused as "not implemented", so that a newer kernel
opens no door. The filter is classic BPF, written here because it has to be assembled without a compiler and without a
library on the machine (seccomp(2), <linux/filter.h>).
"""

from __future__ import annotations

import errno
import platform
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
NEWEST = 469  # the highest call number of Linux 6.18; later ones are refused until somebody has looked at them

# name -> (x86_64, aarch64); -1 where an architecture has no such call.
CALLS: Mapping[str, tuple[int, int]] = {
    # Other processes: their memory, descriptors, threads and limits.
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "process_madvise": (440, 440),
    "process_mrelease": (448, 448), "pidfd_getfd": (438, 438), "kcmp": (312, 272), "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # Name spaces and mounts.
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97),
    "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "open_tree_attr": (467, 467),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    # Wide or little used doors into the kernel.
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "fanotify_init": (300, 262), "lookup_dcookie": (212, 18), "modify_ldt": (154, -1),
    "iopl": (172, -1), "ioperm": (173, -1), "uselib": (134, -1), "vhangup": (153, 58), "syslog": (103, 116),
    # Memory that no limit counts: it belongs to no mapping and to no folder.
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190),
    "mq_open": (240, 180),
    # Watching files that others use: who opens the database, or reads the held-out text, and when.
    "inotify_init": (253, -1), "inotify_init1": (294, 26), "inotify_add_watch": (254, 27),
    # What of a file is in the page cache, which others that read the file can change.
    "mincore": (27, 232), "cachestat": (451, 451),
    # The machine itself.
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171),
    "sethostname": (170, 161), "setdomainname": (171, 162), "quotactl": (179, 60), "quotactl_fd": (443, 443),
}  # fmt: skip

# Done without doing anything: a lock needs no right to write, so one on a file that everybody reads would hold others up and
# tell them something. torch.compile wants it to succeed; only where several processes make up a run is it needed.
LOCKS: Mapping[str, tuple[int, int]] = {"flock": (73, 32)}
# So is advice on files: it takes them out of the page cache, where others' readings can be told from it.
ADVICE: Mapping[str, tuple[int, int]] = {"fadvise64": (221, 223), "readahead": (187, 213)}

# Landlock says nothing about these: they reach files and sockets by name, whoever holds the name.
CALLS_OF_BASIC: Mapping[str, tuple[int, int]] = {
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "chmod": (90, -1), "fchmod": (91, 52), "fchmodat": (268, 53),
    "fchmodat2": (452, 452), "chown": (92, -1), "fchown": (93, 55), "lchown": (94, -1), "fchownat": (260, 54),
    "utime": (132, -1), "utimes": (235, -1), "futimesat": (261, -1), "utimensat": (280, 88), "setxattr": (188, 5),
    "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16), "removexattrat": (466, 466), "file_setattr": (469, 469),
}  # fmt: skip
TRUNCATE = {"truncate": (76, 45)}  # Landlock knows it from its third version on
# Landlock keeps signals in from its sixth version on (Linux 6.12); before, none can be sent.
SIGNALS: Mapping[str, tuple[int, int]] = {
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424),
}  # fmt: skip
F_GETLK, F_OFD_GETLK = 5, 36  # would show the read locks that others hold on a file that everybody may only read
F_SETLEASE, F_NOTIFY = 1024, 1026  # hold up whoever opens a file; watch a folder
WATCHES = (F_GETLK, F_OFD_GETLK, F_SETLEASE, F_NOTIFY)
SIGNAL_OWNERS = (8, 10, 15)  # fcntl: F_SETOWN, F_SETSIG, F_SETOWN_EX send signals by way of a descriptor
FIOSETOWN, SIOCSPGRP = 0x8901, 0x8902  # so do these, through ioctl

# Starting a process, where a run is one process and its threads. The error is one that nothing else gives, so that whoever
# reads the log knows what was refused.
NEW_PROCESS: Mapping[str, tuple[int, int]] = {"fork": (57, -1), "vfork": (58, -1)}
NO_PROCESSES = errno.ECHILD  # "No child processes"
CLONE_THREAD = 0x10000

OF_THE_CACHE = 0x88  # flags of preadv2: RWF_NOWAIT answers whether it is cached, RWF_DONTCACHE takes it out
EVICTS = (20, 21)  # madvise: MADV_COLD and MADV_PAGEOUT
NEW_NAMESPACES = 0x7E020080  # CLONE_NEW*: time, mount, cgroup, uts, ipc, user, pid, net
TERMINAL_INPUT = (0x5412, 0x541C)  # ioctl: TIOCSTI and TIOCLINUX type into the terminal of whoever started the worker
PR_SET_DUMPABLE = 4  # would hide a process from those who watch its memory and files

FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)  # where they lead, the name spaces decide
OUT_OF_SIGHT = (435, 437)  # clone3, openat2: no filter sees their flags; without them, everybody uses clone and openat
SET_ID = 0o6000  # mode bits of a program that runs as its owner
CREATES = 0x400040  # open flags: O_CREAT, O_TMPFILE; without these, its mode means nothing

LOAD, AND, EQUAL, ABOVE, RETURN = 0x20, 0x54, 0x15, 0x25, 0x06
NUMBER, ARCH, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
ALLOW, ERROR = 0x7FFF0000, 0x00050000
X32 = 0x40000000


class UnknownMachine(Exception):
    """No filter is known for this processor."""


@dataclass(frozen=True)
class Where:
    """What of the filter depends on the level: Landlock leaves some doors to it, name spaces leave none."""

    landlock: int | None = None  # the version of Landlock that is used, None with name spaces
    loopback: bool = False  # the network is a name space of the run's own, in which its processes may talk to each other
    processes: bool = True  # it may start processes; else threads alone

    @property
    def names(self) -> Mapping[str, tuple[int, int]]:
        """The calls refused whatever their arguments are."""
        if self.landlock is None:
            return CALLS
        more = {**(TRUNCATE if self.landlock < 3 else {}), **(SIGNALS if self.landlock < 6 else {})}
        return {**CALLS, **CALLS_OF_BASIC, **more}


def program(where: Where, machine: str | None = None) -> bytes:
    """The filter as an array of struct sock_filter. Raises UnknownMachine."""
    machine = machine or platform.machine()
    if machine not in AUDIT_ARCH:
        raise UnknownMachine(f"no system call filter is known for {machine}; it is for {' and '.join(AUDIT_ARCH)}")
    column = list(AUDIT_ARCH).index(machine)
    code = [
        (LOAD, 0, 0, ARCH),
        (EQUAL, 1, 0, AUDIT_ARCH[machine]),
        (RETURN, 0, 0, ERROR | errno.ENOSYS),  # a 32-bit program: other numbers, other calls
        (LOAD, 0, 0, NUMBER),
        (ABOVE, 0, 1, NEWEST),
        (RETURN, 0, 0, ERROR | errno.ENOSYS),  # x32 too, its numbers begin at 0x40000000
    ]
    for number in OUT_OF_SIGHT:
        code += [(EQUAL, 0, 1, number), (RETURN, 0, 0, ERROR | errno.ENOSYS)]
    for number in sorted(numbers[column] for numbers in where.names.values() if numbers[column] >= 0):
        code += [(EQUAL, 0, 1, number), (RETURN, 0, 0, ERROR | errno.EPERM)]
    for number in () if where.processes else (numbers[column] for numbers in NEW_PROCESS.values() if numbers[column] >= 0):
        code += [(EQUAL, 0, 1, number), (RETURN, 0, 0, ERROR | NO_PROCESSES)]
    for numbers in (*ADVICE.values(), *(() if where.loopback else LOCKS.values())):
        code += [(EQUAL, 0, 1, numbers[column]), (RETURN, 0, 0, ERROR)]  # the error 0 is success
    for call, checks in _argument_rules(where, column).items():
        body = [instruction for check in checks for instruction in check]
        code += [(EQUAL, 0, len(body) + 1, call), *body, (RETURN, 0, 0, ALLOW)]
    code.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in code)


Instruction = tuple[int, int, int, int]


def _argument_rules(where: Where, column: int) -> dict[int, list[list[Instruction]]]:
    """Calls that are refused for some arguments: call number -> checks, each of which may refuse."""

    def number(x86_64: int, aarch64: int) -> int:
        return (x86_64, aarch64)[column]

    rules = {
        number(56, 220): [_refuse_bits(0, NEW_NAMESPACES)],  # clone
        number(16, 29): [refuse_equal(1, value) for value in TERMINAL_INPUT],  # ioctl
        number(157, 167): [refuse_equal(0, PR_SET_DUMPABLE)],  # prctl
        number(72, 25): [refuse_equal(1, value) for value in WATCHES],  # fcntl
        number(135, 92): [_refuse_other(0, 0, 0xFFFFFFFF)],  # personality: no change
        number(327, 286): [_refuse_bits(5, OF_THE_CACHE)],  # preadv2
        number(328, 287): [_refuse_bits(5, OF_THE_CACHE)],  # pwritev2
        number(28, 233): [refuse_equal(2, value) for value in EVICTS],  # madvise
        number(41, 198): [_refuse_other(0, *(FAMILIES if where.loopback else FAMILIES[:1]))],  # socket
        number(53, 199): [_refuse_other(0, socket.AF_UNIX)],  # socketpair
        number(257, 56): [_refuse_bits(3, SET_ID, unless_none_of=(2, CREATES))],  # openat
        number(91, 52): [_refuse_bits(1, SET_ID)],  # fchmod
        number(268, 53): [_refuse_bits(2, SET_ID)],  # fchmodat
        number(452, 452): [_refuse_bits(2, SET_ID)],  # fchmodat2
        number(259, 33): [_refuse_bits(2, SET_ID)],  # mknodat
    }
    if not where.processes:
        rules[number(56, 220)].append(refuse_unless_bits(0, CLONE_THREAD, NO_PROCESSES))
    if column == 0:  # the older names of these
        rules[2] = [_refuse_bits(2, SET_ID, unless_none_of=(1, CREATES))]  # open
        rules |= {call: [_refuse_bits(1, SET_ID)] for call in (85, 90, 133)}  # creat, chmod, mknod
    if where.landlock is None:
        return rules
    connected = _refuse_other(1, socket.SOCK_STREAM, socket.SOCK_SEQPACKET, mask=0xF)  # and can be connected to nothing else
    rules[number(53, 199)].append(connected)
    rules[number(16, 29)] += [refuse_equal(1, value) for value in (FIOSETOWN, SIOCSPGRP)]
    rules[number(72, 25)] += [refuse_equal(1, value) for value in SIGNAL_OWNERS]
    for call in (number(302, 261), number(144, 119), number(142, 118), number(314, 274), number(203, 122)):
        rules[call] = [_refuse_other(0, 0)]  # prlimit64, sched_setscheduler, -param, -attr, -affinity: of oneself only
    rules[number(141, 140)] = [_refuse_other(0, 0), _refuse_other(1, 0)]  # setpriority
    rules[number(251, 30)] = [_refuse_other(0, 1), _refuse_other(1, 0)]  # ioprio_set
    return rules


def _argument(index: int, mask: int | None) -> Iterator[Instruction]:
    yield (LOAD, 0, 0, FIRST_ARGUMENT + 8 * index)  # its low half; the kernel takes no more of these arguments
    if mask is not None:
        yield (AND, 0, 0, mask)


def _refuse_bits(index: int, bits: int, unless_none_of: tuple[int, int] | None = None) -> list[Instruction]:
    """Refuse when one of `bits` is set; not when another argument (its index) has none of some bits."""
    refuse = [*_argument(index, bits), (EQUAL, 1, 0, 0), (RETURN, 0, 0, ERROR | errno.EPERM)]
    if unless_none_of is None:
        return refuse
    return [*_argument(*unless_none_of), (EQUAL, len(refuse), 0, 0), *refuse]


def refuse_equal(index: int, value: int) -> list[Instruction]:
    return [*_argument(index, None), (EQUAL, 0, 1, value), (RETURN, 0, 0, ERROR | errno.EPERM)]


def _refuse_other(index: int, *allowed: int, mask: int | None = None) -> list[Instruction]:
    checks: list[Instruction] = [(EQUAL, len(allowed) - position, 0, value) for position, value in enumerate(allowed)]
    return [*_argument(index, mask), *checks, (RETURN, 0, 0, ERROR | errno.EPERM)]


def refuse_unless_bits(index: int, bits: int, error: int = errno.EPERM) -> list[Instruction]:
    """Refuse with `error` when none of `bits` is set."""
    return [*_argument(index, bits), (EQUAL, 0, 1, 0), (RETURN, 0, 0, ERROR | error)]
