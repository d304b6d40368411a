"""One supervised process of untrusted code: started with a clean environment, watched, and gone when we are done with it."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import psutil

LAUNCHER = Path(__file__).with_name("launcher.py")
READ_SIZE = 1 << 16
MEMORY_EVERY = 0.5  # seconds between two looks at the memory of a process group
KILL_SECONDS = 5.0  # how long the launcher may take to end everything before we do it

# Terminal sequences, control characters except tab and newline, and the invisible characters that can hide or reorder text.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def clean_text(raw: bytes) -> str:
    """Untrusted output as text that is safe to show: no control characters, carriage returns as line ends."""
    text = raw.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def says_out_of_memory(output: str) -> bool:
    """Whether the end of an output is the complaint of Python, PyTorch or CUDA about too little memory."""
    return any(words in output for words in ("MemoryError", "out of memory", "can't allocate memory", "Cannot allocate memory"))


class BoundedLog:
    """Keeps the head and the tail of what a process printed, at most `limit` bytes in all."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.head = bytearray()
        self.tail: deque[bytes] = deque()
        self.tail_size = 0
        self.total = 0
        self.stopped = False

    def stop(self) -> None:
        """Keep nothing of what comes from now on."""
        self.stopped = True

    def add(self, chunk: bytes) -> None:
        if self.stopped:
            return
        self.total += len(chunk)
        room = self.limit // 2 - len(self.head)
        if room > 0:
            self.head += chunk[:room]
            chunk = chunk[room:]
        if chunk:
            self.tail.append(chunk)
            self.tail_size += len(chunk)
            while self.tail_size - len(self.tail[0]) >= self.limit // 2:
                self.tail_size -= len(self.tail.popleft())

    def text(self) -> str:
        tail, cut = self._kept_tail(), self.cut
        if not cut:
            return clean_text(bytes(self.head) + tail)
        return f"{clean_text(bytes(self.head))}\n[{cut} bytes of output cut here]\n{clean_text(tail)}"

    @property
    def cut(self) -> int:
        """Bytes that are not kept."""
        return self.total - len(self.head) - len(self._kept_tail())

    def _kept_tail(self) -> bytes:
        return b"".join(self.tail)[-(self.limit - self.limit // 2) :]

    def last_lines(self, lines: int = 5, characters: int = 600) -> str:
        """The end of the log for a message, on one line."""
        nonempty = [line.strip() for line in self.text()[-4 * characters :].splitlines() if line.strip()]
        return " | ".join(nonempty[-lines:])[-characters:]


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    exit_code: int | None  # negative for a signal; None when even the launcher was killed
    peak_memory_bytes: int  # of the largest single process
    cpu_seconds: float  # of the children that were waited for: not of those that were ignored
    joined: bool = False  # whether it was in the control group that it was given
    task_clock_seconds: float | None = None  # of everything, by the kernel's task clock; None where that is refused


def clean_environment(home: Path, **variables: str) -> dict[str, str]:
    """What untrusted code gets to see of the environment: an allow-list, one thread, and the given variables."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "TMPDIR": str(home),
        "USER": "signoff",  # what getpass.getuser() asks for; the user that a run is has no name
        "LOGNAME": "signoff",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"),
        **variables,
    }


class Process:
    """A command under the launcher. Use it as a context manager: leaving it kills whatever is still running.

    `heap_limit` (bytes, 0 for none) bounds the private memory of each process by the kernel; `memory_limit` bounds the
    resident memory of all of them together and is watched by `over_memory`. `group` is the folder of a control group for it.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        memory_limit: int,
        heap_limit: int = 0,
        log_limit: int = 1 << 18,
        stdin: int = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
        on_output: Callable[[bytes], None] | None = None,
        group: str = "",
    ) -> None:
        self.log = BoundedLog(log_limit)
        self.memory_limit = memory_limit
        self.on_output = on_output
        self.ended: Ended | None = None
        self._memory_seen_at = 0.0
        self._killed_before = kills_for_memory()
        self._status = b""
        self._status_fd, status_end = os.pipe()
        orders = [str(status_end), str(os.getpid()), str(heap_limit), group]
        launch = [sys.executable, "-I", "-S", str(LAUNCHER), *orders, *command]
        try:
            self.popen = subprocess.Popen(
                launch,
                cwd=cwd,
                env=dict(environment),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(status_end, *pass_fds),
            )
        except BaseException:
            os.close(self._status_fd)
            raise
        finally:
            os.close(status_end)
        self.started = time.monotonic()
        assert self.popen.stdout is not None
        self._output_fd = self.popen.stdout.fileno()
        self.selector = selectors.DefaultSelector()
        for fd in (self._status_fd, self._output_fd):
            os.set_blocking(fd, False)
            self.selector.register(fd, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End whatever is still running and let go of the descriptors."""
        self.kill()
        self.selector.close()
        os.close(self._status_fd)
        assert self.popen.stdout is not None
        self.popen.stdout.close()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def watch(self, fd: int) -> None:
        """Let `pump` also wait for a descriptor of the caller's."""
        self.selector.register(fd, selectors.EVENT_READ)

    def wait(self, seconds: float) -> bool:
        """Collect output for up to `seconds`, less when the process ends. True when it has ended."""
        until = time.monotonic() + seconds
        while self.ended is None and (left := until - time.monotonic()) > 0:
            self.pump(left)
        return self.ended is not None

    def pump(self, seconds: float) -> bool:
        """Wait for one round of events, at most `seconds`. True when a file descriptor of the caller's became readable."""
        others = False
        for key, _ in self.selector.select(seconds):
            if key.fd not in self.selector.get_map():
                continue  # with the status, the rest of the output was taken too
            if key.fd == self._output_fd:
                self._read_output()
            elif key.fd == self._status_fd:
                self._read_status()
            else:
                others = True
        return others

    def over_memory(self) -> bool:
        """Whether all processes together hold more than `memory_limit` bytes. Looks at most every MEMORY_EVERY seconds."""
        now = time.monotonic()
        if self.ended is not None or now - self._memory_seen_at < MEMORY_EVERY:
            return False
        self._memory_seen_at = now
        family = self.family()
        if sum(_resident(process) for process in family) <= self.memory_limit:
            return False
        return sum(_proportional(process) for process in family) > self.memory_limit

    def killed_for_memory(self) -> bool | None:
        """Whether the kernel killed anything for want of memory since the start; None where it does not say."""
        now = kills_for_memory()
        return None if now is None or self._killed_before is None else now > self._killed_before

    def kill(self) -> None:
        """End the command and everything it started, and wait until all of it is gone."""
        if self.ended is not None:
            return
        family = self.family()
        self.popen.send_signal(signal.SIGTERM)  # the launcher ends the rest
        if not self.wait(KILL_SECONDS):
            for process in {*family, *self.family()}:
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
            self.wait(KILL_SECONDS)
        self.popen.wait()

    def pids(self) -> list[int]:
        """The command and everything it started."""
        return [process.pid for process in self.family()]

    def family(self) -> list[psutil.Process]:
        """The launcher, and after it the command and everything that it started."""
        try:
            launcher = psutil.Process(self.popen.pid)
            return [launcher, *launcher.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _read_output(self) -> bool:
        """Take what is there of the output. False when there was nothing."""
        try:
            chunk = os.read(self._output_fd, READ_SIZE)
        except BlockingIOError:
            return False
        if not chunk:
            self.selector.unregister(self._output_fd)
            return False
        self.log.add(chunk)
        if self.on_output is not None:
            self.on_output(chunk)
        return True

    def _read_status(self) -> None:
        chunk = os.read(self._status_fd, READ_SIZE)
        self._status += chunk
        if chunk:
            return
        self.popen.wait()  # the launcher closed its end: all is over
        while self._output_fd in self.selector.get_map() and self._read_output():
            pass
        self.ended = _ended(self._status)
        for fd in (self._status_fd, self._output_fd):
            if fd in self.selector.get_map():
                self.selector.unregister(fd)


def kills_for_memory() -> int | None:
    """How many processes the kernel of this machine has killed for want of memory; None where it does not say."""
    try:
        counts = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
        return int(counts["oom_kill"])
    except (OSError, ValueError, KeyError):
        return None


def _ended(status: bytes) -> Ended:
    """What the launcher reported. A shell and bubblewrap say 128 + n for a command that signal n ended."""
    if not status:
        return Ended(None, 0, 0.0)
    ended = Ended(**json.loads(status))
    assert ended.exit_code is not None
    if ended.exit_code - 128 in signal.valid_signals():
        return replace(ended, exit_code=128 - ended.exit_code)
    return ended


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _proportional(process: psutil.Process) -> int:
    """Memory with shared pages divided among those who share them: slower to read, but forks are not counted twice."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0
    except psutil.AccessDenied:  # it runs a program that nobody may read
        return _resident(process)
