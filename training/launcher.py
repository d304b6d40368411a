"""Runs one command so that nothing of it outlives whoever asked for it.

Started by `training/process.py` as `python -I -S launcher.py STATUS_FD PARENT_PID HEAP_LIMIT GROUP COMMAND…`; imports nothing
of ours, so that it is up in a few milliseconds. GROUP is the folder of a control group that the command is put into, or "".
It adopts every orphan of the command (as a child subreaper), so a daemon that detached itself is still its child. When the
command ends, or the parent dies, it kills all of them, then writes how the command ended to STATUS_FD as one line of JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import struct
import sys
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    status_fd, parent, heap_limit = map(int, sys.argv[1:4])
    group, command = sys.argv[4], sys.argv[5:]
    os.set_inheritable(status_fd, False)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    usage = Usage()
    signal.signal(signal.SIGTERM, lambda *_: usage.report(status_fd, end_all(child=0)))  # nothing was started yet
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the signal was armed
        return
    me = os.getpid()
    may_begin, begin = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(begin)
        os.read(may_begin, 1)  # until it is in its group
        os.close(may_begin)
        become(command, me, heap_limit)
    signal.signal(signal.SIGTERM, lambda *_: usage.report(status_fd, end_all(child)))
    usage.joined = bool(group) and join(group, child)
    os.close(may_begin)
    os.close(begin)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            end_all(child)
            usage.report(status_fd, status)


def become(command: list[str], launcher: int, heap_limit: int) -> NoReturn:
    """Turn this forked process into the command, with its limits."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:
        os._exit(125)
    os.setpgid(0, 0)  # a command that signals its own process group does not hit the launcher
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if heap_limit:
        resource.setrlimit(resource.RLIMIT_DATA, (heap_limit, heap_limit))
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")  # when memory is short, the kernel takes this process, not the worker
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"cannot start {command[0]!r}: {error.strerror}\n".encode(errors="replace"))
        os._exit(127)


def end_all(child: int) -> int:
    """Kill every descendant, however it detached itself, until there is none. Returns the wait status of `child`."""
    ended = int(signal.SIGKILL)
    while children := descendants():
        for pid in children:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended by itself
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            continue
        if pid == child:
            ended = status
    return ended


def descendants() -> list[int]:
    """All processes below this one, parents before children."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:
                    after_name = stat.read().rpartition(b")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
            children.setdefault(int(after_name[1]), []).append(int(name))
    processes, queue = [], [os.getpid()]
    while queue:
        below = children.get(queue.pop(), [])
        processes += below
        queue += below
    return processes


def join(group: str, pid: int) -> bool:
    """Put a process into a control group, and so whatever it starts. False where the kernel refuses."""
    try:
        with open(f"{group}/cgroup.procs", "w") as members:
            members.write(str(pid))
    except OSError:
        return False
    return True


class Usage:
    """What everything that the launcher starts uses: by the kernel's task clock, where that is allowed."""

    def __init__(self) -> None:
        self.joined = False
        self.clock = task_clock()

    def report(self, status_fd: int, status: int) -> NoReturn:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        ended = {
            "exit_code": os.waitstatus_to_exitcode(status),
            "peak_memory_bytes": usage.ru_maxrss * 1024,
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
            "joined": self.joined,
            "task_clock_seconds": round(int.from_bytes(os.read(self.clock, 8), "little") / 1e9, 3) if self.clock >= 0 else None,
        }
        try:
            os.write(status_fd, json.dumps(ended).encode() + b"\n")
        finally:  # the parent may be gone
            os._exit(0)


def task_clock() -> int:
    """A descriptor that counts the nanoseconds of this process and all its children from now on; -1 where that is refused."""
    number = {"x86_64": 298, "aarch64": 241}.get(os.uname().machine)
    if number is None:
        return -1
    software, clock, inherit, user_only = 1, 1, 1 << 1, 1 << 5 | 1 << 6  # what an ordinary user may ask for
    event = struct.pack("IIQQQQQ", software, 128, clock, 0, 0, 0, inherit | user_only).ljust(128, b"\0")
    close_on_exec = 1 << 3
    return int(libc.syscall(number, event, 0, -1, -1, ctypes.c_ulong(close_on_exec)))


def prctl(option: int, value: int) -> None:
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


if __name__ == "__main__":
    main()
