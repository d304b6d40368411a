"""How a run ended, and the sentence that says so."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from training.failure import Failure
from training.launch import hidden_by_sandbox
from training.process import Process, clean_text, says_out_of_memory
from training.progress import Progress
from training.sandbox import Confinement, Level
from training.sandbox.confinement import SYSTEM, interpreter
from training.sandbox.seccomp import NO_PROCESSES
from training.spec import Outcome, RunSpec

ASK_FOR_PROCESSES = (
    "It tried to start another process, and runs of this project have one, with threads. Where its code needs more "
    "(torch.compile, DataLoader workers, torchrun), write how many at most into the project file: [train] processes = 8. "
)

logger = logging.getLogger(__name__)


@dataclass
class Ending:
    """How a run ended, filled in as it becomes known."""

    outcome: Outcome = Outcome.completed
    reason: str = "Trained and scored."
    score: float | None = None
    score_by_source: dict[str, float] = field(default_factory=dict)
    hidden_score: float | None = None
    hidden_score_by_source: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    failure: Failure | None = None

    def fail(self, outcome: Outcome, reason: str) -> None:
        self.outcome, self.reason = outcome, clean_text(reason.encode(errors="replace"))

    def drop_scores(self) -> None:
        """Forget what is no figure to compare."""
        self.score = self.hidden_score = None
        self.score_by_source, self.hidden_score_by_source = {}, {}

    @contextmanager
    def during(self, step: str) -> Iterator[None]:
        """A step of ours: where it fails, that is kept, the first one alone, and what the run produced is kept too."""
        try:
            yield
        except Exception as error:
            logger.exception("Handling a run failed: %s", step)
            self.failure = self.failure or Failure.of(step, error)

    @property
    def failed(self) -> bool:
        return self.failure is not None


def too_late(spec: RunSpec, seconds: float, stepped: float | None) -> str:
    """What a run has exceeded after so many seconds, `stepped` of which went by before its first step; empty for nothing."""
    if spec.first_step_limit and stepped is None:
        if seconds <= spec.first_step_limit:
            return ""
        limit = f"{spec.first_step_limit:g} s ([limits] first_step_seconds)"
        return f"It logged no step within {limit}, so it was killed. It hung, or it compiles for longer."
    before = stepped or 0.0 if spec.first_step_limit else 0.0
    if seconds - before <= spec.wall_limit:
        return ""
    limit = f"{spec.wall_limit:g} s{' from its first step' if before else ''}"
    return f"Still running after its limit of {limit}, so it was killed. It hung, or it is much slower than the baseline."


def judge_exit(ending: Ending, process: Process, progress: Progress, confinement: Confinement, spec: RunSpec) -> None:
    """Name the outcome of a run that ended by itself."""
    code = process.ended.exit_code if process.ended else None
    last = last_lines(process)
    if progress.not_finite:
        ending.fail(Outcome.diverged if progress.ran_away else Outcome.not_finite, f"Training diverged: {progress.not_finite}.")
    elif code == 0:
        return
    elif code == -9:
        outcome, why = killed_by(process)
        ending.fail(outcome, f"{why} {last}")
    elif code is None:
        ending.fail(Outcome.crashed, f"The run and its launcher were killed from outside, by whom is not known. {last}")
    elif says_out_of_memory(process.log.last_lines(40, 8000)):
        ending.fail(Outcome.out_of_memory, f"Ran out of memory. {last}")
    else:
        how = f"exit code {code}" if code > 0 else f"signal {-code}"
        refused = confinement.threads_only and os.strerror(NO_PROCESSES) in process.log.last_lines(40, 8000)
        hint = ASK_FOR_PROCESSES if refused else _what_was_hidden(process, confinement, spec)
        ending.fail(Outcome.crashed, f"The training command failed with {how}. {hint}{last}")


def _what_was_hidden(process: Process, confinement: Confinement, spec: RunSpec) -> str:
    """A sentence on what the run missed although it is there; of code that people brought alone."""
    if not spec.explain or confinement.level is Level.none:
        return ""
    seen = (*confinement.readable, *SYSTEM, *interpreter())
    hidden = hidden_by_sandbox(process.log.last_lines(40, 8000), spec.command, seen, spec.scratch)
    return f"{hidden} " if hidden else ""


def killed_by(process: Process) -> tuple[Outcome, str]:
    """The outcome of a process that SIGKILL ended, and in words what is known of who sent it: it was not Signoff."""
    kernel, peak = process.killed_for_memory(), process.ended.peak_memory_bytes if process.ended else 0
    held = f"its largest process had held {peak / 2**20:,.0f} MiB"
    if kernel:
        return Outcome.out_of_memory, f"Killed (SIGKILL) while the kernel ran out of memory and ended processes; {held}."
    unknown = "The kernel does not say here whether it ended anything for want of memory, so by whom is not known"
    if kernel is False:
        unknown = "The kernel ended nothing for want of memory meanwhile, so by whom is not known"
    return Outcome.crashed, f"Killed from outside (SIGKILL). {unknown}; {held}."


def last_lines(process: Process) -> str:
    last = process.log.last_lines()
    return f"Last output: {last}" if last else "It printed nothing."
