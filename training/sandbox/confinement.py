"""What a piece of untrusted code may reach, in one value, and the command line that makes it so."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from training.sandbox import landlock
from training.sandbox.bubblewrap import bubblewrap, find_bubblewrap
from training.sandbox.seccomp import Where, program
from training.sandbox.user import unused_user

ENTER = Path(__file__).with_name("enter.py")
# What programs need of the system. Of /etc only the loader's files: the rest names people, hosts and services.
SYSTEM = tuple(map(Path, ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")))
SYSTEM_FILES = tuple(
    map(Path, ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime"))
)
MACHINE = tuple(map(Path, ("/sys/devices/system/cpu", "/sys/devices/system/node")))  # how many cores, and which are near
GPU = tuple(map(Path, ("/sys/bus/pci", "/sys/devices", "/sys/module/nvidia", "/sys/module/nvidia_uvm")))
DEVICES = tuple(map(Path, ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")))
PROC_FILES = tuple(
    map(Path, ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version", "/proc/filesystems", "/proc/driver"))
)
OPEN_FILES = 1024
NAMES = Path(__file__).with_name("names")  # of the loopback network, for processes that look each other up


class Level(StrEnum):
    """How well a run is kept apart from the machine, weakest first."""

    none = "none"  # a plain process of the worker's own user
    basic = "basic"  # Landlock, seccomp, limits, as root a user of its own
    strong = "strong"  # bubblewrap: all of this in name spaces of its own, where nothing else exists

    def at_least(self, minimum: Level) -> bool:
        """Whether this level is the given one or better."""
        order = list(Level)
        return order.index(self) >= order.index(minimum)


class CannotConfine(Exception):
    """This machine has not what a level needs; the message names it."""


@dataclass(frozen=True)
class Confinement:
    """All that a confined command may reach besides the system's libraries and the interpreter; sizes in bytes."""

    level: Level
    readable: tuple[Path, ...]  # files and folders
    writable: Path | None  # one folder, empty and its own; None: it can write nowhere
    device: str  # "cpu" or "cuda:0"
    memory_limit: int  # a quarter of it is the size of /dev/shm
    processes: int  # at one time; threads count too
    file_size: int  # of one file
    scratch_size: int  # of all files in `writable`; the runner watches it
    keep_fds: tuple[int, ...] = ()  # open descriptors that the command keeps, besides 0, 1 and 2
    hidden: tuple[Path, ...] = ()  # below what is readable, and yet not to be read
    loopback: bool = False  # its processes may talk to each other over a network that only they have
    threads_only: bool = False  # it cannot start a second process: what that one used is then all that was used


def confined(command: Sequence[str], confinement: Confinement) -> list[str]:
    """The full command line that runs `command` inside. Run it with a clean environment: the command inherits that.

    As root, `writable` is given to the user that the command will be. Raises CannotConfine; OSError when that fails.
    """
    if confinement.level is Level.none:
        return list(command)
    if confinement.loopback and confinement.level is not Level.strong:
        raise CannotConfine("a run on several devices needs the level strong: only that has a network of its own")
    reach = _Reach.of(confinement)
    user = _own_user(confinement)
    orders: dict[str, Any] = {
        "user": user,
        "see_closed_folders": user is not None and reach.closed(confinement.level),
        "keep_fds": list(confinement.keep_fds),
        "limits": {
            "RLIMIT_NPROC": confinement.processes,
            "RLIMIT_FSIZE": confinement.file_size,
            "RLIMIT_NOFILE": OPEN_FILES,
            "RLIMIT_CORE": 0,
        },
    }
    if confinement.level is Level.strong:
        where = Where(loopback=confinement.loopback, processes=not confinement.threads_only)
        return [*_namespaces(confinement, reach, orders), *_entering(orders, where), *command]
    version = landlock.version()
    if version == 0:
        raise CannotConfine("this kernel has no Landlock, or it is switched off")
    if user is None:
        orders["limits"]["RLIMIT_NPROC"] += _processes_of(os.getuid())  # the kernel counts these too
    orders["landlock"] = {
        "handled": landlock.handled(version),
        "rules": landlock.rules(
            version, (*reach.readable, *reach.system, *PROC_FILES), reach.writable, (*DEVICES, *reach.devices), reach.hidden
        ),
        "own": landlock.READ,  # to write there is to change oom_score_adj, among others
    }
    return [*_entering(orders, Where(version, processes=not confinement.threads_only)), *command]


@dataclass(frozen=True)
class _Reach:
    """The paths of a confinement, with what every command needs."""

    readable: tuple[Path, ...]
    writable: Path | None
    hidden: tuple[Path, ...]
    system: tuple[Path, ...]
    devices: tuple[Path, ...]

    @classmethod
    def of(cls, confinement: Confinement) -> _Reach:
        gpu = confinement.device != "cpu"
        readable = _distinct((*confinement.readable, *interpreter()), confinement.writable)
        return cls(
            readable=readable,
            writable=confinement.writable,
            hidden=_everywhere(confinement.hidden, readable),
            system=(*SYSTEM, *SYSTEM_FILES, *MACHINE, *(GPU if gpu else ())),
            devices=tuple(gpu_devices()) if gpu else (),
        )

    def closed(self, level: Level) -> bool:
        """Whether a user of its own could not read something of this, or not come to it. In name spaces, the way is ours."""
        needed = set(self.readable)
        if level is Level.basic:
            needed.update(*(path.parents for path in (*self.readable, *((self.writable,) if self.writable else ()))))
        return any(path.is_dir() and path.stat().st_mode & 0o005 != 0o005 for path in needed)


def interpreter() -> list[Path]:
    """The folders of the Python that runs this, of its virtual environment, and what links lead to them."""
    return [Path(prefix) for prefix in (sys.base_prefix, sys.base_exec_prefix, sys.prefix)] + [
        Path(sys.executable).resolve().parent.parent
    ]


def gpu_devices() -> list[Path]:
    """The device nodes of the NVIDIA driver."""
    return [path for path in sorted(Path("/dev").glob("nvidia*")) if not path.name.endswith("modeset")]


def _distinct(paths: Iterable[Path], writable: Path | None) -> tuple[Path, ...]:
    """Each path under its own name and under that which links lead to; none within another."""
    named = dict.fromkeys(name for path in paths for name in (path.absolute(), path.resolve()))
    whole = (*SYSTEM, *named, *((writable,) if writable else ()))
    return tuple(path for path in named if not any(path != other and path.is_relative_to(other) for other in whole))


def _everywhere(hidden: Iterable[Path], readable: Sequence[Path]) -> tuple[Path, ...]:
    """Each path that links lead to, and under every name by which a readable folder shows it."""
    names: dict[Path, None] = {}
    for real in (path.resolve() for path in hidden):
        names[real] = None
        for folder in readable:
            if real.is_relative_to(folder.resolve()):
                names[folder / real.relative_to(folder.resolve())] = None
    return tuple(names)


def _namespaces(confinement: Confinement, reach: _Reach, orders: Mapping[str, Any]) -> list[str]:
    path = find_bubblewrap()
    if path is None:
        raise CannotConfine("bubblewrap is not installed")
    capabilities = ("CAP_SETUID", "CAP_SETGID", *(("CAP_DAC_READ_SEARCH",) if orders["see_closed_folders"] else ()))
    return bubblewrap(
        path,
        capabilities=capabilities if orders["user"] is not None else None,
        system=reach.system,
        readable=(*reach.readable, ENTER),
        hidden=reach.hidden,
        devices=reach.devices,
        writable=reach.writable,
        shared_memory=confinement.memory_limit // 4,
        etc=sorted(NAMES.iterdir()) if confinement.loopback else (),
    )


def _entering(orders: Mapping[str, Any], where: Where) -> list[str]:
    """The call of `enter.py`, with the filter of system calls for this level."""
    complete = {"landlock": None, **orders, "seccomp": program(where).hex()}
    return [sys.executable, "-I", "-S", str(ENTER), json.dumps(complete, separators=(",", ":"))]


def _own_user(confinement: Confinement) -> int | None:
    """As root: a user for the command, which now owns its folder."""
    if os.geteuid() != 0:
        return None
    user = unused_user()
    if confinement.writable is not None:
        os.chown(confinement.writable, user, user, follow_symlinks=False)
    return user


def _processes_of(user: int) -> int:
    """Processes and threads that a user has now: the kernel counts these too."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == user:
                    count += len(os.listdir(f"/proc/{name}/task"))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
    return count
