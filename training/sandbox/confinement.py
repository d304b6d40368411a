"""What a piece of untrusted code may reach, in one value, and the command line that makes it so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MIB = 1 << 20


class Level(StrEnum):
    """How well a run is kept apart from the machine, weakest first."""

    none = "none"  # a plain process of the worker's own user
    basic = "basic"  # Landlock, seccomp, limits, as root a user of its own
    strong = "strong"  # bubblewrap: all of this in namespaces of its own, where nothing else exists

    def at_least(self, minimum: Level) -> bool:
        """Whether this level is the given one or better."""
        order = list(Level)
        return order.index(self) >= order.index(minimum)


@dataclass(frozen=True)
class Confinement:
    """All that a confined command may reach besides the system's libraries and the interpreter; sizes in bytes."""

    level: Level
    readable: tuple[Path, ...]  # files and folders
    writable: Path | None  # one folder, empty and its own; None: it can write nowhere
    device: str  # "cpu" or "cuda:0"
    memory_limit: int  # a quarter of it is the size of /dev/shm
    processes: int  # threads count too
    file_size: int  # of one file
    scratch_size: int  # of all files in `writable`; the runner watches it
    keep_fds: tuple[int, ...] = ()  # open descriptors that the command keeps, besides 0, 1 and 2
    hidden: tuple[Path, ...] = ()  # below what is readable, and yet not to be read


def confined(command: Sequence[str], confinement: Confinement) -> list[str]:
    """The full command line that runs `command` inside. Run it with a clean environment: the command inherits that."""
    return list(command)
