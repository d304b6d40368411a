"""Reconcile: find what should be running and is not, and wake it. Losing every message loses no work (invariant 1).

Runs every few seconds, in one process at a time (a lease of its own). Everything here only wakes steps or frees rows whose
lease ran out; the steps themselves claim, so that a wake-up too many is harmless.
"""

import logging
import os
import signal
import socket
import threading
from contextlib import suppress
from datetime import timedelta

from django.db import close_old_connections, transaction
from django.db.models import Count, Q
from django.utils import timezone

from research_app.audit.checkpoints import export_due
from research_app.loop.attention.lost import last_known_of
from research_app.loop.attention.watchdog import watch
from research_app.loop.judge.judge import JUDGED
from research_app.loop.land.external_moves import notice_moved_branches
from research_app.loop.land.landing_queue import not_held
from research_app.loop.land.push import wake_pushes
from research_app.loop.land.rejudge import not_judged
from research_app.loop.notify.wake import wake_notifications
from research_app.loop.project.bring import wake_trials
from research_app.loop.propose.conversation.converse import wake_conversations
from research_app.loop.propose.conversation.requested_changes import take_up_changes
from research_app.loop.propose.propose import close_round, lost_turn, wants_more
from research_app.loop.runs import ensure_reference_runs, rank_curves, requeue
from research_app.loop.runs import retry as retry_runs
from research_app.loop.scale_up.scale_up import report_stuck, scale_up_waits, wake
from research_app.loop.stacks.ablate import wake_ablations
from research_app.models import (
    Ablation,
    BaselineVersion,
    Candidate,
    Device,
    Event,
    Landing,
    LandingState,
    Lease,
    Message,
    PatchSet,
    Project,
    Purpose,
    Round,
    Run,
    ScaleUp,
    Stage,
    State,
    TaskLease,
    Trial,
    Turn,
)
from research_app.models.candidate import IDLE
from research_app.models.event_kinds import EventKind
from research_app.models.lease import DATABASE_AWAY, LEASE, Leased, due, take_from_worker, unclaimed
from research_app.project_file.ladder import SMALLEST
from research_app.wording import counted
from training.failure import in_words
from training.spec import Outcome

logger = logging.getLogger(__name__)

EVERY = 5.0  # seconds
OVERDUE_AFTER = timedelta(seconds=5)
"""How long a message may take before its row is thought forgotten."""
NAME = "reconciler"


def run_forever() -> None:
    """Reconcile until SIGTERM or SIGINT. A second reconciler waits for the first one's lease to end."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    TaskLease.objects.get_or_create(name=NAME)
    lease: Lease | None = None
    while not stop.is_set():
        try:
            lease = lease if lease and lease.renew() else claim()
            if lease:
                TaskLease.objects.filter(pk=lease.pk).update(attempts=0)
                reconcile()
                TaskLease.objects.filter(pk=lease.pk).exclude(last_error="").update(last_error="")
        except Exception as error:
            logger.exception("Reconcile pass failed; retrying in %.0f s", EVERY)
            with suppress(*DATABASE_AWAY):
                TaskLease.objects.filter(name=NAME).update(last_error=in_words(error)[:2000])
        close_old_connections()
        stop.wait(EVERY)
    if lease:
        lease.release()


def claim() -> Lease | None:
    """The reconciler's turn, if nobody has it."""
    row = TaskLease.objects.get(name=NAME)
    return TaskLease.claim(row.pk, f"{socket.gethostname()}/{os.getpid()}")


class ReconcileFailed(Exception):
    """Some steps of a round failed; the others have run."""


def reconcile() -> None:
    """One round, in the order of a candidate's way: a step that fails keeps no other from its turn. Raises ReconcileFailed."""
    steps = (
        relay_messages, note_lost_workers, wake_proposers, take_up_changes, wake_conversations, wake_checks, free_lost_runs,
        complete_reference_runs, rank_curves, wake_devices, wake_judges, wake_scale_ups, return_stuck_landings, wake_landings,
        notice_moved_branches, wake_pushes, wake_ablations, wake_trials, watch, close_full_rounds,
        wake_notifications, export_due,
    )  # fmt: skip
    failed = []
    for step in steps:
        try:
            step()
        except Exception as error:
            logger.exception("The reconciler's step %s failed", step.__name__)
            failed.append(f"{step.__name__.replace('_', ' ')}: {in_words(error)}")
    if failed:
        raise ReconcileFailed("; ".join(failed))


def relay_messages() -> None:
    """Messages that the broker did not take at their commit."""
    Message.objects.relay(OVERDUE_AFTER)


def note_lost_workers() -> None:
    """Rows whose worker was lost: what is known of it stands on the row, for the next attempt and for people."""
    models: tuple[type[Leased], ...] = (Candidate, Landing, Turn, Ablation, Trial)
    for model in models:
        for row in model._default_manager.filter(lease_until__lt=timezone.now()).order_by("pk")[:200]:
            same = model._default_manager.filter(pk=row.pk, fence_token=row.fence_token, lease_until=row.lease_until)
            take_from_worker(same, last_error=last_known_of(row.leased_by))


def forgotten() -> Q:
    """Rows that nobody holds and whose last attempt did not just fail."""
    return unclaimed() & due()


def wake_proposers() -> None:
    """Open rounds whose proposer went quiet although devices will want candidates."""
    for round_ in Round.objects.open().select_related("project"):
        if lost_turn(round_, due()) or wants_more(round_):
            Message.objects.wake("propose", round_.pk, "agent")


def wake_checks() -> None:
    """Candidates that nobody checks."""
    waiting = Candidate.objects.filter(
        forgotten(),
        stage__in=[Stage.PROPOSED, Stage.CHECKING],
        needs_attention="",
        stage_since__lt=timezone.now() - OVERDUE_AFTER,
    )
    for pk in waiting.values_list("pk", flat=True)[:200]:
        Message.objects.wake("check", pk)


def free_lost_runs() -> None:
    """Runs whose worker died: back to the queue. A claim counts the attempts and fails the run after the last."""
    now = timezone.now()
    for run in Run.objects.training().filter(Q(lease_until__lt=now) | Q(lease_until=None)):
        freed = Run.objects.filter(unclaimed(), pk=run.pk, state=State.RUNNING, fence_token=run.fence_token)
        why = last_known_of(run.leased_by)
        if take_from_worker(freed, last_error=why):
            run.fence_token += 1
            with transaction.atomic():
                Event.objects.record(EventKind.RUN_LOST_ITS_WORKER, run, "signoff", run.project, worker=run.leased_by, why=why)
                requeue(run, until=min(now, run.lease_until - LEASE) if run.lease_until else now)


def complete_reference_runs() -> None:
    """Baseline versions that lack reference runs."""
    versions = BaselineVersion.objects.select_related("project").annotate(
        reference_count=Count("runs", filter=Q(runs__patch_set=None, runs__purpose=Purpose.REFERENCE))
    )
    newest = {version.project_id: version for version in versions.order_by("number")}
    for version in newest.values():
        size = version.project.file.baseline.runs
        if version.reference_count < size:
            with transaction.atomic():
                ensure_reference_runs(version, size)


def wake_devices() -> None:
    """Queues with runs that wait although a device is idle."""
    old = timezone.now() - OVERDUE_AFTER
    waiting = Run.objects.queued().filter(created_at__lt=old).values_list("queue").annotate(Count("pk"))
    for queue, count in waiting:
        idle = Device.objects.online().serving(queue).exclude(pk__in=Device.objects.busy().values("pk")).count()
        for pk in Run.objects.queued_for(queue).values_list("pk", flat=True)[: min(idle, count)]:
            Message.objects.wake("train", pk, queue)


def wake_judges() -> None:
    """Patch sets whose runs have all ended and that nobody judged."""
    unfinished = Run.objects.filter(patch_set__isnull=False).exclude(state=State.FINISHED).values("patch_set")
    rejudging = Landing.objects.filter(state=LandingState.REJUDGING).values("patch_set")
    waiting = PatchSet.objects.filter(
        Q(current_of__stage__in=JUDGED) | Q(pk__in=rejudging),
        candidate__in=Candidate.objects.filter(forgotten(), needs_attention=""),
    ).exclude(pk__in=unfinished)
    ended = waiting.filter(runs__finished_at__lt=timezone.now() - OVERDUE_AFTER).distinct()
    for pk in ended.values_list("pk", flat=True)[:200]:
        Message.objects.wake("judge", pk)


def wake_scale_ups() -> None:
    """Scale-ups whose rung has ended and that nobody judged, or lacks runs; and those that a stuck run holds up."""
    rested = Candidate.objects.filter(forgotten())
    for step in (
        ScaleUp.objects.running().filter(candidate__in=rested).select_related("project", "patch_set__base", "candidate")
    ):
        with transaction.atomic():
            stuck = report_stuck(step)
        if not stuck and scale_up_waits(step, OVERDUE_AFTER):
            wake(step)


def return_stuck_landings() -> None:
    """A landing whose new run cannot be trained must not hold up the queue behind it."""
    stuck = Landing.objects.filter(
        state=LandingState.REJUDGING, patch_set__runs__state=State.STUCK, patch_set__runs__purpose=Purpose.REJUDGE
    )
    for landing in stuck.select_related("candidate__project", "project").distinct():
        run = landing.patch_set.runs.filter(state=State.STUCK, purpose=Purpose.REJUDGE).order_by("pk")[0]
        lease = Candidate.claim(landing.candidate_id, NAME, Q(stage=Stage.LANDING))
        if lease:
            with transaction.atomic():
                not_judged(landing, landing.candidate, lease, run.reason)


def wake_landings() -> None:
    """Queues with a head that nobody takes further."""
    waiting = Landing.objects.filter(
        forgotten(), not_held(), state=LandingState.QUEUED, queued_at__lt=timezone.now() - OVERDUE_AFTER
    ).values_list("project_id", flat=True)
    for project_id in set(waiting):
        Message.objects.wake("land", project_id)


def close_full_rounds() -> None:
    """Bounded rounds all of whose candidates rest."""
    for round_ in Round.objects.filter(closed_at=None, wanted__isnull=False).select_related("project"):
        made = round_.candidates.aggregate(all=Count("pk"), idle=Count("pk", filter=Q(stage__in=IDLE) | ~Q(needs_attention="")))
        if made["all"] >= (round_.wanted or 0) and made["all"] == made["idle"]:
            close_round(round_, f"{counted(made['all'], 'candidate has', 'candidates have')} come to rest: that is all.")


def retry(candidate: Candidate, actor: str) -> None:
    """A person says that what stood in the way is mended: fresh attempts for its step, its runs, and those it waits for."""
    with transaction.atomic():
        fresh = {"needs_attention": "", "attention_cause": "", "attempts": 0, "last_error": "", "retry_at": None}
        Candidate.objects.filter(pk=candidate.pk).update(**fresh)
        runs = Run.objects.filter(Q(patch_set__candidate=candidate, state=State.STUCK) | waited_for(candidate))
        retry_runs(runs.select_related("project", "patch_set__candidate", "baseline").distinct(), actor)
        Event.objects.record(EventKind.TRIED_AGAIN, candidate, actor, candidate.project)


def waited_for(candidate: Candidate) -> Q:
    """Runs of its baseline that it waits for and that a worker failed on, or that it is confirmed against and crashed."""
    scaled_up = candidate.scale_ups.running().values("rung")
    theirs = Q(patch_set=None, cell=None, baseline__patch_sets__current_of=candidate)
    confirming = Run.objects.filter(patch_set__current_of=candidate, purpose=Purpose.CONFIRM).values("seed")
    crashed = Q(purpose=Purpose.CONFIRM, state=State.FINISHED, seed__in=confirming)
    crashed &= ~Q(outcome__in=(Outcome.completed, Outcome.cancelled))
    return theirs & (Q(state=State.STUCK) & (Q(scale=SMALLEST) | Q(scale__in=scaled_up)) | crashed)


def retry_reference_runs(project: Project, actor: str) -> None:
    """Retry the baseline's own runs: those that a worker failed on, and the newest reference runs that crashed."""
    with transaction.atomic():
        failed = Q(state=State.FINISHED, purpose=Purpose.REFERENCE, baseline=project.tip())
        failed &= ~Q(outcome__in=(Outcome.completed, Outcome.cancelled))
        runs = project.runs.filter(Q(state=State.STUCK) | failed, patch_set=None)
        if retry_runs(runs.select_related("project", "baseline"), actor):
            Event.objects.record(EventKind.TRIED_AGAIN, project, actor, project)
