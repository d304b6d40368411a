"""Runs: asked for, queued again, cancelled, failed; and what they cost. Nothing else changes a run's state once it is there,
but the claim of a device (Run.claim_next) and the record of its end (loop/record.py).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from research_app.loop.attention.attention import ask
from research_app.models import (
    BaselineVersion,
    Candidate,
    DesignPoint,
    Event,
    Lease,
    Message,
    PatchSet,
    Priority,
    Project,
    Purpose,
    Run,
    Stage,
    State,
)
from research_app.models.candidate import Cause
from research_app.models.device_time import total_device_seconds
from research_app.models.event import UNSEALED
from research_app.models.event_kinds import EventKind
from research_app.models.lease import take_from_worker
from research_app.models.purpose import PRIORITY
from research_app.models.run import RunQuerySet, keys_of_run
from research_app.project_file.ladder import SMALLEST
from training.spec import Outcome

HOUR = 3600.0  # seconds
CURVE_SHARES = (1.3, 1.15, 0.9, 0.8)  # 1.0 are the reference runs; the longest first, so that no device waits for it at the end
CURVE_SEED = 1


def request_run(
    project: Project,
    baseline: BaselineVersion,
    patch_set: PatchSet | None,
    purpose: Purpose,
    seed: int,
    *,
    budget_share: float = 1.0,
    scale: str = SMALLEST,
    cell: DesignPoint | None = None,
    priority: Priority | None = None,
) -> Run:
    """Return the run of this tree, rung, seed and budget; created and queued if there is none yet. In a transaction.

    `priority`: where something else waits for it than usually does; one that is queued already moves up, never down.
    """
    rung, priority = project.file.rung(scale), PRIORITY[purpose] if priority is None else priority
    run, created = Run.objects.get_or_create(
        baseline=baseline,
        patch_set=patch_set,
        cell=cell,
        scale=scale,
        seed=seed,
        budget_share=budget_share,
        defaults={
            "project": project,
            "purpose": purpose,
            "priority": priority,
            "queue": rung.queue,
            "devices": rung.devices,
            "commit": cell.commit if cell else patch_set.commit if patch_set else baseline.commit,
            "self_reported": project.self_reported,
        },
    )
    if created:
        Message.objects.enqueue("train", run.pk, run.queue)
    else:
        _move_up(Run.objects.filter(pk=run.pk), priority)
    return run


def _move_up(runs: QuerySet[Run], priority: Priority) -> None:
    """Let queued runs be taken sooner: something nearer to a decision waits for them too."""
    runs.filter(finished_at=None, state=State.QUEUED, priority__gt=priority).update(priority=priority)


def ensure_reference_runs(baseline: BaselineVersion, size: int, priority: Priority | None = None) -> None:
    """Queue what is missing of a baseline version's reference runs, with the next seeds. In a transaction.

    Beyond the project's usual number they are for one candidate that is replicated, unless `priority` says more. A few runs
    of them may fail; when more than half have, a person must look at the baseline first.
    """
    if priority is None:
        priority = Priority.BASELINE if size <= baseline.project.file.baseline.runs else Priority.REPLICATE
    runs = baseline.runs.of_baseline().filter(purpose=Purpose.REFERENCE, budget_share=1.0)
    seeds = set(baseline.runs.of_baseline().filter(budget_share=1.0).values_list("seed", flat=True))
    failed = runs.filter(state=State.FINISHED).exclude(outcome=Outcome.completed).count()
    missing = size - (runs.count() - failed)
    _move_up(runs, priority)
    if failed > size // 2 or missing <= 0:
        return
    fresh = (seed for seed in range(1, size + len(seeds) + 1) if seed not in seeds)
    for _ in range(missing):
        request_run(baseline.project, baseline, None, Purpose.REFERENCE, next(fresh), priority=priority)


def ensure_curve(baseline: BaselineVersion, priority: Priority = Priority.CONFIRM) -> None:
    """Queue the baseline at other budgets, once per version: what time saved is read off. In a transaction.

    None where the code keeps its budget itself: it would train the same again.
    """
    if baseline.project.file.budget.own:
        return
    for share in CURVE_SHARES:
        request_run(baseline.project, baseline, None, Purpose.CURVE, CURVE_SEED, budget_share=share, priority=priority)


def rank_curves() -> None:
    """Let the baseline's runs at other budgets go with candidates that need them, or may come to. At most three writes."""
    curves = Run.objects.queued().filter(purpose=Purpose.CURVE)
    for stage, priority in ((Stage.CONFIRMING, Priority.CONFIRM), (Stage.REPLICATING, Priority.LIKELY)):
        there = Candidate.objects.filter(stage=stage, needs_attention="", patch_set__isnull=False)
        needed = Q(baseline__in=there.values("patch_set__base"))
        curves.filter(needed).exclude(priority=priority).update(priority=priority)
        curves = curves.exclude(needed)
    curves.exclude(priority=Priority.SPARE).update(priority=Priority.SPARE)


def requeue(run: Run, *, until: datetime | None = None, fresh: bool = False, pause: timedelta | None = None) -> bool:
    """Put a run back into its queue; False where it is held or has moved on since it was read. In a transaction.

    What it took stays on its account; one that still trained did so until `until` (default: now). `fresh` gives it all its
    attempts again: a person asked for it, or it was given back through no fault of its own. `pause`: none takes it before.
    """
    fields: dict[str, Any] = {
        "state": State.QUEUED, "outcome": "", "reason": "", "exit_code": None, "score": None, "score_by_source": {},
        "hidden_score": None, "facts": {}, "sandbox_level": "", "device": None, "started_at": None, "finished_at": None,
        "train_seconds": None, "progress": 0.0, "earlier_seconds": F("earlier_seconds") + _attempt_seconds(run, until),
        "failed_step": "", "retry_at": timezone.now() + pause if pause else None,
    }  # fmt: skip
    if fresh:
        fields |= {"attempts": 0, "last_error": "", "resumed_at": 0.0}
    free = Run.objects.filter(pk=run.pk, state=run.state, fence_token=run.fence_token, lease_until=None)
    if not free.update(**fields):
        return False
    if not pause:  # otherwise the reconciler wakes a device
        Message.objects.enqueue("train", run.pk, run.queue)
    return True


def _attempt_seconds(run: Run, until: datetime | None) -> float:
    """Seconds of the attempt that ends here."""
    if run.train_seconds is not None or run.state != State.RUNNING or run.started_at is None or until is None:
        return run.attempt_seconds
    return max(0.0, (until - run.started_at).total_seconds())


def request_anew(run: Run, project: Project, actor: str) -> None:
    """Queue a run that has ended again, as the project's file has it now; one of a rung that is gone stays as it is."""
    rungs = {rung.name: rung for rung in project.file.rungs}
    if run.scale not in rungs or not retry([run], actor):
        return
    rung = rungs[run.scale]
    fields = {"queue": rung.queue, "devices": rung.devices, "self_reported": project.self_reported}
    Run.objects.filter(pk=run.pk).update(**fields)
    Message.objects.enqueue("train", run.pk, rung.queue)


def retry(runs: Iterable[Run], actor: str) -> int:
    """Fresh attempts for runs that a worker failed on or that did not end well. Returns how many. In a transaction."""
    count = 0
    for run in runs:
        event_data = {"outcome": run.outcome, "reason": run.reason, "group": run.name}
        if requeue(run, fresh=True):
            Event.objects.record(
                EventKind.RUN_TRIED_AGAIN, run, actor, run.project, **event_data, **{UNSEALED: keys_of_run(run.pk)}
            )
            count += 1
    return count


def cancel(runs: QuerySet[Run], why: str) -> int:
    """End runs that wait or train; a worker that trains one notices within seconds. Returns how many. In a transaction."""
    now, count = timezone.now(), 0
    for run in runs:
        spent = run.attempt_seconds if run.state == State.RUNNING else run.train_seconds
        same = Run.objects.filter(pk=run.pk, fence_token=run.fence_token).exclude(state=State.FINISHED)
        ended = {"state": State.FINISHED, "outcome": Outcome.cancelled, "reason": why, "finished_at": now}
        count += take_from_worker(same, **ended, train_seconds=spent)
    return count


def fail(run: Run, lease: Lease, why: str, step: str, *, trained: bool = False) -> None:
    """Give a run up until a person has mended what stood in the way; its candidate says so too. Raises LeaseLost.

    `trained`: what the attempt took stands in the row already. It spends nothing from here on.
    """
    took = {} if trained else {"earlier_seconds": F("earlier_seconds") + run.attempt_seconds}
    with transaction.atomic():
        lease.close(state=State.STUCK, reason=why, failed_step=step, **took)
        Event.objects.record(EventKind.RUN_NEEDS_ATTENTION, run, "signoff", run.project, why=why, step=step)
        if run.patch_set:
            ask(run.patch_set.candidate, why, Cause.RUN)


@dataclass(frozen=True)
class Cost:
    """Device time of some runs, in seconds by rung: lost attempts and all devices counted."""

    by_rung: Mapping[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """On all rungs together."""
        return sum(self.by_rung.values())

    @property
    def hours(self) -> float:
        """On all rungs together, in hours."""
        return self.seconds / HOUR

    def money(self, prices: Mapping[str, float]) -> float:
        """At the price of an hour on each rung; one that the ladder no longer has counts as nothing: nobody knows its price."""
        return sum(seconds / HOUR * prices.get(rung, 0.0) for rung, seconds in self.by_rung.items())


NOTHING = Cost()


def cost_of(runs: RunQuerySet) -> Cost:
    """What these runs have cost so far (one query)."""
    return Cost(dict(runs.order_by().values_list("scale").annotate(taken=total_device_seconds())))


def costs_of(candidates: Iterable[Candidate]) -> dict[int, Cost]:
    """What the runs of each candidate have cost, by its key: all patch sets and rungs, none of the baseline's (one query)."""
    runs = Run.objects.filter(patch_set__candidate__in=[candidate.pk for candidate in candidates])
    rows = runs.order_by().values_list("patch_set__candidate", "scale").annotate(taken=total_device_seconds())
    costs: dict[int, dict[str, float]] = defaultdict(dict)
    for pk, scale, taken in rows:
        costs[int(pk or 0)][scale] = float(taken)
    return {pk: Cost(by_rung) for pk, by_rung in costs.items()}
