"""Hands out the training text to a run that cannot read it: what was drawn, how much and in which order, is known here.

The run gets one end of a socket. It asks for windows and is given bytes; the thread at the other end belongs to the worker. How
many tokens were drawn, before, between and after the steps and by whatever process inherited the socket, is counted with each
answer and told with it. One answer may bring several draws, because it wakes a thread, which costs more than the answer itself:
all of them count at once. `prepare.py` of the default target is the other side; docs/explanation/default-target.md describes
both.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

TRAIN = "train.bin"
REQUEST = struct.Struct("<4sII")  # what is asked for, and two numbers
ANSWER = struct.Struct("<QQ")  # tokens drawn so far, and the bytes that follow; REFUSED tokens: the bytes say why
REFUSED = (1 << 64) - 1
DRAW, AGAIN, MIXTURE, KEEP, BACK = b"draw", b"more", b"mix ", b"keep", b"back"
MIXTURE_LIMIT = 1 << 16  # bytes
WINDOWS_LIMIT = 1 << 26  # bytes of one answer
AHEAD = 256  # windows whose sources are planned at once, at most: planned one by one, each would find the caches cold
KEPT = 2  # states: a run can be lost between keeping one and noting that it did

logger = logging.getLogger(__name__)


class Refused(Exception):
    """A request that makes no sense; the run is told why."""


@dataclass(frozen=True)
class Drawn:
    """What a run was given of the training text."""

    tokens: int  # targets: a window of n + 1 bytes has n
    tokens_here: int  # of them in this attempt; others were drawn by the attempts that it resumed
    draws: int  # requests, of this attempt
    seconds: float  # from its first draw to its last answer
    cpu_before: float | None  # processor seconds of the run up to its first draw
    order: str  # a hash of every byte handed out by this attempt, in its order


class Turns:
    """Which source the next window comes from. They take turns by weight, so that the share of each is exact, not drawn."""

    def __init__(self, owed: dict[str, float], shares: Mapping[str, float] | None = None) -> None:
        self.shares = dict(shares or {})
        self.planned: list[str] = []
        self.taken = 0  # of those planned
        self.before, self.after = owed, dict(owed)  # windows owed to each source before and after what is planned

    def take(self) -> str:
        """The next one."""
        if self.taken == len(self.planned):
            ahead = min(max(2 * len(self.planned), 8), AHEAD)  # little while the mixture changes often
            self.before, self.taken = dict(self.after), 0
            self.planned = [self._next(self.after) for _ in range(ahead)]
        self.taken += 1
        return self.planned[self.taken - 1]

    def owed(self) -> dict[str, float]:
        """Windows owed to each source now; the same to the last bit as if nothing had been planned."""
        owed = dict(self.before)
        for _ in range(self.taken):
            self._next(owed)
        return owed

    def _next(self, owed: dict[str, float]) -> str:
        for name, share in self.shares.items():
            owed[name] += share
        name = max(self.shares, key=owed.__getitem__)
        owed[name] -= 1.0
        return name


class Text:
    """The training text, source by source, and the random windows drawn from it, as `prepare.TrainText` draws them by hand."""

    def __init__(self, data: Path, seed: int) -> None:
        index = json.loads((data / TRAIN).with_suffix(".json").read_text())
        text = np.memmap(data / TRAIN, dtype=np.uint8, mode="r")
        view = text.data  # a memoryview: its slices cost a tenth of an array's
        self.sources = {s["name"]: view[s["start"] : s["start"] + s["bytes"]] for s in index["sources"]}
        self.random = np.random.default_rng(seed)
        self.turns = Turns(dict.fromkeys(self.sources, 0.0))

    def mix(self, mixture: Mapping[str, Any]) -> None:
        """Draw by these weights from now on. Raises Refused."""
        if unknown := sorted(set(mixture) - set(self.sources)):
            raise Refused(f"the mixture names {', '.join(unknown)[:200]}; the corpus has {', '.join(self.sources)}")
        weights = [value for value in mixture.values() if isinstance(value, int | float) and 0 <= value < 1e300]
        if len(weights) < len(mixture) or not 0 < sum(weights) < 1e300:
            raise Refused("the mixture weights must be positive numbers")
        total = sum(weights)
        self.turns = Turns(self.turns.owed(), {name: weight / total for name, weight in mixture.items()})

    def draw(self, size: int, length: int) -> bytes:
        """`size` windows of `length` bytes. The sources take turns by weight: the share of each is exact. Raises Refused."""
        if not self.turns.shares:
            raise Refused("no mixture was named")
        if not (size and length) or size * length > WINDOWS_LIMIT:
            raise Refused(f"{size} windows of {length} bytes are none, or more than {WINDOWS_LIMIT} bytes at once")
        windows = []
        for _ in range(size):
            name = self.turns.take()
            source = self.sources[name]
            if length > len(source):
                raise Refused(f"a window of {length} bytes is longer than the source {name}, which has {len(source)}")
            start = int(self.random.integers(len(source) - length + 1))
            windows.append(source[start : start + length])
        return b"".join(windows)


class TextServer:
    """Serves one run from a thread of its own. A context manager: leaving it ends the thread.

    `theirs` is the descriptor that the run inherits; close it with `handed_over` once the run has it. `kept` is a file, out of
    the run's reach, for what an attempt needs to go on where a lost one saved; None: nothing is kept. `cpu` tells the processor
    seconds that the run used so far, where that is set.
    Raises OSError, ValueError or KeyError where the text cannot be read.
    """

    def __init__(self, data: Path, seed: int, kept: Path | None) -> None:
        self.text, self.kept = Text(data, seed), kept
        self.tokens = self.before = 0
        self.draws, self.first, self.last = 0, 0.0, 0.0
        self.shape = (0, 0)  # of the last draw: windows, and bytes of each
        self.cpu: Callable[[], float] | None = None
        self.cpu_before: float | None = None
        self.order = hashlib.sha256()
        self.states: dict[str, Any] = json.loads(kept.read_text()) if kept is not None and kept.is_file() else {}
        self.may_go_back = bool(self.states)
        self.ours, theirs = socket.socketpair()
        self.theirs: socket.socket | None = theirs
        self.thread = threading.Thread(target=self._serve, name="training text", daemon=True)
        self.thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.handed_over()
        self.end()
        self.ours.close()

    def handed_over(self) -> None:
        """The run has its end of the socket: ours sees when it is gone."""
        if self.theirs is not None:
            self.theirs.close()
            self.theirs = None

    def end(self) -> Drawn:
        """Answer nothing more; what was drawn in all."""
        try:
            self.ours.shutdown(socket.SHUT_RDWR)
        except OSError:
            logger.debug("the run had closed the socket")
        self.thread.join()
        seconds, order = self.last - self.first, self.order.hexdigest()
        return Drawn(self.tokens, self.tokens - self.before, self.draws, seconds, self.cpu_before, order)

    def _serve(self) -> None:
        try:
            while request := self._receive(REQUEST.size):
                try:
                    answer, tokens = self._answer(*REQUEST.unpack(request)), self.tokens
                except Refused as why:
                    answer, tokens = str(why).encode(), REFUSED
                self.ours.sendall(ANSWER.pack(tokens, len(answer)) + answer)
        except OSError:
            return  # the run ended in the middle of an answer
        except Exception:
            logger.exception("The training text is served no more")
            self.ours.shutdown(socket.SHUT_RDWR)

    def _answer(self, what: bytes, first: int, second: int) -> bytes:
        if what == DRAW:
            self.shape = first, second
            return self._draw(1)
        if what == AGAIN:
            return self._draw(first)
        if what == MIXTURE:
            if first > MIXTURE_LIMIT:
                raise Refused(f"a mixture of {first} bytes is too long")
            self.text.mix(_mapping(self._receive(first)))
        elif what == KEEP:
            self._keep(first)
        elif what == BACK:
            self._back(first)
        else:
            raise Refused("nobody knows that request")
        return b""

    def _draw(self, times: int) -> bytes:
        """So many draws of the last shape. All of them count from now on. Raises Refused."""
        self.may_go_back = False
        if self.cpu is not None and self.cpu_before is None:
            self.cpu_before = round(self.cpu(), 3)
        size, length = self.shape
        windows = self.text.draw(times * size, length)
        self.tokens += times * size * max(length - 1, 1)
        self.order.update(windows)
        self.draws, self.last = self.draws + times, time.monotonic()
        self.first = self.first or self.last
        return windows

    def _keep(self, step: int) -> None:
        if self.kept is None:
            return
        state = {"tokens": self.tokens, "owed": self.text.turns.owed(), "random": self.text.random.bit_generator.state}
        state["shape"] = self.shape
        self.states.pop(str(step), None)
        self.states = {**dict(list(self.states.items())[1 - KEPT :]), str(step): json.loads(json.dumps(state))}
        partial = self.kept.with_suffix(".partial")
        partial.write_text(json.dumps(self.states))
        os.replace(partial, self.kept)

    def _back(self, step: int) -> None:
        """Go on where an earlier attempt was at a step: once, before anything was drawn. Raises Refused."""
        if not self.may_go_back or (state := self.states.get(str(step))) is None:
            raise Refused(f"nothing is kept of step {step}")
        self.may_go_back = False
        self.tokens = self.before = state["tokens"]
        self.text.turns = Turns(dict(state["owed"]), self.text.turns.shares)
        self.text.random.bit_generator.state = state["random"]
        self.shape = tuple(state["shape"])

    def _receive(self, size: int) -> bytes:
        """Just so many bytes; fewer, and thus none, when the run is gone."""
        parts = b""
        while len(parts) < size and (part := self.ours.recv(size - len(parts))):
            parts += part
        return parts if len(parts) == size else b""


def _mapping(raw: bytes) -> dict[str, Any]:
    try:
        mixture = json.loads(raw)
    except (ValueError, RecursionError):
        mixture = None
    if not isinstance(mixture, dict):
        raise Refused("the mixture is no JSON object")
    return mixture
