"""Review: what a researcher's click at a gate does. Only a signed-in person comes here; no command, token or agent votes."""

from dataclasses import astuple, dataclass

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from research_app.access import may_operate, may_review
from research_app.loop.review.votes import STAGE_OF, Tally, gate_of, may_not_vote, tally, void, void_votes
from research_app.models import Candidate, Decision, Event, Gate, Landing, LandingState, Review, Stage
from research_app.models.candidate import REOPENABLE
from research_app.models.event import VOIDED
from research_app.models.event_kinds import EventKind


class ReviewRefused(Exception):
    """The decision was not taken; the message says why and what to do."""


class StalePage(ReviewRefused):
    """The candidate changed since the page was loaded; the message says what."""


@dataclass(frozen=True)
class Seen:
    """What the reviewer had before their eyes: a vote binds to it (invariant 4)."""

    diff_hash: str
    base_commit: str
    evidence_hash: str
    policy_version: int

    @classmethod
    def of(cls, candidate: Candidate) -> "Seen":
        """What a page of this candidate shows now."""
        patch_set = candidate.patch_set
        return cls(
            patch_set.diff_hash if patch_set else "",
            patch_set.base_commit if patch_set else "",
            candidate.evidence_hash,
            candidate.project.policy_version,
        )

    def differences(self, now: "Seen") -> list[str]:
        """What is no longer as it was seen, in words."""
        names = ("its diff", "its base", "its evidence", "the policy of this gate")
        return [name for name, seen, current in zip(names, astuple(self), astuple(now), strict=True) if seen != current]


def approve(candidate: Candidate, reviewer: User, seen: Seen, reason: str = "") -> Landing | None:
    """Approve for the baseline; with the last approval that the policy wants, enter the landing queue, once.

    None while other approvals are missing. Raises ReviewRefused, and StalePage where the page showed something else.
    """
    with transaction.atomic():
        row = locked(candidate, seen, Gate.BASELINE)
        if not cast(row, reviewer, Decision.APPROVE, reason, Gate.BASELINE).complete:
            return None
        landing = Landing.objects.create(project=row.project, candidate=row, patch_set=row.revision)
        names = " and ".join(vote.reviewer.get_username() for vote in tally(row, Gate.BASELINE).approvals)
        row.move(
            Stage.LANDING,
            f"Approved by {names}; in the landing queue.",
            actor=reviewer.get_username(),
            wake=("land", row.project_id),
        )
    return landing


def reject(candidate: Candidate, reviewer: User, seen: Seen, reason: str) -> None:
    """Close a candidate with a reason. It stays closed until the rejection is withdrawn. Raises ReviewRefused, StalePage."""
    if not reason.strip():
        raise ReviewRefused("Say why: the reason goes to the author and to everyone who has the same idea later.")
    with transaction.atomic():
        row = locked(candidate, seen)
        cast(row, reviewer, Decision.REJECT, reason, _gate(row))
        row.move(Stage.REJECTED, reason.strip(), actor=reviewer.get_username())


def request_changes(candidate: Candidate, reviewer: User, seen: Seen, reason: str) -> None:
    """Send a candidate back to its author, who answers with another patch set (loop/revise.py). Raises as `reject`."""
    with transaction.atomic():
        row = locked(candidate, seen)
        threads = row.threads.open().count()
        if not (reason.strip() or threads):
            raise ReviewRefused("Say what should change, here or in comments at the lines: it goes to the author.")
        cast(row, reviewer, Decision.CHANGES, reason, _gate(row))
        why = reason.strip() or f"See the {threads} open comment{'s' if threads > 1 else ''} at the lines."
        row.move(Stage.CHANGES, why, actor=reviewer.get_username())


def withdraw(candidate: Candidate, actor: User) -> None:
    """Undo one's own decision while nothing followed from it: the candidate is back at its gate. Raises ReviewRefused."""
    with transaction.atomic():
        row = lock(candidate)
        vote = withdrawable(row, actor)
        if vote is None:
            raise StalePage(f"There is nothing of yours to take back any more: {row} is {row.get_stage_display()} now.")
        gate, name = Gate(vote.gate), actor.get_username()
        if row.stage == Stage.LANDING:
            queued = Landing.objects.filter(lease_until=None, candidate=row, state=LandingState.QUEUED)
            left = f"{name} withdrew the approval."
            if not queued.update(state=LandingState.RETURNED, reason=left, ended_at=timezone.now()):
                raise StalePage(f"Too late: {row} is landing at this moment.")
        event_data = {
            "decision": vote.decision,
            "gate": vote.gate,
            VOIDED: void(row.reviews.filter(pk=vote.pk), f"Withdrawn by {name}."),
        }
        Event.objects.record(EventKind.VOTE_WITHDRAWN, row, name, row.project, **event_data)
        if row.stage != STAGE_OF[gate]:
            row.move(STAGE_OF[gate], f"{name} took back: {vote.get_decision_display()}.", actor=name)


def withdrawable(candidate: Candidate, actor: User) -> Review | None:
    """The standing vote that this person can take back now, or None (at most two queries)."""
    vote = candidate.reviews.standing().filter(reviewer=actor).order_by("-pk").first()
    if vote is None:
        return None
    gate, stage = Gate(vote.gate), candidate.stage
    waits_for_others = vote.decision == Decision.APPROVE and stage == STAGE_OF[gate]
    ended = {Decision.REJECT: Stage.REJECTED, Decision.CHANGES: Stage.CHANGES}.get(Decision(vote.decision))
    unanswered = stage == ended and candidate.lease_until is None
    queued = vote.decision == Decision.APPROVE and gate == Gate.BASELINE and stage == Stage.LANDING
    if queued:
        queued = Landing.objects.filter(lease_until=None, candidate=candidate, state=LandingState.QUEUED).exists()
    return vote if waits_for_others or unanswered or queued else None


def reopen(candidate: Candidate, actor: User, reason: str) -> None:
    """Bring a discarded candidate back to the gate; votes given before are void. Raises ReviewRefused."""
    if not may_operate(actor):
        raise ReviewRefused("Your account may look, but not reopen. Ask an administrator for the role “operator”.")
    if not reason.strip():
        raise ReviewRefused("Say why it should be looked at again.")
    with transaction.atomic():
        row = lock(candidate)
        if row.stage not in REOPENABLE or row.evidence is None:
            raise StalePage(f"{row} is {row.get_stage_display()} and cannot be reopened. Submit the change again instead.")
        if others := [vote.reviewer.get_username() for vote in blocking(row) if vote.reviewer_id != actor.pk]:
            raise ReviewRefused(f"{others[0]} decided this and alone can withdraw it. A new patch set starts afresh.")
        void_votes(row, f"Reopened by {actor.get_username()}: {reason.strip()}")
        row.move(Stage.READY, f"Reopened: {reason.strip()}", actor=actor.get_username())


def blocking(candidate: Candidate) -> list[Review]:
    """Rejections and requests for changes that stand, by people who are still here (one query)."""
    votes = candidate.reviews.standing().filter(decision__in=[Decision.REJECT, Decision.CHANGES], reviewer__is_active=True)
    return list(votes.select_related("reviewer").order_by("pk"))


def lock(candidate: Candidate) -> Candidate:
    """The candidate as it is now, and stays until the transaction ends."""
    rows = Candidate.objects.select_for_update(of=("self",)).with_evidence()
    return rows.get(pk=candidate.pk)


def locked(candidate: Candidate, seen: Seen, gate: Gate | None = None) -> Candidate:
    """The candidate, locked, if it waits at this gate (or at any) and is what the person saw. Raises StalePage."""
    row = lock(candidate)
    current_gate = gate_of(row)
    if current_gate is None or gate not in (None, current_gate):
        raise StalePage(f"{row} was decided or moved on meanwhile: it is {row.get_stage_display()} now. {row.why}")
    if changed := seen.differences(Seen.of(row)):
        raise StalePage(f"Since this page was loaded, {' and '.join(changed)} changed. Look again, then decide.")
    return row


def _gate(row: Candidate) -> Gate:
    gate = gate_of(row)
    assert gate is not None  # `locked` lets no other candidate through
    return gate


def cast(row: Candidate, reviewer: User, decision: Decision, reason: str, gate: Gate) -> Tally:
    """Write one vote on a locked candidate, replacing an earlier one of this person; where the decision stands then.

    In a transaction. Raises ReviewRefused where the policy keeps this person from it or where a reason is missing.
    """
    against = bool(row.reason_needed) if decision == Decision.APPROVE else not row.reason_needed and decision == Decision.REJECT
    if decision != Decision.APPROVE:
        if not may_review(reviewer):
            raise ReviewRefused("Your account may not decide here. Ask an administrator for the role “reviewer”.")
    elif refused := may_not_vote(reviewer, row, gate):
        raise ReviewRefused(refused)
    elif against and not reason.strip():
        raise ReviewRefused(row.reason_needed)
    earlier = row.reviews.standing().filter(gate=gate, reviewer=reviewer)
    if earlier.filter(decision=decision, policy_version=row.project.policy_version).exists():
        raise StalePage(f"You {Decision(decision).label} {row} already; it waits for others.")
    replaced = void(earlier, f"{reviewer.get_username()} decided anew.")
    seen = Seen.of(row)
    review = Review.objects.create(
        candidate=row,
        patch_set=row.revision,
        gate=gate,
        reviewer=reviewer,
        decision=decision,
        reason=reason.strip(),
        against_verdict=against,
        diff_hash=seen.diff_hash,
        base_commit=seen.base_commit,
        evidence_hash=seen.evidence_hash,
        policy_version=seen.policy_version,
    )
    event_data = {"gate": int(gate), "decision": decision, "reason": review.reason, "against_verdict": against}
    event_data |= {"patch_set": row.revision.number, "diff": seen.diff_hash, "base": seen.base_commit}
    event_data |= {"evidence": seen.evidence_hash, "policy_version": seen.policy_version, VOIDED: replaced}
    if failed := row.failed_guards:
        event_data["guards_failed"] = failed
    Event.objects.seal([review], EventKind.VOTE, row, reviewer.get_username(), row.project, **event_data)
    return tally(row, gate)
