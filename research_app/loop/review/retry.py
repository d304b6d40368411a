"""Retry: a person has what stopped tried again: work that the worker failed on, and runs that crashed.

What was measured is never repeated: a second try at a drop would be a second draw from the noise. For those there is
`reopen` (loop/review.py), which brings the candidate to a person instead.
"""

from django.db import transaction
from django.db.models import QuerySet

from research_app.loop import reconcile, runs
from research_app.models import Candidate, Purpose, Run, Stage, State
from research_app.models.lease import unclaimed
from training.spec import Outcome

STEP_OF = {Purpose.SCREEN: Stage.SCREENING, Purpose.REPLICATE: Stage.REPLICATING, Purpose.CONFIRM: Stage.CONFIRMING}


class RetryRefused(Exception):
    """Nothing is tried again; the message says why and what to do."""


def retry_candidate(candidate: Candidate, actor: str) -> None:
    """Fresh attempts for what stopped this candidate. Raises RetryRefused, and StageMoved where somebody was faster."""
    now = Candidate.objects.select_related("project", "patch_set").get(pk=candidate.pk)
    if now.needs_attention:
        reconcile.retry(now, actor)
    elif now.stage == Stage.CRASHED:
        _train_again(now, actor)
    else:
        raise RetryRefused(f"{now} is {now.get_stage_display()}: only what crashed or needs attention can be tried again.")


def fail_candidate(candidate: Candidate, actor: str) -> None:
    """A person ends what a worker failed on: it counts as crashed, and can be tried again later.

    Raises RetryRefused, and StageMoved where somebody was faster.
    """
    now = Candidate.objects.select_related("project", "patch_set").get(pk=candidate.pk)
    if not now.needs_attention:
        raise RetryRefused(f"{now} is {now.get_stage_display()} and needs no attention: there is nothing to end.")
    if now.stage not in (Stage.PROPOSED, Stage.CHECKING, *STEP_OF.values()):
        raise RetryRefused(f"{now} is {now.get_stage_display()}: stop its scale-up, or take it out of the queue, instead.")
    with transaction.atomic():
        runs.cancel(Run.objects.filter(patch_set=now.patch_set_id, patch_set__isnull=False), f"Ended by {actor}.")
        now.move(Stage.CRASHED, f"Ended by {actor}. {now.needs_attention}", actor=actor)


def stop_candidate(candidate: Candidate, actor: str, reason: str) -> None:
    """A person ends what devices do on a candidate: its runs stop within seconds, and what they took stays on its account.

    `retry_candidate` brings it back to the step where it was. Raises RetryRefused, and StageMoved where somebody was faster.
    """
    now = Candidate.objects.select_related("project", "patch_set").get(pk=candidate.pk)
    if not reason.strip():
        raise RetryRefused("Say why it is stopped, for those who ask later.")
    if not stoppable(now):
        raise RetryRefused(
            f"{now} is {now.get_stage_display()}, and none of its runs waits or trains: there is nothing to stop."
        )
    with transaction.atomic():
        runs.cancel(_under_way(now), f"Stopped by {actor}: {reason.strip()}")
        now.move(Stage.CRASHED, f"Stopped by {actor}: {reason.strip()}", actor=actor)


def stoppable(candidate: Candidate) -> bool:
    """Whether runs of this candidate wait or train below the gates. At most one query."""
    return candidate.stage in STEP_OF.values() and not candidate.needs_attention and _under_way(candidate).exists()


def _under_way(candidate: Candidate) -> QuerySet[Run]:
    return Run.objects.filter(patch_set=candidate.patch_set_id, patch_set__isnull=False).exclude(state=State.FINISHED)


def _train_again(candidate: Candidate, actor: str) -> None:
    """Queue the crashed runs again, at the step that they belong to, in one transaction."""
    crashed = Run.objects.filter(unclaimed(), patch_set=candidate.patch_set, state=State.FINISHED, purpose__in=STEP_OF)
    crashed = crashed.select_related("project", "patch_set__candidate", "baseline")
    crashed_runs = list(crashed.exclude(outcome=Outcome.completed).order_by("pk"))
    if candidate.patch_set is None or not crashed_runs:
        raise RetryRefused(f"{candidate} has no run that could be trained again: {candidate.why}")
    with transaction.atomic():
        runs.retry(crashed_runs, actor)
        step = STEP_OF[Purpose(crashed_runs[-1].purpose)]
        candidate.move(
            step,
            f"{actor} had {len(crashed_runs)} run{'s'[: len(crashed_runs) > 1]} that did not end well tried again.",
            actor=actor,
        )
