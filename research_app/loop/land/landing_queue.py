"""The landing queue: who is next, what an entry waits for, and how one leaves it, with a reason. In order of the ids."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from research_app.loop.review.votes import tally, void_votes
from research_app.loop.runs import ensure_reference_runs, request_run
from research_app.models import (
    BaselineVersion,
    Candidate,
    Event,
    Gate,
    Landing,
    LandingState,
    Lease,
    PatchSet,
    Priority,
    Project,
    Purpose,
    Review,
    Stage,
)
from research_app.models.event_kinds import EventKind
from research_app.repository import trailers

TRAILER = trailers.CANDIDATE
"""The trailer that ties a commit of the baseline to its candidate; a batch's commit has one for each."""

FRESH_SEED = 1000
"""Judging again uses seeds that no candidate was screened with: a thousand for each patch set."""

HANGS, HANGING_SHARE = 2.0, 9.0
"""Trouble that took longer than so many seconds rests for so many times that long: a tenth of a worker's time."""

FRESH: dict[str, Any] = {"attempts": 0, "trouble": ""}
"""An entry that begins its next step, whatever went wrong in the one before."""


def name_of(candidate: Candidate) -> str:
    """Value of the trailer that names a candidate."""
    return f"{candidate.project.slug}/{candidate.number}"


def not_held() -> Q:
    """Entries that need not rest because something hung on them a moment ago."""
    return Q(not_before=None) | Q(not_before__lte=timezone.now())


def head_of(project_id: int) -> Landing | None:
    """The entry, or the batch that it is part of, whose turn it is (one query)."""
    head = Landing.objects.active().select_related("batch").filter(project_id=project_id).first()
    return head.batch if head and head.batch else head


def entries_of(landing: Landing) -> list[Landing]:
    """What a person approved: the entries of a batch in their order, or the landing itself (at most one query)."""
    rows = Landing.objects.filter(batch=landing, state=LandingState.BATCHED)
    return list(rows.select_related("project", "candidate__evidence", "candidate__project", "patch_set").order_by("pk")) or [
        landing
    ]


def standing_approvals(landing: Landing) -> list[Review]:
    """Approvals that bind to this diff, by people who still may give them; none where they are fewer than the policy wants."""
    where = tally(landing.candidate, Gate.BASELINE)
    bound = [vote for vote in where.approvals if vote.diff_hash == landing.patch_set.diff_hash]
    return bound if not where.rejections and len(bound) >= where.needed else []


def queue_fresh_runs(project: Project, version: BaselineVersion, patch_set: PatchSet) -> None:
    """Fresh seeds of a patch set on the version that it has to hold on. In a transaction."""
    fresh = project.file.policy.confirm_runs
    ensure_reference_runs(version, max(project.file.baseline.runs, fresh), Priority.LACKING)
    for seed in range(FRESH_SEED * patch_set.number, FRESH_SEED * patch_set.number + fresh):
        request_run(project, version, patch_set, Purpose.REJUDGE, seed)


def give_back(landing: Landing, lease: Lease, stage: Stage, why: str, **fields: Any) -> None:
    """Take an entry out of the queue with the reason; the candidate goes back to where it can be helped."""
    with transaction.atomic():
        lease.close(state=LandingState.RETURNED, reason=why, ended_at=timezone.now(), trouble="")
        void_votes(landing.candidate, why)
        landing.candidate.move(stage, why, **fields)


def hold(landing: Landing, lease: Lease, trouble: str, took: float) -> None:
    """Keep everything as it is and say what stands in the way: it is nobody's fault in the queue. Tried again by itself.

    `took` is how many seconds went by until it was found: what hangs gets a small part of a worker's time, because other
    projects' landings wait for the same worker.
    """
    not_before = timezone.now() + timedelta(seconds=HANGING_SHARE * took) if took > HANGS else None
    with transaction.atomic():
        lease.close(trouble=trouble, not_before=not_before, attempts=0)
        if landing.trouble != trouble:
            Event.objects.record(EventKind.LANDING_HELD_UP, landing.candidate, "signoff", landing.project, trouble=trouble)
