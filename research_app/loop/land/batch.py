"""Batch: judge the first entries of the queue as one stack and land them together; one that fails is halved until it holds.

Off unless the project file says so ([landing] batch). Only entries that wait one behind the other go together, so that the
order of the queue is the order on the baseline. The batch is a stack candidate with a landing of its own; the entries wait
for it and keep their places, their votes and their evidence.
"""

from typing import Any

from django.db import transaction
from django.utils import timezone

from research_app.loop.land.landing_queue import FRESH, name_of, queue_fresh_runs, standing_approvals
from research_app.loop.stacks.stack import draft_stack, enter_stack
from research_app.models import (
    BaselineVersion,
    Event,
    Landing,
    LandingState,
    Lease,
    Message,
    Project,
    Stage,
)
from research_app.models.event_kinds import EventKind
from research_app.repository import ConflictError, PatchError


class QueueChanged(Exception):
    """An entry left the queue while the batch was put together; it is put together anew."""


def is_batch(landing: Landing) -> bool:
    """Whether this is the landing of several entries at once (one query)."""
    return landing.batched.filter(state=LandingState.BATCHED).exists()


def form(head: Landing, lease: Lease, version: BaselineVersion) -> bool:
    """Put the head of the queue and those right behind it into a batch on this version; False where it stays alone."""
    together = fitting(head, version)
    if len(together) < 2:
        return False
    project = head.project
    parts = [(entry.patch_set.base_commit, entry.patch_set.commit) for entry in together]
    try:
        members = [entry.candidate for entry in together]
        draft = draft_stack(project, version, members, project.repository.combined(version.commit, parts), "signoff")
        with transaction.atomic():
            stack = enter_stack(draft, "signoff", stage=Stage.LANDING)
            patch_set = stack.revision
            whole = Landing.objects.create(
                project=project,
                candidate=stack,
                patch_set=patch_set,
                state=LandingState.REJUDGING,
                reason=f"The baseline moved to version {version.number}: {len(together)} changes are judged as one.",
            )
            queue_fresh_runs(project, version, patch_set)
            why = f"Judged and landed together with the others of {stack}."
            lease.close(state=LandingState.BATCHED, batch=whole, reason=why, commit="", **FRESH)
            behind = Landing.objects.filter(pk__in=[entry.pk for entry in together[1:]], state=LandingState.QUEUED)
            if behind.filter(lease_until=None).update(state=LandingState.BATCHED, batch=whole, reason=why) < len(together) - 1:
                raise QueueChanged
            event_data = {"baseline": version.number, "candidates": [str(member) for member in members]}
            Event.objects.record(EventKind.BATCH_FORMED, stack, "signoff", project, **event_data)
    except (QueueChanged, PatchError):
        return False
    return True


def fitting(head: Landing, version: BaselineVersion) -> list[Landing]:
    """The head and as many right behind it as may go along: approved, reading the same when rebased, without a conflict."""
    project: Project = head.project
    most = min(project.file.landing.batch, head.most_together or project.file.landing.batch)
    if most < 2:
        return []
    queue = Landing.objects.active().filter(project=project).select_related("project", "candidate__project", "patch_set")
    repository, onto, together = project.repository, version.commit, []
    for entry in queue[:most]:
        patch_set = entry.patch_set
        if entry.state != LandingState.QUEUED or not standing_approvals(entry):
            break
        try:
            change = repository.rebased(
                patch_set.base_commit, patch_set.commit, onto, f"{name_of(entry.candidate)} rebased", entry.candidate.author
            )
        except (ConflictError, PatchError):
            break  # judged, or given back, on its own when its turn comes
        if change.diff_hash != patch_set.diff_hash:
            break
        together.append(entry)
        onto = change.commit
    return together


def dissolve(
    whole: Landing,
    stage: Stage,
    why: str,
    *,
    smaller: bool,
    lease: Lease | None = None,
    candidate_lease: Lease | None = None,
    **fields: Any,
) -> None:
    """Take a batch apart: its entries wait again at their places, next time in smaller company where `smaller`.

    `lease` is a claim on the landing, `candidate_lease` one on the stack; `fields` go to the stack candidate.
    """
    with transaction.atomic():
        ended = {"state": LandingState.RETURNED, "reason": why, "ended_at": timezone.now(), "trouble": ""}
        if lease:
            lease.close(**ended)
        else:
            Landing.objects.filter(pk=whole.pk, state=LandingState.REJUDGING).update(**ended)
        entries = Landing.objects.filter(batch=whole, state=LandingState.BATCHED)
        size = entries.count()
        limit = {"most_together": max(1, size // 2)} if smaller else {}
        entries.update(state=LandingState.QUEUED, batch=None, reason=f"{whole.candidate} was taken apart: {why}", **limit)
        Event.objects.record(EventKind.BATCH_TAKEN_APART, whole.candidate, "signoff", whole.project, why=why, size=size)
        whole.candidate.move(stage, why, lease=candidate_lease, **fields)
        Message.objects.enqueue("land", whole.project_id)
