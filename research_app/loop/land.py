"""Land: take approved candidates onto the baseline, one at a time, in order. The only place where the branch moves.

The protocol, each step safe to repeat after a crash at any instant:
  1. read the tip; 2. look for this candidate's trailer in *that* tip; 3. build the commit on it; 4. compare-and-swap the
  branch from that tip; 5. write the new baseline version down.
A crash before 4 leaves the old tip, a crash after it the new one, and step 2 of the next attempt finds it and goes to 5.
"""

import logging
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from research_app.access import may_vote
from research_app.loop.check import record_patch_set
from research_app.loop.examine import flags_of
from research_app.loop.train import ensure_bank, queue_run
from research_app.models import (
    BaselineVersion,
    Candidate,
    Decision,
    Event,
    Landing,
    LandingState,
    Lease,
    Message,
    PatchSet,
    Project,
    Purpose,
    Review,
    Stage,
)
from research_app.models.lease import MAX_ATTEMPTS
from research_app.repository import ConflictError, StaleTipError, check_paths, message_with_trailers, normalised_syntax_hash

logger = logging.getLogger(__name__)

TRAILER = "Candidate"
SEARCH_DEPTH = 1000
FRESH_SEED = 1000
"""Judging again uses seeds that no candidate was screened with: a thousand for each patch set."""


def land(project_id: int, worker: str) -> None:
    """Take the head of a project's queue one step further. A repeated or parallel call does nothing harmful."""
    head = Landing.objects.active().filter(project_id=project_id).first()
    if head is None or head.state != LandingState.QUEUED:
        return
    lease = Landing.claim(head.pk, worker, Q(state=LandingState.QUEUED))
    if lease is None:
        return
    landing = Landing.objects.select_related("project", "candidate__evidence", "patch_set").get(pk=head.pk)
    if landing.attempts > MAX_ATTEMPTS:
        give_back(landing, lease, Stage.READY, f"Landing failed {MAX_ATTEMPTS} times; the last time: {landing.last_error}")
        return
    with lease.heartbeat():
        try:
            step(landing, lease)
        except StaleTipError as moved:
            logger.warning("%s: %s", landing, moved)
            lease.release()
        except Exception as error:
            lease.fail(error)
            raise
    Message.objects.enqueue("land", project_id)


def step(landing: Landing, lease: Lease) -> None:
    """Land, or send to be judged again on a tip that moved, or give back with the reason."""
    project, patch_set, repository = landing.project, landing.patch_set, landing.project.repository
    tip = repository.tip()
    if landed := repository.find_landed(tip, TRAILER, name_of(landing.candidate), SEARCH_DEPTH):
        record(landing, lease, landed, repository.tree_of(landed))
        return
    version = adopt(project, tip, repository.tree_of(tip))
    if patch_set.base_commit != tip:
        judge_again(landing, lease, version)
        return
    approvals = standing_approvals(landing)
    if not approvals:
        give_back(landing, lease, Stage.READY, "No approving vote stands any more: it needs a new one.")
        return
    commit = repository.commit_landing(
        patch_set.tree, tip, message_of(landing, approvals), landing.candidate.author, timezone.now()
    )
    lease.write(commit=commit)
    repository.advance(tip, commit)
    record(landing, lease, commit, patch_set.tree)


def name_of(candidate: Candidate) -> str:
    """Value of the trailer that names a candidate."""
    return f"{candidate.project.slug}/{candidate.number}"


def adopt(project: Project, tip: str, tree: str) -> BaselineVersion:
    """The baseline version of this tip. A tip that no landing made was moved by hand: it becomes a version, marked so."""
    known = project.baseline_versions.filter(commit=tip).first()
    if known:
        return known
    with transaction.atomic():
        number = project.tip().number + 1
        version, created = BaselineVersion.objects.get_or_create(
            project=project, commit=tip, defaults={"number": number, "tree": tree, "moved_outside": True}
        )
        if created:
            Event.objects.record("baseline moved outside Signoff", version, "git", project, commit=tip)
            ensure_bank(version, project.file.baseline.runs)
    return version


def standing_approvals(landing: Landing) -> list[Review]:
    """Approvals that still bind to this diff, by people who still may give them."""
    votes = landing.candidate.reviews.standing().filter(decision=Decision.APPROVE, diff_hash=landing.patch_set.diff_hash)
    return [vote for vote in votes.select_related("reviewer").order_by("pk") if may_vote(vote.reviewer)]


def message_of(landing: Landing, approvals: list[Review]) -> str:
    """The landing commit's message: the hypothesis, then trailers that say what was judged and who approved it."""
    candidate, evidence = landing.candidate, landing.candidate.evidence
    words = " ".join(candidate.hypothesis.split())
    title = words if len(words) <= 72 else words[:71].rsplit(" ", 1)[0] + "…"
    trailers = [(TRAILER, name_of(candidate))]
    trailers += [("Reviewed-by", vote.reviewer.get_username()) for vote in approvals]
    if evidence:
        effect = "unknown" if evidence.effect is None else f"{evidence.effect:+.5g} {landing.project.file.metric.name}"
        trailers += [("Evidence", evidence.content_hash), ("Effect", f"{effect} (n={evidence.candidate_n})")]
    trailers.append(("Audit-Head", Event.objects.head()))
    return message_with_trailers(title if title == words else f"{title}\n\n{words}", trailers)


def record(landing: Landing, lease: Lease, commit: str, tree: str) -> None:
    """Write down that the branch moved: version, landing, candidate, event and the new bank, in one transaction."""
    project, candidate = landing.project, landing.candidate
    with transaction.atomic():
        number = project.tip().number + 1
        version, created = BaselineVersion.objects.get_or_create(
            project=project, commit=commit, defaults={"number": number, "tree": tree}
        )
        lease.write(
            state=LandingState.LANDED,
            version=version,
            commit=commit,
            ended_at=timezone.now(),
            lease_until=None,
            leased_by="",
        )
        why = f"Landed as baseline {version.number}."
        Event.objects.record("landed", candidate, "signoff", project, commit=commit, baseline=version.number)
        candidate.move(Stage.LANDED, why)
        if created:
            ensure_bank(version, project.file.baseline.runs)


def judge_again(landing: Landing, lease: Lease, version: BaselineVersion) -> None:
    """The baseline moved since the evidence: rebase without a work tree and queue a run on the new tip."""
    project, candidate, old = landing.project, landing.candidate, landing.patch_set
    repository = project.repository
    try:
        change = repository.rebased(
            old.base_commit, old.commit, version.commit, f"{name_of(candidate)} rebased", candidate.author
        )
    except ConflictError as conflict:
        give_back(landing, lease, Stage.CONFLICT, f"It conflicts with baseline {version.number}: {conflict}")
        return
    if not change.files:
        give_back(landing, lease, Stage.CONFLICT, f"Baseline {version.number} contains this change already.")
        return
    if problems := check_paths(change, project.file.edit.editable, project.file.edit.protected):
        give_back(landing, lease, Stage.CONFLICT, "\n".join(problems))
        return
    number = old.number + 1
    repository.keep(f"candidates/{candidate.number}/{number}", change.commit)
    syntax = normalised_syntax_hash(repository.texts(change.commit, project.file.edit.editable))
    flags = flags_of(project, change)
    with transaction.atomic():
        patch_set = record_patch_set(candidate, version, change, syntax, flags, number=number, rebased=True)
        fresh = project.file.policy.confirm_runs
        ensure_bank(version, max(project.file.baseline.runs, fresh))
        for seed in range(FRESH_SEED * number, FRESH_SEED * number + fresh):
            queue_run(project, version, patch_set, Purpose.REJUDGE, seed)
        if change.diff_hash == old.diff_hash:
            wait_for_judge(landing, lease, patch_set, version)
        else:
            why = f"Rebased onto baseline {version.number}, its diff reads differently: it needs a new vote."
            give_back(landing, lease, Stage.SCREENING, why, patch_set=patch_set)  # its fresh runs are its first looks


def wait_for_judge(landing: Landing, lease: Lease, patch_set: PatchSet, version: BaselineVersion) -> None:
    """The vote stands, the evidence does not: hold its place in the queue until it was judged on the new tip."""
    why = f"The baseline moved to version {version.number}: judged again before it lands."
    lease.write(state=LandingState.REJUDGING, patch_set=patch_set, reason=why, lease_until=None, leased_by="", attempts=0)
    Candidate.objects.filter(pk=landing.candidate_id, stage=Stage.LANDING).update(patch_set=patch_set, why=why)
    told = {"baseline": version.number, "patch_set": patch_set.number}
    Event.objects.record("judged again", landing.candidate, "signoff", landing.project, **told)


def landing_waiting_for(patch_set: PatchSet) -> Landing | None:
    """The entry of the queue that wants this patch set judged again."""
    waiting = Landing.objects.filter(patch_set=patch_set, state=LandingState.REJUDGING)
    return waiting.select_related("candidate", "project").first()


def judged_again(landing: Landing, candidate: Candidate, lease: Lease, stage: Stage, why: str, fields: dict[str, Any]) -> None:
    """The new evidence is there: still good, so back into the queue; or not, so back to the reviewers. In a transaction."""
    waiting = Landing.objects.filter(pk=landing.pk, state=LandingState.REJUDGING)
    if stage == Stage.READY:
        lease.write(**fields, lease_until=None, leased_by="", attempts=0)
        waiting.update(state=LandingState.QUEUED, reason=f"Holds on the new baseline: {why}")
    else:
        lost = f"Judged again on the new baseline, it no longer holds: {why}"
        waiting.update(state=LandingState.RETURNED, reason=lost, ended_at=timezone.now())
        void_votes(candidate, lost)
        candidate.move(Stage.READY if fields else stage, lost, lease=lease, **fields)
    Message.objects.enqueue("land", landing.project_id)


def give_back(landing: Landing, lease: Lease, stage: Stage, why: str, **fields: Any) -> None:
    """Take an entry out of the queue with the reason; the candidate goes back to where it can be helped."""
    with transaction.atomic():
        lease.write(state=LandingState.RETURNED, reason=why, ended_at=timezone.now(), lease_until=None, leased_by="")
        void_votes(landing.candidate, why)
        landing.candidate.move(stage, why, **fields)


def void_votes(candidate: Candidate, why: str) -> None:
    """Standing votes no longer hold; the reviewers see why. In a transaction."""
    if candidate.reviews.standing().update(voided_at=timezone.now(), void_reason=why):
        Event.objects.record("votes voided", candidate, "signoff", candidate.project, why=why)
