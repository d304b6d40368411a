"""Rerun: a person has what stopped tried again: work that the worker failed on, and runs that crashed.

What was measured is never repeated: a second try at a drop would be a second draw from the noise. For those there is
`reopen` (loop/review.py), which brings the candidate to a person instead.
"""

from django.db import transaction

from research_app.loop import reconcile
from research_app.loop.runs import cancel, retry
from research_app.models import Candidate, Purpose, Run, Stage, State
from research_app.models.lease import unclaimed
from training.spec import Outcome

STEP_OF = {Purpose.SCREEN: Stage.SCREENING, Purpose.REPLICATE: Stage.REPLICATING, Purpose.CONFIRM: Stage.CONFIRMING}


class RerunRefused(Exception):
    """Nothing is tried again; the message says why and what to do."""


def rerun(candidate: Candidate, actor: str) -> None:
    """Fresh attempts for what stopped this candidate. Raises RerunRefused, and StageMoved where somebody was faster."""
    now = Candidate.objects.select_related("project", "patch_set").get(pk=candidate.pk)
    if now.needs_attention:
        reconcile.retry(now, actor)
    elif now.stage == Stage.CRASHED:
        _train_again(now, actor)
    else:
        raise RerunRefused(f"{now} is {now.get_stage_display()}: only what crashed or needs attention can be tried again.")


def give_up(candidate: Candidate, actor: str) -> None:
    """A person ends what a worker failed on: it counts as crashed, and can be tried again later.

    Raises RerunRefused, and StageMoved where somebody was faster.
    """
    now = Candidate.objects.select_related("project", "patch_set").get(pk=candidate.pk)
    if not now.needs_attention:
        raise RerunRefused(f"{now} is {now.get_stage_display()} and needs no attention: there is nothing to give up on.")
    if now.stage not in (Stage.PROPOSED, Stage.CHECKING, *STEP_OF.values()):
        raise RerunRefused(f"{now} is {now.get_stage_display()}: stop its scale-up, or take it out of the queue, instead.")
    with transaction.atomic():
        cancel(Run.objects.filter(patch_set=now.patch_set_id, patch_set__isnull=False), f"Given up by {actor}.")
        now.move(Stage.CRASHED, f"Given up by {actor}. {now.needs_attention}", actor=actor)


def _train_again(candidate: Candidate, actor: str) -> None:
    """Queue the crashed runs again, at the step that they belong to, in one transaction."""
    crashed = Run.objects.filter(unclaimed(), patch_set=candidate.patch_set, state=State.FINISHED, purpose__in=STEP_OF)
    crashed = crashed.select_related("project", "patch_set__candidate", "baseline")
    runs = list(crashed.exclude(outcome=Outcome.completed).order_by("pk"))
    if candidate.patch_set is None or not runs:
        raise RerunRefused(f"{candidate} has no run that could be trained again: {candidate.why}")
    with transaction.atomic():
        retry(runs, actor)
        step = STEP_OF[Purpose(runs[-1].purpose)]
        candidate.move(step, f"{actor} had {len(runs)} crashed run{'s'[: len(runs) > 1]} tried again.", actor=actor)
