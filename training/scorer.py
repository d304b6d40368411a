"""The trusted scorer: what a checkpoint is worth on text that the run never saw, and whether its answers can be believed.

The candidate's code runs in processes of its own (`training/logits.py`) that receive tokens and return logits. Targets,
cross-entropy, bits per byte and the verdicts of the probes (`training/probes.py`) exist on this side only.
docs/explanation/scorer.md says what each probe catches and what it lets pass.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from training import probes
from training.answers import BUILDS, Model, NoScore, ShouldStop
from training.probes import Plan, Probe, log_softmax
from training.sandbox import Level
from training.series import Outputs, UnsafeOutput
from training.spec import Builder, Outcome

__all__ = ["NoScore", "Score", "Scorer", "Shard", "ShouldStop", "bits_of", "read_shard", "rounded_for_agents"]

BATCH = 32  # sequences in one request, fewer when their logits are large
BATCH_LIMIT = 1 << 29  # bytes of logits in one request
WHOLE_VOCABULARY = 1024  # beyond it the logits of a position are not sent whole
CHOSEN = 4  # tokens asked for at each position then: the target among others
AUDITED = 8  # rows of logits asked for after each such batch
CHECKPOINT_LIMIT = 8 << 30  # bytes
HEADER_LIMIT = 8 << 20  # bytes of the description at the front of a safetensors file
HASH_CHUNK = 1 << 20  # bytes
SCORE_SECONDS = 60.0  # for a whole scoring; one of the default target takes under two


@dataclass(frozen=True)
class Shard:
    """Held-out windows: `text` is (N, window + 1) tokens (bytes, as a rule), the windows of each source one after another."""

    text: np.ndarray
    sources: Mapping[str, slice]  # name -> rows of `text`
    text_bytes: Mapping[str, int]  # name -> bytes of text that the targets stand for
    vocabulary: int = 256


@dataclass(frozen=True)
class Score:
    """Bits per byte, lower is better: overall, and for each source. What the hidden shard says is not printed with it."""

    bits_per_byte: float
    by_source: Mapping[str, float]
    scored_bytes: int
    seconds: float
    probe_seconds: float  # of `seconds`, what the second process took
    probes: Mapping[str, Probe]
    checkpoint_hash: str
    code_hash: str
    hidden: float | None = field(default=None, repr=False)
    hidden_by_source: Mapping[str, float] = field(default_factory=dict, repr=False)


def read_shard(path: Path) -> Shard:
    """Read a held-out shard that training/corpus.py wrote.

    A shard of tokens that are not bytes says in its index `vocabulary`, `token_bytes` (1, 2 or 4, little-endian) and for each
    source `text_bytes`. Raises ValueError when a token is beyond the vocabulary.
    """
    index = json.loads(path.with_suffix(".json").read_text())
    width, vocabulary = index.get("token_bytes", 1), index.get("vocabulary", 256)
    window = index["window"] + 1
    text = np.fromfile(path, dtype=f"<u{width}").reshape(-1, window)
    if int(text.max(initial=0)) >= vocabulary:
        raise ValueError(f"{path} has the token {text.max()}, and its vocabulary is {vocabulary}; build the corpus again")
    row = window * width
    sources = {s["name"]: slice(s["start"] // row, (s["start"] + s["bytes"]) // row) for s in index["sources"]}
    targets = {name: (rows.stop - rows.start) * (window - 1) for name, rows in sources.items()}
    text_bytes = {s["name"]: s.get("text_bytes", targets[s["name"]]) for s in index["sources"]}
    return Shard(text, sources, text_bytes, vocabulary)


class Scorer:
    """Scores one checkpoint. Start it while the run still trains: it imports PyTorch meanwhile, and waits.

    `source` is the code that was judged (content by relative path); `folder` is where its copy is put, out of the reach of
    the run. `unreadable` are places that hold the scored text, `settings` what the model is built with. A context manager.
    """

    def __init__(
        self,
        source: Mapping[str, bytes],
        folder: Path,
        *,
        device: str,
        memory_limit: int,
        level: Level = Level.none,
        unreadable: tuple[Path, ...] = (),
        settings: Mapping[str, str] | None = None,
        builder: Builder = BUILDS,
    ) -> None:
        self.builder = builder
        self.home = Path(tempfile.mkdtemp(prefix=".scoring-", dir=folder))
        self.home.chmod(0o755)  # the model's process may have a user of its own
        self.checkpoint = self.home / builder.checkpoint
        self.code_hash = _hash_of(source)
        for name, content in source.items():
            path = self.home / "tree" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self.model = Model(
            self.home,
            self.checkpoint,
            device=device,
            memory_limit=memory_limit,
            level=level,
            unreadable=unreadable,
            settings=settings or {},
            builder=builder,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.model.__exit__()
        shutil.rmtree(self.home)

    def score(
        self,
        outputs: Outputs,
        gate: Path,
        should_stop: ShouldStop,
        seconds: float = SCORE_SECONDS,
        *,
        hidden: Path | None = None,
    ) -> Score:
        """Score the checkpoint in `outputs` on one or both shards, within `seconds`, and probe the model.

        Raises NoScore, in bounded time, whatever the run and the model do; OSError or ValueError when a shard is unusable.
        """
        started = time.monotonic()
        self.model.limit(seconds, should_stop)
        shards = [read_shard(path) for path in (gate, hidden) if path is not None]
        if len({(shard.text.shape[1], shard.vocabulary) for shard in shards}) > 1:
            raise ValueError(f"{gate} and {hidden} differ in window or vocabulary; build both with one corpus")
        checkpoint_hash = _take_checkpoint(outputs, self.checkpoint, self.builder)
        examination = Examination(self.model, np.concatenate([shard.text for shard in shards]), shards[0].vocabulary)
        try:
            bits = examination.first_process()  # (N, T)
            first_done = time.monotonic()
            report = examination.second_process() | {"identity": self._identity(checkpoint_hash)}
        except NoScore as refused:
            if self.model.asked and refused.outcome is not Outcome.cancelled:
                self.model.rest()
            raise
        self.model.rest()
        count = len(shards[0].text)
        gate_score, by_source = _bits_per_byte(bits[:count], shards[0])
        hidden_score, hidden_by_source = _bits_per_byte(bits[count:], shards[1]) if hidden else (None, {})
        return Score(
            bits_per_byte=gate_score,
            by_source=by_source,
            scored_bytes=sum(shards[0].text_bytes.values()),
            seconds=time.monotonic() - started,
            probe_seconds=time.monotonic() - first_done,
            probes=report,
            checkpoint_hash=checkpoint_hash,
            code_hash=self.code_hash,
            hidden=hidden_score,
            hidden_by_source=hidden_by_source,
        )

    def _identity(self, checkpoint_hash: str) -> Probe:
        """Whether the files that were scored are still those that were trained."""
        tree = self.home / "tree"
        now = {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
        if _hash_of(now) != self.code_hash:
            return Probe(False, "The code that was scored is not the code that was judged.", 0.0)
        with self.checkpoint.open("rb") as file:
            if _hash_of_file(file.fileno()) != checkpoint_hash:
                return Probe(False, "The checkpoint changed while it was scored.", 0.0)
        return Probe(True, "The checkpoint and the code are those of the run.", 0.0)


class Examination:
    """Both processes of one scoring, asked by one plan.

    A small vocabulary's logits are sent whole. Of a large one the first process states log-probabilities of chosen tokens,
    and rows of logits are asked for afterwards, at places that it could not know, to see that they are what was stated.
    """

    def __init__(self, model: Model, tokens: np.ndarray, vocabulary: int) -> None:
        self.model = model
        self.inputs, self.targets = tokens[:, :-1], tokens[:, 1:]
        self.vocabulary = vocabulary
        self.whole = vocabulary <= WHOLE_VOCABULARY
        self.random = np.random.default_rng()  # from the system's entropy: no two scorings ask alike
        rows = max(2, min(BATCH, BATCH_LIMIT // (4 * vocabulary * self.inputs.shape[1])))
        self.plan: Plan = probes.plan(self.inputs, rows, vocabulary, self.random)
        # The same in both processes, so that a model that learns from it is found out for learning.
        self.made_up = self.random.integers(0, vocabulary, (self.plan.first.shape[1], self.inputs.shape[1]))
        kept = (*self.plan.positions.shape, vocabulary if self.whole else CHOSEN)
        self.kept = np.empty(kept, dtype=np.float32)  # what the first process answered to what the second will be asked
        self.chosen = np.empty(kept if not self.whole else 0, dtype=np.intp)
        self.misstated = 0.0  # nats

    def first_process(self) -> np.ndarray:
        """Bits of every target, (N, T)."""
        bits = np.empty(self.targets.shape)
        self.model.begin(self.vocabulary)
        self.model.warm_up(self.made_up)
        ask = self._whole if self.whole else self._chosen
        for batch, (windows, scored) in enumerate(zip(self.plan.first, self.plan.scored, strict=True)):
            bits[windows[scored]] = ask(batch, windows)[scored]
        return bits

    def second_process(self) -> dict[str, Probe]:
        """The verdicts, by name."""
        self.model.renew()
        self.model.warm_up(self.made_up)
        difference = np.zeros(self.plan.kind.shape)
        for batch, questions in enumerate(self.plan.second(self.inputs)):
            rows = self.model.rows(questions, self.plan.positions[batch])  # (n, R, V)
            for row, logits in enumerate(rows):
                difference[batch, row] = self._difference((batch, row), logits)
        normalisation = probes.normalisation(self.misstated)
        return {"normalisation": normalisation, **probes.verdicts(self.plan.kind, difference, comparable=normalisation.ok)}

    def _whole(self, batch: int, windows: np.ndarray) -> np.ndarray:
        """Bits (n, T) of one batch from its whole logits."""
        logits = self.model.logits(self.inputs[windows])
        for place in zip(*np.nonzero(self.plan.base_batch == batch), strict=True):
            self.kept[place] = logits[self.plan.base_row[place], self.plan.positions[place]]
        return bits_of(logits, self.targets[windows])

    def _chosen(self, batch: int, windows: np.ndarray) -> np.ndarray:
        """Bits (n, T) of one batch from the stated log-probabilities of its targets, which stand among others."""
        tokens, targets = self.inputs[windows], self.targets[windows].astype(np.intp)
        chosen = self.random.choice(self.targets.ravel(), (*targets.shape, CHOSEN)).astype(np.intp)
        place = self.random.integers(0, CHOSEN, targets.shape)[..., None]
        np.put_along_axis(chosen, place, targets[..., None], axis=-1)
        stated = self.model.log_probabilities(tokens, chosen)  # (n, T, CHOSEN)
        for question in zip(*np.nonzero(self.plan.base_batch == batch), strict=True):
            where = self.plan.base_row[question], self.plan.positions[question]
            self.kept[question], self.chosen[question] = stated[where], chosen[where]
        self._audit(tokens, chosen, stated)
        nats = -np.take_along_axis(stated, place, axis=-1)[..., 0].astype(np.float64)
        return np.asarray(nats / math.log(2))

    def _audit(self, tokens: np.ndarray, chosen: np.ndarray, stated: np.ndarray) -> None:
        """Compare what was stated at a few places with their rows of logits."""
        sequences, positions = (self.random.integers(0, end, AUDITED) for end in tokens.shape)
        rows = log_softmax(self.model.rows_of_last(tokens, sequences, positions))  # (AUDITED, V)
        measured = np.take_along_axis(rows, chosen[sequences, positions], axis=-1)
        self.misstated = max(self.misstated, float(np.abs(measured - stated[sequences, positions]).max()))

    def _difference(self, question: tuple[int, int], logits: np.ndarray) -> float:
        """Nats between the two processes' answers to one question; `logits` (R, V) are the second's."""
        if self.whole:
            return probes.furthest(self.kept[question], logits)
        measured = np.take_along_axis(log_softmax(logits), self.chosen[question], axis=-1)
        return float(np.abs(measured - self.kept[question]).max())


def bits_of(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Bits needed for each target: −log2 softmax(logits)[target]. (N, T, V) and (N, T) to (N, T)."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    chosen = np.take_along_axis(shifted, targets[..., None].astype(np.intp), axis=-1)[..., 0]
    nats = np.log(np.exp(shifted).sum(axis=-1)) - chosen
    return np.asarray(nats, dtype=np.float64) / math.log(2)


def rounded_for_agents(score: float, sigma: float) -> float:
    """A score, or a difference of two, to the nearest half of sigma: all that an agent may know of it.

    Many candidates chosen by exact gate scores would fit the gate shard. Raises ValueError unless sigma is positive.
    """
    if not 0 < sigma < math.inf:
        raise ValueError(f"sigma is {sigma!r}; without a measured, positive sigma an agent is told no score")
    step = sigma / 2
    return round(score / step) * step


def _bits_per_byte(bits: np.ndarray, shard: Shard) -> tuple[float, dict[str, float]]:
    """Of a shard's targets' bits (N, T): bits per byte of its text, overall and for each source."""
    by_source = {name: float(bits[rows].sum() / shard.text_bytes[name]) for name, rows in shard.sources.items()}
    return float(bits.sum() / sum(shard.text_bytes.values())), by_source


def _hash_of(source: Mapping[str, bytes]) -> str:
    """One SHA-256 over names and contents, in the order of the names."""
    whole = hashlib.sha256()
    for name in sorted(source):
        whole.update(f"{name}\0{hashlib.sha256(source[name]).hexdigest()}\n".encode())
    return whole.hexdigest()


def _hash_of_file(fd: int) -> str:
    whole, position = hashlib.sha256(), 0
    while chunk := os.pread(fd, HASH_CHUNK, position):
        whole.update(chunk)
        position += len(chunk)
    return whole.hexdigest()


def _take_checkpoint(outputs: Outputs, home: Path, builder: Builder) -> str:
    """Give the checkpoint a second name at `home`, when it is a plain, complete safetensors file, and return its SHA-256.

    One that the code loads itself may be of any kind. Raises NoScore.
    """
    name = builder.checkpoint
    try:
        fd = outputs.open(name, CHECKPOINT_LIMIT)
    except UnsafeOutput as error:
        raise NoScore(Outcome.no_score, f"the checkpoint was refused: {error}") from error
    if fd is None:
        how = "write it into the folder {out}" if builder.loads else "call run.finish(model) at its end"
        raise NoScore(Outcome.no_score, f"training ended without writing {name}; {how}")
    try:
        if not builder.loads:
            _check_length(fd)
        os.link(name, home, src_dir_fd=outputs.folder, follow_symlinks=False)
        os.fchmod(fd, 0o444)  # the model's process reads it, whoever it is, and writes it not
        return _hash_of_file(fd)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise NoScore(Outcome.no_score, f"the checkpoint is no complete safetensors file: {error}") from error
    finally:
        os.close(fd)


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
