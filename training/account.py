"""The account of a run: processor time and memory of everything that it ever started, kept where its code cannot reach.

The best that the machine has is used, in this order; docs/explanation/sandbox.md says what each can miss:

- a control group of the run's own (cgroup v2): the kernel adds up all of its processes, dead, orphaned and ignored ones too;
- the kernel's task clock (`perf_event_open`), inherited by every child;
- one process: the sandbox refuses to start a second, so that the usage of that one is everything;
- sampled: what live processes had used when they were last looked at.
"""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil

if TYPE_CHECKING:
    from training.process import Process

NAME = "signoff-run"
_turn = itertools.count()


class Account(StrEnum):
    """Who kept the account of a run, best first."""

    control_group = "control group"
    task_clock = "task clock"
    one_process = "one process"
    sampled = "sampled"


@dataclass(frozen=True)
class Usage:
    """What a run used, everything that it started included."""

    account: Account
    cpu_seconds: float
    peak_memory_bytes: int  # resident; of one process exactly, of several the largest sum that was seen


class ControlGroup:
    """A group of the kernel's for one run, below the worker's own. A context manager; `folder` is "" where none can be had."""

    def __init__(self) -> None:
        self.folder = _made()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.folder:
            _removed(Path(self.folder))

    def cpu_seconds(self) -> float:
        """Processor seconds, user and system, of all processes that were ever in the group. Raises OSError."""
        lines = (Path(self.folder) / "cpu.stat").read_text().splitlines()
        return int(dict(line.split() for line in lines)["usage_usec"]) / 1e6


def _made() -> str:
    parent = own_group()
    if parent is None:
        return ""
    _sweep(parent)
    folder = parent / f"{NAME}-{os.getpid()}-{next(_turn)}"
    try:
        folder.mkdir()
        if (folder / "cpu.stat").is_file() and os.access(folder / "cgroup.procs", os.W_OK):
            return str(folder)
        folder.rmdir()
    except OSError:
        return ""
    return ""


def own_group() -> Path | None:
    """The folder of this process's own control group of version 2; None where there is none."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        groups = dict(line.split(":", 2)[::2] for line in Path("/proc/self/cgroup").read_text().splitlines())
    except (OSError, ValueError):
        return None
    for mount in mounts:
        before, _, after = mount.partition(" - ")
        if after.startswith("cgroup2 ") and "0" in groups:
            root, point = before.split()[3:5]
            below = os.path.relpath(groups["0"], root)
            folder = Path(point) / below
            return folder if not below.startswith("..") and folder.is_dir() else None
    return None


def _sweep(parent: Path) -> None:
    """Remove the groups of workers that were killed."""
    for folder in parent.glob(f"{NAME}-*"):
        match = re.fullmatch(rf"{NAME}-(\d+)-\d+", folder.name)
        if match and not psutil.pid_exists(int(match[1])):
            _removed(folder)


def _removed(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # something of it is still ending: swept later


class Sampling:
    """Processor time and memory of a family of processes, as far as it is seen alive."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[int, float], float] = {}  # by process number and start
        self.most_memory = 0  # bytes of all of them together
        self.most = 0  # of them at one time

    def look(self, process: Process) -> None:
        """Take what every living process of the run has used by now."""
        memory = count = 0
        for each in process.family()[1:]:
            try:
                with each.oneshot():
                    times, memory = each.cpu_times(), memory + int(each.memory_info().rss)
                    self.seconds[each.pid, each.create_time()] = times.user + times.system
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            count += 1
        self.most_memory, self.most = max(self.most_memory, memory), max(self.most, count)

    @property
    def cpu_seconds(self) -> float:
        """Of all that were ever seen."""
        return sum(self.seconds.values())


def so_far(process: Process, group: ControlGroup) -> float:
    """Processor seconds that a run used until now: all, in a control group; else those of the processes that live."""
    if group.folder:
        return group.cpu_seconds()
    seen = Sampling()
    seen.look(process)
    return seen.cpu_seconds


def settle(process: Process, group: ControlGroup, sampling: Sampling, *, one_process: bool) -> Usage | None:
    """What a run that has ended used, by the best account that was kept of it; None where its launcher was killed."""
    ended = process.ended
    if ended is None or ended.exit_code is None:
        return None
    memory = ended.peak_memory_bytes if one_process else max(ended.peak_memory_bytes, sampling.most_memory)
    if ended.joined:
        return Usage(Account.control_group, round(group.cpu_seconds(), 3), memory)
    if ended.task_clock_seconds is not None:
        return Usage(Account.task_clock, ended.task_clock_seconds, memory)
    if one_process:
        return Usage(Account.one_process, ended.cpu_seconds, memory)
    return Usage(Account.sampled, round(max(ended.cpu_seconds, sampling.cpu_seconds), 3), memory)
