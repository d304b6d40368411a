"""The trusted scorer: what a checkpoint is worth on text that the run never saw.

The candidate's code runs in a process of its own (`training/logits.py`) that receives tokens and returns logits. Targets,
cross-entropy and bits per byte exist on this side only.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np

from training.logits import BUILD_FAILED, LOAD_FAILED
from training.process import Process, clean_environment, says_out_of_memory
from training.series import CHECKPOINT, Outputs, UnsafeOutput
from training.spec import Outcome

LOGITS = Path(__file__).with_name("logits.py")
VOCAB = 256
BATCH = 32  # sequences in one request
CHECKPOINT_LIMIT = 8 << 30  # bytes
HEADER_LIMIT = 8 << 20  # bytes of the description at the front of a safetensors file
SCORE_SECONDS = 60.0  # for a whole scoring; one of the default target takes under two
POLL_SECONDS = 0.2
PIPE_SIZE = 1 << 20


ShouldStop = Callable[[], str | None]


class NoScore(Exception):
    """The checkpoint could not be scored: `outcome` names how, the message says why."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


@dataclass(frozen=True)
class Shard:
    """Held-out windows: `text` is (N, window + 1) uint8, the windows of each source one after another."""

    text: np.ndarray
    sources: Mapping[str, slice]  # name -> rows of `text`


@dataclass(frozen=True)
class Score:
    """Bits per byte, lower is better: overall, and for each source."""

    bits_per_byte: float
    by_source: Mapping[str, float]
    scored_bytes: int
    seconds: float


def read_shard(path: Path) -> Shard:
    """Read a held-out shard that training/corpus.py wrote."""
    index = json.loads(path.with_suffix(".json").read_text())
    row = index["window"] + 1
    text = np.fromfile(path, dtype=np.uint8).reshape(-1, row)
    return Shard(text, {s["name"]: slice(s["start"] // row, (s["start"] + s["bytes"]) // row) for s in index["sources"]})


class Scorer:
    """The candidate's model behind two pipes: tokens go in, logits come out, and every wait has an end.

    Start it while the run still trains: it imports PyTorch meanwhile, and waits. `source` is the code that was judged (content
    by relative path); `folder` is where its copy is put, out of the reach of the run. A context manager.
    """

    def __init__(self, source: Mapping[str, bytes], folder: Path, *, device: str, memory_limit: int) -> None:
        self.home = Path(tempfile.mkdtemp(prefix=".scoring-", dir=folder))
        self.checkpoint = self.home / CHECKPOINT
        for name, content in source.items():
            path = self.home / "tree" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self.replies, reply_end = os.pipe()
        requests, self.requests = os.pipe()
        os.set_blocking(self.replies, False)
        _widen(self.replies)
        tree, fd = str(self.home / "tree"), str(reply_end)
        try:
            self.process = Process(
                [sys.executable, "-I", str(LOGITS), tree, str(self.checkpoint), device, fd],
                cwd=self.home,
                environment=clean_environment(self.home, CUBLAS_WORKSPACE_CONFIG=":4096:8"),
                memory_limit=memory_limit,
                heap_limit=memory_limit if device == "cpu" else 0,
                stdin=requests,
                pass_fds=(reply_end,),
            )
        finally:
            os.close(reply_end)
            os.close(requests)
        self.process.watch(self.replies)
        self.should_stop: ShouldStop = lambda: None
        self.seconds = SCORE_SECONDS
        self.started = self.checked = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.close()
        os.close(self.replies)
        os.close(self.requests)
        shutil.rmtree(self.home)

    def score(self, outputs: Outputs, shard: Path, should_stop: ShouldStop, seconds: float = SCORE_SECONDS) -> Score:
        """Score the checkpoint in `outputs` on `shard`, within `seconds`. Raises NoScore, in bounded time, whatever happens."""
        self.started, self.seconds, self.should_stop = time.monotonic(), seconds, should_stop
        held_out = read_shard(shard)
        _take_checkpoint(outputs, self.checkpoint)
        batches = (held_out.text[start : start + BATCH] for start in range(0, len(held_out.text), BATCH))
        bits = np.concatenate([bits_of(self.logits(batch[:, :-1]), batch[:, 1:]) for batch in batches])  # (N, window)
        return Score(
            bits_per_byte=float(bits.mean()),
            by_source={name: float(bits[rows].mean()) for name, rows in held_out.sources.items()},
            scored_bytes=bits.size,
            seconds=time.monotonic() - self.started,
        )

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        """(N, T) uint8 tokens to (N, T, VOCAB) float32 logits. Raises NoScore."""
        count, length = tokens.shape
        try:
            os.write(self.requests, struct.pack("<II", count, length) + np.ascontiguousarray(tokens).tobytes())
        except BrokenPipeError:
            self._ended()
        shape = struct.unpack("<III", self._read(12))
        if shape != (count, length, VOCAB):
            raise NoScore(
                Outcome.no_score,
                f"the model answered ({count}, {length}) bytes with logits of shape {shape}; "
                f"it must be ({count}, {length}, {VOCAB})",
            )
        return np.frombuffer(self._read(4 * count * length * VOCAB), dtype=np.float32).reshape(count, length, VOCAB)

    def _read(self, size: int) -> bytearray:
        """Exactly `size` bytes of the reply."""
        reply = bytearray(size)
        view, got = memoryview(reply), 0
        while got < size:
            readable = self.process.pump(POLL_SECONDS)
            self._check()
            if not readable:
                continue
            read = os.readv(self.replies, [view[got:]])
            if read == 0:
                self._ended()
            got += read
        return reply

    def _check(self) -> None:
        """Every POLL_SECONDS while an answer is awaited: is it worth waiting for?"""
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
            raise NoScore(Outcome.out_of_memory, "the model used more memory than allowed while it was scored")

    def _ended(self) -> NoReturn:
        """The process closed its end of a pipe: say why."""
        self.process.wait(max(1.0, self.started + self.seconds - time.monotonic()))
        last = self.process.log.last_lines(1)
        code = self.process.ended.exit_code if self.process.ended else None
        if code == -9 or says_out_of_memory(last):
            raise NoScore(Outcome.out_of_memory, f"the model ran out of memory while it was scored: {last}")
        if code in (BUILD_FAILED, LOAD_FAILED):
            raise NoScore(Outcome.no_score, f"the trained model cannot be scored: {last}")
        raise NoScore(Outcome.no_score, f"the model stopped while it was scored (exit code {code}): {last}")


def bits_of(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Bits needed for each target byte: −log2 softmax(logits)[target]. (N, T, 256) and (N, T) to (N, T). Raises NoScore."""
    if not np.isfinite(logits).all():
        raise NoScore(Outcome.not_finite, "the trained model answers with logits that are not finite")
    shifted = logits - logits.max(axis=-1, keepdims=True)
    chosen = np.take_along_axis(shifted, targets[..., None].astype(np.intp), axis=-1)[..., 0]
    nats = np.log(np.exp(shifted).sum(axis=-1)) - chosen
    return np.asarray(nats, dtype=np.float64) / math.log(2)


def _take_checkpoint(outputs: Outputs, home: Path) -> None:
    """Give the checkpoint a second name at `home`, when it is a plain, complete safetensors file. Raises NoScore."""
    try:
        fd = outputs.open(CHECKPOINT, CHECKPOINT_LIMIT)
    except UnsafeOutput as error:
        raise NoScore(Outcome.no_score, f"the checkpoint was refused: {error}") from error
    if fd is None:
        raise NoScore(Outcome.no_score, f"training ended without writing {CHECKPOINT}; call run.finish(model) at its end")
    try:
        _check_length(fd)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise NoScore(Outcome.no_score, f"the checkpoint is no complete safetensors file: {error}") from error
    finally:
        os.close(fd)
    os.link(CHECKPOINT, home, src_dir_fd=outputs.folder, follow_symlinks=False)


def _check_length(fd: int) -> None:
    """Raises an error unless the file is as long as the header at its front says."""
    size = os.fstat(fd).st_size
    length = int.from_bytes(os.pread(fd, 8, 0), "little")
    if size < 8 or length > min(size - 8, HEADER_LIMIT):
        raise ValueError("its header is longer than the file")
    header: dict[str, Any] = json.loads(os.pread(fd, length, 8))
    ends = [int(tensor["data_offsets"][1]) for name, tensor in header.items() if name != "__metadata__"]
    if (expected := 8 + length + max(ends, default=0)) != size:
        raise ValueError(f"it has {size} bytes and should have {expected}")


def _widen(pipe: int) -> None:
    """A larger pipe needs fewer turns between the two processes; the default size works too."""
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    except PermissionError:
        return
