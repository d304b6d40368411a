"""Rejudge: the baseline moved since the evidence, so what wants to land is rebased and judged on the new tip first.

The vote stands where the diff reads the same; the evidence never does. Where just this tree was judged against just this
baseline's tree before, that evidence is taken; otherwise fresh seeds run, compared with the new version's reference runs.
"""

from typing import Any

from django.db import transaction
from django.utils import timezone

from research_app.loop.check.check import record_patch_set
from research_app.loop.check.duplicates import fingerprint_of
from research_app.loop.check.examine import flags_of
from research_app.loop.land import batch
from research_app.loop.land.clashes import clashes_of, keep_clashes, names_of, paths_of
from research_app.loop.land.landing_queue import FRESH, give_back, name_of, queue_fresh_runs
from research_app.loop.review.votes import void_votes
from research_app.models import (
    BaselineVersion,
    Candidate,
    Decision,
    Event,
    Evidence,
    Kind,
    Landing,
    LandingState,
    Lease,
    Message,
    PatchSet,
    Project,
    Stage,
    Verdict,
)
from research_app.models.event_kinds import EventKind
from research_app.project_file.ladder import SMALLEST
from research_app.repository import Change, ConflictError, PatchError, check_paths

ANSWER = {
    Kind.CHANGE: "Answer with a patch set made on the current baseline.",
    Kind.STACK: "Answer its members one by one, or make the stack anew.",
    Kind.REVERT: "Propose the revert again: it is then made on the current baseline.",
    Kind.REMOVAL: "Propose the removal again: it is then made on the current baseline.",
}
"""What takes a change further that does not go onto the tip."""


def judge_again(landing: Landing, lease: Lease, version: BaselineVersion) -> None:
    """Rebase without a work tree, alone or in a batch, and queue its runs on the new tip; or give it back, saying why."""
    if batch.is_batch(landing):
        why = f"The baseline moved to version {version.number} meanwhile."
        batch.dissolve(landing, Stage.CONFLICT, why, smaller=False, lease=lease)
        return
    if batch.form(landing, lease, version):
        return
    project, candidate, old = landing.project, landing.candidate, landing.patch_set
    repository = project.repository
    try:
        change = repository.rebased(
            old.base_commit, old.commit, version.commit, f"{name_of(candidate)} rebased", candidate.author
        )
    except ConflictError as conflict:
        give_back_for_conflict(landing, lease, version, conflict)
        return
    except PatchError as refused:  # among others: nothing is left of it
        why = f"It does not go onto baseline {version.number}: {refused} {ANSWER[Kind(candidate.kind)]}"
        give_back(landing, lease, Stage.CONFLICT, why)
        return
    if problems := check_paths(change, project.file.edit.editable, project.file.edit.protected):
        give_back(landing, lease, Stage.CONFLICT, "\n".join(problems))
        return
    number = old.number + 1
    repository.keep(f"candidates/{candidate.number}/{number}", change.commit)
    enter_rebased(landing, lease, version, change, number)


def give_back_for_conflict(landing: Landing, lease: Lease, version: BaselineVersion, conflict: ConflictError) -> None:
    """Back to its author, who is told whose landing it clashes with and what to do."""
    old = landing.patch_set
    clashes = clashes_of(old.base, old.base_commit, old.commit, conflict)
    why = f"It clashes with {names_of(clashes)}: both alter the same lines of {paths_of(clashes, conflict)}."
    with transaction.atomic():
        keep_clashes(landing, clashes)
        give_back(landing, lease, Stage.CONFLICT, f"{why} {ANSWER[Kind(landing.candidate.kind)]}")


def judge_here(landing: Landing, lease: Lease, version: BaselineVersion) -> None:
    """It is on the tip already, and its evidence is of another patch set: its own runs decide."""
    with transaction.atomic():
        queue_fresh_runs(landing.project, version, landing.patch_set)
        wait_for_judge(landing, lease, landing.patch_set, version)


def enter_rebased(landing: Landing, lease: Lease, version: BaselineVersion, change: Change, number: int) -> None:
    """Write the rebased patch set down and say what it waits for: runs, a vote, or nothing any more."""
    project, candidate = landing.project, landing.candidate
    fingerprint = fingerprint_of(project, version, change)
    flags = flags_of(project, change)
    same_diff = change.diff_hash == landing.patch_set.diff_hash
    before = candidate.evidence
    with transaction.atomic():
        patch_set = record_patch_set(candidate, version, change, fingerprint, flags, number=number, rebased=True)
        known = judged_before(project, version, patch_set)
        if same_diff and known:
            reuse(landing, lease, patch_set, known, before)
            return
        queue_fresh_runs(project, version, patch_set)
        if same_diff:
            wait_for_judge(landing, lease, patch_set, version)
            return
        why = f"Rebased onto baseline {version.number}, its diff reads differently: it needs a new vote."
        give_back(landing, lease, Stage.SCREENING, why, patch_set=patch_set)  # its fresh runs are its first looks


def judged_before(project: Project, version: BaselineVersion, patch_set: PatchSet) -> Evidence | None:
    """The newest confirmed evidence on just these two trees, whatever candidate it was for (one query)."""
    same = Evidence.objects.filter(
        patch_set__candidate__project=project,
        patch_set__tree=patch_set.tree,
        patch_set__base__tree=version.tree,
        patch_set__candidate__aa=False,
        scale=SMALLEST,
        policy_version=project.policy_version,
        numbers__has_key="confirmation",
    )
    return same.order_by("-pk").first()


def reuse(landing: Landing, lease: Lease, patch_set: PatchSet, known: Evidence, before: Evidence | None) -> None:
    """Take evidence over that was frozen for the same two trees. In a transaction."""
    candidate = landing.candidate
    evidence = Evidence.objects.get(pk=known.pk)
    evidence.pk, evidence.patch_set, evidence.frozen_at = None, patch_set, timezone.now()
    evidence.take_over(known)
    evidence.save(force_insert=True)
    why = f"This very tree was judged on this very baseline before, as {known.patch_set.candidate}: {known.reason}"
    event_data = {"hash": evidence.content_hash, "taken_from": known.content_hash}
    Event.objects.seal([evidence], EventKind.EVIDENCE_TAKEN_OVER, candidate, "signoff", landing.project, **event_data)
    if not still_good(candidate, before, evidence):
        lost = no_longer_holds(before, evidence, why)
        give_back(landing, lease, Stage.READY, lost, patch_set=patch_set, evidence=evidence)
        return
    lease.close(state=LandingState.QUEUED, patch_set=patch_set, reason=why, commit="", **FRESH)
    Candidate.objects.filter(pk=candidate.pk, stage=Stage.LANDING).update(patch_set=patch_set, evidence=evidence, why=why)


def no_longer_holds(before: Evidence | None, after: Evidence | None, why: str) -> str:
    """Why a change leaves the queue after it was judged again: harm is said as harm, and what landed since its evidence is
    named (at most two queries)."""
    if after is not None and after.verdict == Verdict.SOLID and (failed := newly_failed(before, after)):
        return f"On baseline {after.patch_set.base.number} a guard fails that did not before: {'; '.join(failed)}. {why}"
    if after is None or after.verdict != Verdict.WORSE:
        return f"Judged again on the new baseline, it no longer holds: {why}"
    base = after.patch_set.base
    reason = f"On baseline {base.number} it does harm. {why}"
    since = landed_between(before.patch_set.base, base) if before else []
    if before is None or not since:
        return reason
    what = "what landed" if len(since) == 1 else "something that landed"
    return (
        f"{reason} It clashes with {what} since it was judged on baseline {before.patch_set.base.number}: {', '.join(since)}."
    )


def newly_failed(before: Evidence | None, after: Evidence) -> list[str]:
    """What fails of the guards now and did not in the evidence before, a sentence each."""
    known = {each.name for each in (before.document.failed_guards if before else ())}
    return [each.sentence for each in after.document.failed_guards if each.name not in known]


def landed_between(older: BaselineVersion, newer: BaselineVersion) -> list[str]:
    """What made the baseline versions after `older` up to `newer`, in their order (two queries)."""
    versions = BaselineVersion.objects.filter(project=newer.project_id, number__gt=older.number, number__lte=newer.number)
    landings = Landing.objects.filter(version__in=versions, state=LandingState.LANDED).select_related("candidate")
    landings = landings.exclude(batched__state=LandingState.LANDED)  # its entries are named, not what was made to judge them
    made: dict[int, list[str]] = {}
    for landing in landings.order_by("pk"):
        made.setdefault(landing.version_id or 0, []).append(str(landing.candidate))
    outside = "baseline {}, moved outside Signoff"
    return [name for v in versions.order_by("number") for name in made.get(v.pk) or [outside.format(v.number)]]


def still_good(candidate: Candidate, before: Evidence | None, after: Evidence) -> bool:
    """Whether what was approved still holds: solid, or, where something else was approved, no worse than that.

    A guard that fails now and did not when it was approved needs a reason that nobody has written yet.
    """
    if newly_failed(before, after):
        return False
    if after.verdict in (Verdict.SOLID, Verdict.INVALID):
        return after.verdict == Verdict.SOLID
    votes = candidate.reviews.standing().filter(decision=Decision.APPROVE)
    knowingly = candidate.kind in (Kind.REVERT, Kind.REMOVAL) or votes.filter(against_verdict=True).exists()
    if not knowingly or before is None or before.low is None or after.effect is None:
        return False
    return after.effect >= before.low


def wait_for_judge(landing: Landing, lease: Lease, patch_set: PatchSet, version: BaselineVersion) -> None:
    """The vote stands, the evidence does not: hold its place in the queue until it was judged on the new tip."""
    why = f"Judged again on baseline {version.number} before it lands."
    lease.close(state=LandingState.REJUDGING, patch_set=patch_set, reason=why, commit="", **FRESH)
    Candidate.objects.filter(pk=landing.candidate_id, stage=Stage.LANDING).update(patch_set=patch_set, why=why)
    event_data = {"baseline": version.number, "patch_set": patch_set.number}
    Event.objects.record(EventKind.JUDGED_AGAIN, landing.candidate, "signoff", landing.project, **event_data)


def landing_waiting_for(patch_set: PatchSet) -> Landing | None:
    """The entry of the queue that wants this patch set judged again."""
    waiting = Landing.objects.filter(patch_set=patch_set, state=LandingState.REJUDGING)
    return waiting.select_related("candidate", "project").first()


def judged_again(landing: Landing, candidate: Candidate, lease: Lease, stage: Stage, why: str, fields: dict[str, Any]) -> None:
    """The new evidence is there: still good, so back into the queue; or not, so back to the reviewers. In a transaction.

    `lease` is a claim on the candidate. A batch that does not hold is judged again in halves instead.
    """
    waiting = Landing.objects.filter(pk=landing.pk, state=LandingState.REJUDGING)
    if stage == Stage.READY:
        lease.close(**fields, attempts=0)
        waiting.update(state=LandingState.QUEUED, reason=f"Holds on the new baseline: {why}")
    elif batch.is_batch(landing):
        lost = f"Judged together, they do not hold: {why}"
        batch.dissolve(landing, stage, lost, smaller=True, candidate_lease=lease, **fields)
    else:
        lost = f"On the new baseline its run did not end well: {why}"
        if fields:
            lost = no_longer_holds(candidate.evidence, fields.get("evidence"), why)
        waiting.update(state=LandingState.RETURNED, reason=lost, ended_at=timezone.now())
        void_votes(candidate, lost)
        candidate.move(Stage.READY if fields else stage, lost, lease=lease, **fields)
    Message.objects.enqueue("land", landing.project_id)


def not_judged(landing: Landing, candidate: Candidate, lease: Lease, why: str) -> None:
    """Nothing on the new baseline can be measured: back to the reviewers, as it was, or a batch taken apart. In a transaction.

    `lease` is a claim on the candidate.
    """
    lost = f"It could not be judged again on the new baseline: {why}"
    if batch.is_batch(landing):
        batch.dissolve(landing, Stage.CRASHED, lost, smaller=True, candidate_lease=lease)
    else:
        waiting = Landing.objects.filter(pk=landing.pk, state=LandingState.REJUDGING)
        waiting.update(state=LandingState.RETURNED, reason=lost, ended_at=timezone.now())
        void_votes(candidate, lost)
        candidate.move(Stage.READY, lost, lease=lease)
    Message.objects.enqueue("land", landing.project_id)
