"""Runs one command so that nothing of it outlives whoever asked for it.

Started by `training/process.py` as `python -I -S launcher.py STATUS_FD PARENT_PID HEAP_LIMIT COMMAND…`; imports nothing of
ours, so that it is up in a few milliseconds. It adopts every orphan of the command (as a child subreaper), so a daemon
that detached itself is still its child. When the command ends, or the parent dies, it kills all of them, then writes how the
command ended to STATUS_FD as one line of JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    status_fd, parent, heap_limit = map(int, sys.argv[1:4])
    command = sys.argv[4:]
    os.set_inheritable(status_fd, False)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, lambda *_: report(status_fd, end_all(child=0)))  # nothing was started yet
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the signal was armed
        return
    me = os.getpid()
    child = os.fork()
    if child == 0:
        become(command, me, heap_limit)
    signal.signal(signal.SIGTERM, lambda *_: report(status_fd, end_all(child)))
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            end_all(child)
            report(status_fd, status)


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
    while found := descendants():
        for pid in found:
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
    found, queue = [], [os.getpid()]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def report(status_fd: int, status: int) -> NoReturn:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = {
        "exit_code": os.waitstatus_to_exitcode(status),
        "peak_memory_bytes": usage.ru_maxrss * 1024,
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
    }
    try:
        os.write(status_fd, json.dumps(ended).encode() + b"\n")
    finally:  # the parent may be gone
        os._exit(0)


def prctl(option: int, value: int) -> None:
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


if __name__ == "__main__":
    main()
