"""Train: a device takes the most valuable queued run, trains it in a scratch folder of its own, and writes what came of it."""

import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Model

from research_app.ladder import SMALLEST
from research_app.loop import attempts
from research_app.loop.examine import findings_of
from research_app.loop.runs import fail, requeue
from research_app.models import (
    Device,
    Event,
    Lease,
    LeaseLost,
    Message,
    Project,
    Purpose,
    Round,
    Run,
    RunLog,
    SeriesChunk,
    State,
)
from research_app.models.lease import MAX_ATTEMPTS
from research_app.models.run import curves_sealed, sandbox_for
from research_app.models.seal import Sealed
from training.runner import run_training
from training.sandbox import Level, NoSandbox
from training.spec import GIB, KIB, Outcome, Point, RunResult, RunSpec

logger = logging.getLogger(__name__)

stopping = threading.Event()
"""Set when this worker was asked to stop: the current run is given back to the queue."""


def train_next(queue: str, device: Device) -> bool:
    """Train one run of this queue on this device; False when none was waiting."""
    lease = Run.claim_next(queue, device)
    if lease is None:
        return False
    run = Run.objects.select_related("project", "patch_set__candidate", "baseline", "cell").get(pk=lease.pk)
    wake_proposers(run.project)
    if run.attempts > MAX_ATTEMPTS:
        give_up(run, lease)
        return True
    try:
        with lease.heartbeat() as lost:
            result = execute(run, lease, device, lost)
        record(run, lease, result)
    except LeaseLost:
        logger.info("%s was taken from this worker; its outcome is discarded", run)
    except (OSError, NoSandbox) as error:
        logger.exception("%s could not be executed on %s", run, device)
        lease.fail(error)
        with transaction.atomic():
            requeue(run)
    finally:
        attempts.leave(lease)
        attempts.sweep()
    return True


def execute(run: Run, lease: Lease, device: Device, lost: threading.Event) -> RunResult:
    """Export the tree, train it, and stream its points into the database. Raises LeaseLost, OSError.

    Where an earlier attempt on this machine saved its state, training goes on from there.
    """
    project, folder = run.project, attempts.folder_of(lease)
    tree, scratch = folder / "tree", folder / "scratch"
    scratch.mkdir(parents=True)
    project.repository.export(run.commit, tree)
    writer = PointWriter(run, lease, resumed=attempts.resume(lease, scratch, RunSpec.scratch_limit))

    def should_stop() -> str | None:
        if lost.is_set() or writer.lost:
            return "The run was cancelled or given to another worker."
        return "The worker is stopping." if stopping.is_set() else None

    result = run_training(spec_of(run, device, tree, scratch), writer, should_stop)
    if result.outcome == Outcome.cancelled and stopping.is_set():
        lease.write(lease_until=None, leased_by="", attempts=0)
        with transaction.atomic():
            requeue(run)
        raise LeaseLost("given back because the worker is stopping")
    return result


def spec_of(run: Run, device: Device, tree: Path, scratch: Path) -> RunSpec:
    """All that the runner needs, from the project file and the row."""
    project, file = run.project, run.project.file
    rung = file.rung(run.scale)
    corpus = project.corpus or scratch
    hidden = corpus / "held_out" / "hidden.bin" if run.purpose == Purpose.CONFIRM else None
    return RunSpec(
        run=run.pk,
        tree=tree,
        scratch=scratch,
        command=rung.command,
        seed=run.seed,
        device=device.torch_name if run.devices == 1 else device.torch_names(run.devices),
        budget=file.run_budget(run.budget_share, run.scale),
        wall_limit=rung.wall_limit_seconds,
        data=corpus / "visible" if project.corpus else scratch,
        scoring=file.scoring(corpus / "held_out" / "gate.bin", hidden),
        memory_limit=rung.memory_limit_mb * GIB // 1024,
        log_limit=file.train.log_limit_kb * KIB,
        minimum_level=Level(sandbox_for(run)),
        level=Level.none if run.devices > 1 and device.sandbox_level != Level.strong else None,
        scale=rung.name,
        settings=rung.environment,
        checkpoint_seconds=rung.checkpoint_seconds,
    )


class PointWriter:
    """Receives batches of points from the runner and appends them as chunks, under the run's lease.

    A resumed run hands on the points of the attempts before it first; where they end is where this attempt began.
    """

    def __init__(self, run: Run, lease: Lease, *, resumed: bool = False) -> None:
        self.lease = lease
        self.run = run
        self.budget = run.project.file.run_budget(run.budget_share, run.scale)
        self.resumed = resumed
        self.sequence = 0
        self.lost = False

    def __call__(self, points: Sequence[Point]) -> None:
        if not points or self.lost:
            return
        try:
            progress = self.progress(points[-1])
            SeriesChunk.append(self.lease, self.sequence, columns(points), progress)
            if self.sequence == 0:
                self.begin(progress if self.resumed else 0.0)
            self.sequence += 1
        except LeaseLost:
            self.lost = True

    def begin(self, share: float) -> None:
        """Write down where this attempt began. One that went further than the one before it counts as a first one."""
        further = {"attempts": 1} if share > self.run.resumed_at else {}
        self.lease.write(resumed_at=share, **further)
        if self.resumed:
            with transaction.atomic():
                told = {"share": round(share, 4), "seed": self.run.seed, "scale": self.run.scale}
                Event.objects.record("run resumed", self.run, self.run.leased_by or "worker", self.run.project, **told)

    def progress(self, point: Point) -> float:
        """Share of the budget used at this point, from the quantity that the budget counts."""
        key = {"train_flops": "flops", "tokens": "tokens", "wall_seconds": "seconds"}[self.budget.kind]
        return min(1.0, point.values.get(key, 0.0) / self.budget.amount)


def columns(points: Sequence[Point]) -> dict[str, list[list[Any]]]:
    """Points as columns: {series: [[steps], [values]]}."""
    series: dict[str, list[list[Any]]] = {}
    for point in points:
        for name, value in point.values.items():
            steps, values = series.setdefault(name, [[], []])
            steps.append(point.step)
            values.append(value)
    return series


def record(run: Run, lease: Lease, result: RunResult) -> None:
    """Write the outcome, its event and the wake-up of `judge` in one transaction. Raises LeaseLost."""
    findings = findings_of(run, result)
    with transaction.atomic():
        lease.write(
            state=State.FINISHED,
            outcome=result.outcome,
            reason=result.reason,
            score=result.score,
            score_by_source=dict(result.score_by_source),
            hidden_score=result.hidden_score,
            self_reported=result.self_reported,
            facts=dict(result.facts) | {"findings": findings},
            sandbox_level=result.sandbox_level,
            exit_code=result.exit_code,
            started_at=datetime.fromtimestamp(result.started_at, UTC),
            finished_at=datetime.fromtimestamp(result.finished_at, UTC),
            train_seconds=result.train_seconds,
            progress=1.0 if result.outcome == Outcome.completed else run.progress,
            lease_until=None,
            leased_by="",
            last_error="",
        )
        RunLog.objects.update_or_create(run_id=run.pk, defaults={"text": result.log})
        SeriesChunk.compact(run.pk)
        told = {"outcome": result.outcome, "score": result.score, "seed": run.seed, "group": run.name}
        kept: list[Model | Sealed] = [Run.objects.get(pk=run.pk), RunLog.objects.get(pk=run.pk), curves_sealed(run.pk)]
        Event.objects.seal(kept, "run finished", run, run.leased_by or "worker", run.project, **told)
        if run.cell:
            Message.objects.enqueue("check_stack", run.cell.check_of_id)
        elif run.patch_set_id:
            Message.objects.enqueue("judge" if run.scale == SMALLEST else "scale_up", run.patch_set_id)
        else:
            Message.objects.enqueue("judge_baseline", run.baseline_id)


def give_up(run: Run, lease: Lease) -> None:
    """Too many attempts were lost: a person must look at the machine."""
    said = run.last_error or "its worker was killed each time"
    why = f"Training was interrupted {MAX_ATTEMPTS} times (seed {run.seed}); the last time: {said}. "
    fail(run, lease, why + "Look at the worker's log and at `manage.py doctor`, then choose “Try again”.")


def wake_proposers(project: Project) -> None:
    """A run has begun, so the queue got shorter: ask for the next proposal while this one trains."""
    for asked in Round.objects.open().filter(project=project):
        Message.objects.enqueue("propose", asked.pk, "agent")
