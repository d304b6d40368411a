"""Review: what a researcher's click at gate 2 does. Only a signed-in person comes here; no command or token can vote."""

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import transaction

from research_app.access import may_operate, may_vote
from research_app.loop.land import void_votes
from research_app.models import Candidate, Decision, Event, Gate, Landing, Review, Stage
from research_app.models.candidate import REOPENABLE


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

    @classmethod
    def of(cls, candidate: Candidate) -> "Seen":
        """What a page of this candidate shows now."""
        patch_set, evidence = candidate.patch_set, candidate.evidence
        return cls(
            patch_set.diff_hash if patch_set else "",
            patch_set.base_commit if patch_set else "",
            evidence.content_hash if evidence else "",
        )

    def differences(self, now: "Seen") -> list[str]:
        """What is no longer as it was seen, in words."""
        pairs = (
            ("its diff", self.diff_hash, now.diff_hash),
            ("its base", self.base_commit, now.base_commit),
            ("its evidence", self.evidence_hash, now.evidence_hash),
        )
        return [name for name, seen, current in pairs if seen != current]


def approve(candidate: Candidate, reviewer: User, seen: Seen, reason: str = "") -> Landing:
    """Approve for the baseline and enter the landing queue, once, whatever happens at the same moment.

    Raises ReviewRefused, and StalePage where the page showed something else.
    """
    with transaction.atomic():
        row = _locked(candidate, reviewer, seen)
        if row.doubt and not reason.strip():
            raise ReviewRefused(row.doubt)
        _vote(row, reviewer, Decision.APPROVE, reason, against=bool(row.doubt))
        landing = Landing.objects.create(project=row.project, candidate=row, patch_set=row.revision)
        row.move(
            Stage.LANDING,
            f"Approved by {reviewer.get_username()}; in the landing queue.",
            actor=reviewer.get_username(),
            wake=("land", row.project_id),
        )
    return landing


def reject(candidate: Candidate, reviewer: User, seen: Seen, reason: str) -> None:
    """Close a candidate with a reason. Raises ReviewRefused, StalePage."""
    if not reason.strip():
        raise ReviewRefused("Say why: the reason goes to the author and to everyone who has the same idea later.")
    with transaction.atomic():
        row = _locked(candidate, reviewer, seen)
        _vote(row, reviewer, Decision.REJECT, reason, against=False)
        row.move(Stage.REJECTED, reason.strip(), actor=reviewer.get_username())


def reopen(candidate: Candidate, actor: User, reason: str) -> None:
    """Bring a discarded candidate back to the gate; votes given before are void. Raises ReviewRefused."""
    if not may_operate(actor):
        raise ReviewRefused("Sign in to reopen a candidate.")
    if not reason.strip():
        raise ReviewRefused("Say why it should be looked at again.")
    with transaction.atomic():
        row = _lock(candidate)
        if row.stage not in REOPENABLE or row.evidence is None:
            raise StalePage(f"{row} is {row.get_stage_display()} and cannot be reopened. Submit the change again instead.")
        void_votes(row, f"Reopened by {actor.get_username()}: {reason.strip()}")
        row.move(Stage.READY, f"Reopened: {reason.strip()}", actor=actor.get_username())


def _lock(candidate: Candidate) -> Candidate:
    rows = Candidate.objects.select_for_update(of=("self",)).with_evidence()
    return rows.get(pk=candidate.pk)


def _locked(candidate: Candidate, reviewer: User, seen: Seen) -> Candidate:
    """The candidate as it is now, if this person may decide and sees it as it is."""
    if not may_vote(reviewer):
        raise ReviewRefused("Your account may not decide here: ask an administrator to add you to the group “approvers”.")
    row = _lock(candidate)
    if row.stage != Stage.READY:
        raise StalePage(f"{row} was decided or moved on meanwhile: it is {row.get_stage_display()} now. {row.why}")
    if changed := seen.differences(Seen.of(row)):
        raise StalePage(f"Since this page was loaded, {' and '.join(changed)} changed. Look again, then decide.")
    return row


def _vote(row: Candidate, reviewer: User, decision: Decision, reason: str, against: bool) -> None:
    seen = Seen.of(row)
    review = Review.objects.create(
        candidate=row,
        patch_set=row.revision,
        gate=Gate.BASELINE,
        reviewer=reviewer,
        decision=decision,
        reason=reason.strip(),
        against_verdict=against,
        diff_hash=seen.diff_hash,
        base_commit=seen.base_commit,
        evidence_hash=seen.evidence_hash,
        policy_version=row.project.policy_version,
    )
    told = {"decision": decision, "reason": review.reason, "against_verdict": against, "evidence": seen.evidence_hash}
    Event.objects.record("vote", row, reviewer.get_username(), row.project, **told)
