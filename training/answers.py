"""Puts questions to a candidate's model in processes of its own, and reads the answers: every wait has an end."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Self

import numpy as np
import psutil

from training.devices import seen_as, visibility
from training.logits import BUILD_FAILED, LOAD_FAILED, WARM
from training.process import Process, clean_environment, says_out_of_memory
from training.sandbox import Confinement, Level, confined
from training.sandbox.answering import answering_program
from training.sandbox.seccomp import UnknownMachine
from training.spec import Builder, Outcome

LOGITS = Path(__file__).with_name("logits.py")
POLL_SECONDS = 0.2
END_SECONDS = 10.0  # how long a process whose requests ended may take to end itself
PIPE_SIZE = 1 << 20
THREADS = 64  # of the model's processes
FILE_LIMIT = 1 << 20  # bytes; there is nothing to write
KILLED = (-9, 128 + 9)  # exit codes of a process that SIGKILL ended, alone or within a sandbox
READY_SECONDS = 240.0  # more than a whole scoring, to import PyTorch
SLOTS = tuple(0.25 * 2**power for power in range(9))  # seconds: a process's answers take one of these, seen from outside
OUT_OF_MEMORY = "the model used more memory than allowed while it was scored"
NOT_KEPT = (
    "the model stopped, or did not answer as it should, when it was asked held-out text; it had answered made-up text before. "
    "What it says then is not kept, because it may hold that text"
)

BUILDS = Builder()
ShouldStop = Callable[[], str | None]


class NoScore(Exception):
    """The checkpoint could not be scored: `outcome` names how, the message says why."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


@dataclass(frozen=True)
class Line:
    """Our ends of the two pipes of one model."""

    requests: int
    replies: int


class Model:
    """The candidate's model behind pipes: the first of two fresh processes, and after `renew` the second.

    `home` holds the code in `tree` and will hold the `checkpoint` when the first question is asked. PyTorch is imported at
    once, so start it while the run still trains. A context manager. Every method raises NoScore, in bounded time.
    """

    def __init__(
        self,
        home: Path,
        checkpoint: Path,
        *,
        device: str,
        memory_limit: int,
        level: Level,
        unreadable: tuple[Path, ...],
        settings: Mapping[str, str],
        builder: Builder = BUILDS,
    ) -> None:
        self.lines, theirs = [], []
        stdin, self.control = os.pipe()
        for _ in range(2):
            (request_end, requests), (replies, reply_end) = os.pipe(), os.pipe()
            theirs += [request_end, reply_end]
            self.lines.append(Line(requests, replies))
            os.set_blocking(requests, False)
            os.set_blocking(replies, False)
            _widen(replies)
        self.open = {self.control, *(fd for line in self.lines for fd in (line.requests, line.replies))}
        made_by = (builder.module, "load_model" if builder.loads else "build_model")
        words = (str(home / "tree"), str(checkpoint), seen_as(device), *_filters(device), *made_by, *map(str, theirs))
        confinement = Confinement(
            level=level,
            readable=(home, LOGITS),
            writable=None,
            device=device,
            memory_limit=memory_limit,
            processes=THREADS,
            file_size=FILE_LIMIT,
            scratch_size=0,
            keep_fds=tuple(theirs),
            hidden=unreadable,
        )
        try:
            self.process = Process(
                confined([sys.executable, "-I", "-B", str(LOGITS), *words], confinement),
                cwd=home,
                environment=clean_environment(home, CUBLAS_WORKSPACE_CONFIG=":4096:8", **visibility(device), **settings),
                memory_limit=memory_limit,
                heap_limit=memory_limit if device == "cpu" else 0,
                stdin=stdin,
                pass_fds=theirs,
            )
        except BaseException:
            self._close(*self.open)
            raise
        finally:
            for fd in (stdin, *theirs):
                os.close(fd)
        self.vocabulary = 0
        self.asked = False  # whether any of it has seen held-out text
        self.reclaimed = _reclaimed()
        self.our_own: set[int] = set()  # processes in which nothing of the candidate's runs
        self.limit(float("inf"), lambda: None)
        self._talk_on(self.lines[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.close()
        self._close(*self.open)

    def limit(self, seconds: float, should_stop: ShouldStop) -> None:
        """From now on everything together may take so long, and goes on while `should_stop` returns None."""
        self.started, self.seconds, self.should_stop, self.checked = time.monotonic(), seconds, should_stop, 0.0
        self.turn = self.started  # when the process that answers now began with held-out text

    def begin(self, vocabulary: int) -> None:
        """Let the first process begin, as soon as PyTorch is there, with a model of so many tokens."""
        self.vocabulary = vocabulary
        self.started += READY_SECONDS  # until it is ready it is our own code that is slow, on a machine with much to do
        self._read(1)
        self.started = time.monotonic()
        self.our_own = self._living()
        self._fork()

    def warm_up(self, made_up: np.ndarray) -> None:
        """Ask tokens (N, T) that mean nothing. What is wrong with a model that fails at them can be said: it knows nothing."""
        self.rows(made_up, np.zeros((len(made_up), 1), dtype=np.intp))
        if not self.asked:
            self.process.pump(0)
            self.process.log.stop()
            self.asked, self.turn = True, time.monotonic()

    def renew(self) -> None:
        """End the first process with all that it started, and go on with the second, which knows nothing of the first."""
        first, second = self.lines
        self._close(first.requests)
        self._talk_on(second)
        until = time.monotonic() + END_SECONDS
        while not self.process.pump(POLL_SECONDS):
            self._check()
            if time.monotonic() > until:
                raise NoScore(Outcome.no_score, NOT_KEPT)
        self._read(1)
        self._refuse_talk(first)
        while left := self._living() - self.our_own:
            self._check()
            for pid in left:
                _kill(pid)
        self.rest()
        self.turn = time.monotonic()
        self._fork()

    def rest(self) -> None:
        """Wait until the answers so far have taken one of SLOTS, so that their time says next to nothing. Raises NoScore."""
        began = time.monotonic()
        until = self.turn + next((slot for slot in SLOTS if slot >= began - self.turn), 0.0)
        while (now := time.monotonic()) < until:
            if reason := self.should_stop():
                raise NoScore(Outcome.cancelled, reason)
            time.sleep(min(POLL_SECONDS, until - now))
        self.started += time.monotonic() - began  # waiting is none of the model's time

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        """(N, T) tokens to (N, T, V) float32 logits."""
        return self._ask(tokens, reply=(*tokens.shape, self.vocabulary))

    def log_probabilities(self, tokens: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """(N, T) tokens to the log-probabilities, as the model's process states them, of `chosen` (N, T, K)."""
        return self._ask(tokens, chosen, chosen=chosen.shape[-1], reply=chosen.shape)

    def rows(self, tokens: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """(N, T) tokens to the logits at `positions` (N, R) alone: (N, R, V)."""
        return self._ask(tokens, positions, rows=positions.shape[-1], reply=(*positions.shape, self.vocabulary))

    def rows_of_last(self, tokens: np.ndarray, sequences: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """(R, V) logits of the answer to `tokens`, which was the last, at R places."""
        request = struct.pack("<IIII", 0, 0, 0, len(positions)) + _numbers(sequences) + _numbers(positions)
        return self._exchange(request, (*tokens.shape, self.vocabulary), (len(positions), self.vocabulary))

    def _ask(
        self, tokens: np.ndarray, more: np.ndarray | None = None, *, chosen: int = 0, rows: int = 0, reply: tuple[int, ...]
    ) -> np.ndarray:
        request = struct.pack("<IIII", *tokens.shape, chosen, rows) + _numbers(tokens)
        request += b"" if more is None else _numbers(more)
        return self._exchange(request, (*tokens.shape, self.vocabulary), reply)

    def _exchange(self, request: bytes, expected: tuple[int, ...], reply: tuple[int, ...]) -> np.ndarray:
        """Send a request; refuse logits of another shape than `expected` and answers that are not finite."""
        self._refuse_talk(self.line)
        self._write(self.line.requests, request)
        shape = struct.unpack("<III", self._read(12))
        if shape != expected:
            message = f"the model answered {expected[:2]} tokens with logits of shape {shape}; it must be {expected}"
            raise NoScore(Outcome.no_score, NOT_KEPT if self.asked else message)
        answer = np.frombuffer(self._read(4 * int(np.prod(reply))), dtype=np.float32).reshape(reply)
        if not np.isfinite(answer).all():
            raise NoScore(Outcome.not_finite, "the trained model answers with logits that are not finite")
        return answer

    def _fork(self) -> None:
        """Let the next process begin; where memory was short, libraries may have left the page cache and are read anew."""
        before, self.reclaimed = self.reclaimed, _reclaimed()
        self._write(self.control, WARM if before is None or self.reclaimed != before else b"m")

    def _talk_on(self, line: Line) -> None:
        """Read replies from this line and no other."""
        for other in self.lines:
            if other.replies in self.process.selector.get_map():
                self.process.selector.unregister(other.replies)
        self.process.watch(line.replies)
        self.line = line

    def _refuse_talk(self, line: Line) -> None:
        """There is nothing to read before a question, nor after the last answer."""
        try:
            early = os.read(line.replies, 1)
        except BlockingIOError:
            return
        if early:
            message = "the model's process wrote an answer without being asked"
            raise NoScore(Outcome.no_score, NOT_KEPT if self.asked else message)
        self._ended()

    def _write(self, fd: int, request: bytes) -> None:
        rest = memoryview(request)
        while rest:
            try:
                rest = rest[os.write(fd, rest) :]
            except BlockingIOError:
                self._check()
                _ready(fd, select.POLLOUT, POLL_SECONDS / 10)
                self.process.pump(0)  # it may be waiting for us to take what it prints
            except BrokenPipeError:
                self._ended()

    def _read(self, size: int) -> bytearray:
        """Exactly `size` bytes of the reply."""
        reply = bytearray(size)
        view, got = memoryview(reply), 0
        while got < size:
            readable = self.process.pump(POLL_SECONDS)
            self._check()
            if not readable:
                continue
            try:
                read = os.readv(self.line.replies, [view[got:]])
            except BlockingIOError:  # the model's process opened the pipe's other end and took it back
                continue
            if read == 0:
                self._ended()
            got += read
        return reply

    def _check(self) -> None:
        """While an answer is awaited: is it worth waiting for?"""
        first, second = self.lines
        if first.requests in self.open and _ready(second.replies, select.POLLIN):
            self._ended()  # before its requests did: there is word on the second line already
        self._check_limits()

    def _check_limits(self) -> None:
        """Every POLL_SECONDS: time, memory, and whether to go on."""
        now = time.monotonic()
        if now - self.checked < POLL_SECONDS:
            return
        self.checked = now
        if now - self.started > self.seconds:
            raise NoScore(
                Outcome.no_score, f"scoring took longer than {self.seconds:g} s and was stopped; is the model very slow?"
            )
        if reason := self.should_stop():
            raise NoScore(Outcome.cancelled, reason)
        if self.process.over_memory():
            raise NoScore(Outcome.out_of_memory, OUT_OF_MEMORY)

    def _ended(self) -> NoReturn:
        """The model's process is over: say why, as long as it had nothing to tell."""
        if self.control in self.open:
            self._close(self.control)  # there will be no second one
        while not self.process.wait(POLL_SECONDS):
            self._check_limits()
        last = self.process.log.last_lines(1)
        code = self.process.ended.exit_code if self.process.ended else None
        if self.asked:
            if code in KILLED and self.process.killed_for_memory():
                raise NoScore(Outcome.out_of_memory, OUT_OF_MEMORY)
            raise NoScore(Outcome.no_score, NOT_KEPT)
        if says_out_of_memory(last) or (code in KILLED and self.process.killed_for_memory()):
            raise NoScore(Outcome.out_of_memory, f"the model ran out of memory while it was scored: {last}")
        if code in KILLED:
            unknown = f"the model was killed from outside while it was scored, by whom is not known. {last}"
            raise NoScore(Outcome.no_score, unknown)
        if code in (BUILD_FAILED, LOAD_FAILED) and last:  # without a word it is the model's own exit code
            raise NoScore(Outcome.no_score, f"the trained model cannot be scored: {last}")
        printed = f": {last}" if last else "; it printed nothing"
        raise NoScore(Outcome.no_score, f"the model stopped while it was scored (exit code {code}){printed}")

    def _living(self) -> set[int]:
        """Every process of the scoring that is not dead."""
        try:
            below = psutil.Process(self.process.popen.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return set()
        return {process.pid for process in below if _lives(process)}

    def _close(self, *fds: int) -> None:
        for fd in fds:
            os.close(fd)
            self.open.discard(fd)


def _filters(device: str) -> tuple[str, str]:
    """The system call filters of the models' processes, for `logits.py`; "-" where they cannot be, as on a GPU."""
    if device != "cpu":  # its driver opens files and starts threads whenever it likes
        return "-", "-"
    try:
        return answering_program().hex(), answering_program(reading=True).hex()
    except UnknownMachine:
        return "-", "-"


def _reclaimed() -> int | None:
    """Pages that this machine has taken back since it started, files' among them; None where it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return None
    return sum(int(line.split()[1]) for line in lines if line.startswith(("pgsteal_", "pginodesteal")))


def _numbers(values: np.ndarray) -> bytes:
    return values.astype("<u4").tobytes()


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _ready(fd: int, event: int, seconds: float = 0.0) -> bool:
    """Whether this happened to a file, or it was closed at the other end. Unlike select(), for any number of open files."""
    poll = select.poll()
    poll.register(fd, event)
    return bool(poll.poll(seconds * 1000))


def _widen(pipe: int) -> None:
    """A larger pipe needs fewer turns between the two processes; the default size works too."""
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    except PermissionError:
        return
