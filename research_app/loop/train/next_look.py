"""A device that has ended a candidate's run waits a moment for its judgement, so that it takes the run that this asks for.

Otherwise it would take somebody's first run, and what may be real would wait for a whole run before its next seed.
"""

import threading
import time

from research_app.models import Candidate, Priority, Purpose, Run, Stage, State
from research_app.models.lease import DATABASE_AWAY
from research_app.project_file.ladder import SMALLEST

LOOKED_AT = (Purpose.SCREEN, Purpose.REPLICATE)
LONGEST, OF_A_RUN = 2.0, 0.05  # seconds, and share of the time that the run took: a device may be idle for no longer
EVERY = 0.05  # seconds between two looks


def let_it_be_judged(run_id: int, stopping: threading.Event) -> bool:
    """Wait until the candidate of a run that ended was judged, where another run could follow; True if it was in time."""
    try:
        run = Run.objects.select_related("patch_set").get(pk=run_id)
        if not may_be_followed(run):
            return False
        until = time.monotonic() + min(LONGEST, OF_A_RUN * (run.train_seconds or 0.0))
        while not (judged := was_judged(run)) and time.monotonic() < until and not stopping.wait(EVERY):
            pass
    except DATABASE_AWAY:  # the next claim says so
        return False
    return judged


def may_be_followed(run: Run) -> bool:
    """Whether its judgement is due, may ask for another run, and only what is farther from a decision waits meanwhile."""
    if run.state != State.FINISHED or run.purpose not in LOOKED_AT or run.scale != SMALLEST or run.patch_set is None:
        return False
    head = Run.objects.queued_for(run.queue).first()
    if head is None or head.priority < Priority.LIKELY:
        return False
    unfinished = Run.objects.filter(scale=SMALLEST).exclude(state=State.FINISHED)
    theirs = unfinished.of_baseline().filter(baseline=run.baseline_id, purpose=Purpose.REFERENCE)
    return not unfinished.filter(patch_set=run.patch_set_id).exists() and not theirs.exists()


def was_judged(run: Run) -> bool:
    """Whether its candidate has evidence that is newer than the run, or is looked at no more (one query)."""
    assert run.patch_set is not None
    names = ("stage", "evidence__frozen_at", "needs_attention")
    stage, frozen_at, attention = Candidate.objects.values_list(*names).get(pk=run.patch_set.candidate_id)
    looked_at = stage in (Stage.SCREENING, Stage.REPLICATING) and not attention
    return not looked_at or bool(frozen_at and run.finished_at and frozen_at >= run.finished_at)
