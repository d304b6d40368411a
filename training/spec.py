"""What crosses the border between the loop and a training worker: plain, immutable, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from training.budget_kind import BUDGETS, STEP, BudgetKind
from training.failure import Failure
from training.launch import Launch
from training.sandbox.confinement import Level

Counted = Literal["seconds", "steps", "tokens"]

BUDGET_SPREAD = 1.1
"""Times what the baseline's runs exceed a budget by, which its candidates may: runs differ a little from each other."""

LARGEST_SCORE = 1e100
"""A run whose score lies beyond this diverged, whatever it printed: no metric is that large, and no statistic survives it."""

GIB = 1 << 30
KIB = 1 << 10


class Outcome(StrEnum):
    """How a run ended. Only `completed` runs carry a score."""

    completed = "completed"
    crashed = "crashed"  # a non-zero exit code or a signal that was not ours
    timed_out = "timed_out"  # still running at its wall limit
    out_of_memory = "out_of_memory"
    not_finite = "not_finite"  # a loss, a weight or a logit became NaN or infinite
    diverged = "diverged"  # its loss rose far above its lowest, or its loss or score was far too large
    no_score = "no_score"  # training ended well, but nothing valid could be scored
    cancelled = "cancelled"  # somebody asked to stop it


@dataclass(frozen=True)
class Budget:
    """How much training a run may spend of what its kind counts; or what its code allows itself (`own`)."""

    kind: str  # one of training/budgets/
    amount: float  # of an own budget also 0: only the code knows it
    counts: Counted = "seconds"  # what an own budget counts
    tolerance: float = 0.02  # by which share a run may miss it, beyond what the baseline's runs miss theirs by

    def __post_init__(self) -> None:
        if self.kind not in BUDGETS:
            raise ValueError(f"budget kind {self.kind!r} is unknown; use one of {', '.join(BUDGETS)}")
        if not 0 <= self.amount < float("inf") or (self.amount == 0 and not self.own):
            raise ValueError(f"budget amount {self.amount!r} must be a positive, finite number")

    @property
    def what(self) -> BudgetKind:
        """What is known of its kind."""
        return BUDGETS[self.kind]

    @property
    def own(self) -> bool:
        """Whether the code keeps it itself."""
        return self.what.own

    @property
    def series(self) -> str:
        """The curve that says how far a run has come."""
        if not self.own:
            return self.what.series
        return STEP if self.counts == "steps" else self.counts

    @property
    def unit(self) -> str:
        """What it is counted in."""
        return self.counts if self.own else self.what.unit

    @property
    def is_time(self) -> bool:
        """Whether code that is slower trains less."""
        return self.counts == "seconds" if self.own else self.what.is_time

    def spent_at(self, point: Point) -> float:
        """How much was spent at this point of a run's curves; 0 where it does not say."""
        return point.step + 1.0 if self.series == STEP else point.values.get(self.series, 0.0)

    def allowed(self, usual: float) -> float:
        """By which share a run may exceed it, where the baseline's runs do so by `usual`."""
        if self.own:
            return max(usual, 0.0) + self.tolerance
        return max(self.tolerance, BUDGET_SPREAD * usual)


@dataclass(frozen=True)
class Builder:
    """What makes the model that is scored: a module of the tree, and the file that a run leaves for it.

    `build_model()` of the module makes a model that a safetensors file is loaded into; with `loads`, `load_model(file)` makes
    it from whatever the run saved, in the sandbox that scores it.
    """

    module: str = "train"
    checkpoint: str = "checkpoint.safetensors"
    loads: bool = False


@dataclass(frozen=True)
class Scored:
    """The score is measured by the trusted scorer on `shard`, which the run itself must not be able to read."""

    shard: Path  # a `.bin` shard with its `.json` index beside it, see training/corpus.py
    hidden: Path | None = None  # a second one for confirming runs; its score reaches no log and no agent
    builder: Builder = Builder()
    curves: SelfReported | None = None  # how the code prints its curves; None: it logs them in series.jsonl


@dataclass(frozen=True)
class SelfReported:
    """The score is what the project's own code printed, or wrote into a file below its output folder."""

    format: str  # see training/output.py and training/run_files.py
    metric: str  # name of the final number, for example "val_bpb"
    pattern: str = ""  # for format "pattern": a regular expression with named groups
    file: str = ""  # for formats of files: which one, below the output folder; * stands for what is not known before
    directory: str = "."  # for formats of files: where in its copy of the tree the run works
    step: str = ""  # for formats of files: the name of the step; empty: the usual ones
    facts: Mapping[str, str] = field(default_factory=dict)  # figures that are facts, see training/named_facts.py


@dataclass(frozen=True)
class RunSpec:
    """One training run, complete: nothing else is needed to execute it."""

    run: int  # number of the run, for messages
    tree: Path  # exported source tree (regular files); the run's working copy
    scratch: Path  # the run's own writable folder: series, checkpoint and log go here
    command: tuple[str, ...]  # "python" as first word means the worker's interpreter
    seed: int
    device: str  # as it is leased, see training/devices.py: "cpu", "cuda:4", or for several "cuda:4,5,6,7"
    budget: Budget
    wall_limit: float  # seconds from process start, hard
    data: Path  # folder with the train (and watch) shards
    scoring: Scored | SelfReported
    memory_limit: int = 4 * GIB  # bytes of resident memory of the whole process group
    device_memory_limit: int = 0  # bytes of each of its devices; 0: none
    shares_device: bool = False  # other runs may have its device at the same time
    log_limit: int = 256 * KIB  # bytes; head and tail are kept, with a line that says how much was cut
    scratch_limit: int = 16 * GIB  # bytes of all files in `scratch`, and of each of them
    processes: int = 1  # at one time; 1: it cannot start any, and the account of what it used is complete
    process_limit: int = 512  # processes and threads at one time
    readable: tuple[Path, ...] = ()  # what else the run may read
    launch: Launch = field(default_factory=Launch)  # where in the tree, with which interpreter and variables
    first_step_limit: float = 0.0  # seconds to the first step, which the wall limit then begins with; 0: they count like others
    explain: bool = False  # say of a file that the run missed whether it is there: only for code that people brought
    minimum_level: Level = Level.basic  # of the sandbox; a machine that has none as good refuses the run
    level: Level | None = None  # of the sandbox, when it is not to be the best that holds on this machine
    scale: str = "S"  # rung of the project's ladder
    settings: Mapping[str, str] = field(default_factory=dict)  # variables of that rung; the scorer builds the model with them
    served: bool = (
        False  # the training text is handed out and counted by the runner, and `data` holds none that the run can read
    )
    drawn: Path | None = None  # where it notes, beyond the run's reach, what a resumed run was given already
    checkpoint_seconds: float = 0.0  # how often the run should save what it needs to be resumed; 0: never


@dataclass(frozen=True)
class Point:
    """The values logged at one step. Besides the series there may be "seconds", "tokens" and "flops" so far."""

    step: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class RunResult:
    """How a run ended, what it scored and what it used."""

    outcome: Outcome
    reason: str  # one plain sentence, with what to do where that helps
    score: float | None  # in the project's metric; None unless completed
    score_by_source: Mapping[str, float]
    self_reported: bool
    facts: Mapping[str, Any]  # JSON: parameters, steps, tokens, flops, peak_memory_bytes, data_hash, probes, …
    log: str  # bounded, control characters stripped
    sandbox_level: str
    started_at: float  # unix seconds
    finished_at: float  # unix seconds, scoring included
    train_seconds: float  # from start to exit of the training command
    exit_code: int | None  # negative for a signal; None when the process never started
    hidden_score: float | None = field(default=None, repr=False)  # on Scored.hidden; not for agents, logs or messages
    hidden_score_by_source: Mapping[str, float] = field(default_factory=dict, repr=False)
    failure: Failure | None = None  # a step of ours that failed on it: the outcome is not the run's own
    left_out: Mapping[str, int] = field(default_factory=dict)  # values that were not kept: by which limit, and how many
