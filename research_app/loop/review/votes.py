"""Votes: who may vote on a candidate at a gate, which votes count, and what is still missing before it is approved.

A vote binds to (diff hash, base commit, evidence hash, policy version). At a gate only votes under the policy in force
count; what was approved before a change of policy stays approved, because it is counted under the policy of its votes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from research_app.access import Role, people_with, role_of
from research_app.models import Candidate, Comment, Conversation, Decision, Event, Gate, Note, PatchSet, Project, Review, Stage
from research_app.models.candidate import AWAITING_AUTHOR, AWAITING_HUMAN, CandidateQuerySet
from research_app.models.event import VOIDED
from research_app.models.event_kinds import EventKind
from research_app.project_file.gates_section import GatePolicy, Gates

GATE_OF = {Stage.SHORTLISTED: Gate.SHORTLIST, Stage.READY: Gate.BASELINE}
STAGE_OF = {gate: stage for stage, gate in GATE_OF.items()}


@dataclass(frozen=True)
class Tally:
    """Where the decision at one gate stands."""

    policy: GatePolicy
    version: int  # of the policy
    needed: int  # approvals
    approvals: Sequence[Review]  # those that count
    lapsed: Sequence[Review]  # approvals that stand, but by people who may no longer give them
    rejections: Sequence[Review]
    missing: Sequence[User]  # who could still approve, by name

    @property
    def open(self) -> int:
        """How many approvals are still missing."""
        return max(0, self.needed - len(self.approvals))

    @property
    def complete(self) -> bool:
        """Approved: enough approvals, and no rejection that stands."""
        return not self.rejections and self.open == 0

    @property
    def stuck(self) -> bool:
        """Nobody is left who could give what is missing."""
        return self.open > len(self.missing)


def gate_of(candidate: Candidate) -> Gate | None:
    """The gate that a candidate stands at; None where no vote is due."""
    return GATE_OF.get(Stage(candidate.stage))


def may_not_vote(user: User, candidate: Candidate, gate: Gate) -> str:
    """Why this person may not approve this candidate here, in a sentence; empty where they may. At most four queries."""
    if candidate.project.archived_at:
        return f"{candidate.project.slug} is archived: bring it back first, under Settings."
    policy = candidate.project.gate_policy(gate)
    held = role_of(user)
    if held is None or not any(held.holds(Role(role)) for role in policy.roles):
        wanted = " or ".join(f"“{role}”" for role in policy.roles)
        return f"Only people with the role {wanted} approve at gate {gate.value}. Ask an administrator for it."
    if not policy.author_may_vote and user.pk in authors_of(candidate):
        return "You submitted or revised it, and authors do not vote on their own candidates at this gate."
    if not policy.steering_may_vote and user.pk in steered_by(candidate):
        return "You told its author what to change, and whoever steered a candidate does not vote on it at this gate."
    return ""


def authors_of(candidate: Candidate) -> set[int]:
    """Keys of the people who submitted the candidate or one of its patch sets, or are named as their author (two queries)."""
    made = list(candidate.patch_sets.values_list("submitted_by_id", "author"))
    names = {candidate.author, *(author for _, author in made)}
    named = User.objects.filter(username__in=names).values_list("pk", flat=True)
    return {*named, *(pk for pk in (candidate.submitted_by_id, *(pk for pk, _ in made)) if pk is not None)}


def steered_by(candidate: Candidate) -> set[int]:
    """Keys of the people who told its author what to do: had an agent make it, wrote notes, asked for changes, commented.

    What was withdrawn counts too: the author may have read it. At most four queries.
    """
    wrote_notes = set(candidate.notes.values_list("written_by_id", flat=True))
    wrote_notes |= set(candidate.conversations.filter(asked_by__isnull=False).values_list("asked_by_id", flat=True))
    requests = dict(candidate.reviews.filter(decision=Decision.CHANGES).values_list("reviewer_id", "created_at"))
    if not requests:
        return wrote_notes
    comments = Comment.objects.filter(thread__candidate=candidate, author__isnull=False, created_at__lte=max(requests.values()))
    return {*wrote_notes, *requests, *(pk for pk in comments.values_list("author_id", flat=True) if pk is not None)}


def barred(candidate: Candidate, policy: GatePolicy) -> set[int]:
    """Keys of the people whom the policy keeps from voting on this candidate (at most five queries)."""
    authors = set() if policy.author_may_vote else authors_of(candidate)
    return authors | (set() if policy.steering_may_vote else steered_by(candidate))


def tally(candidate: Candidate, gate: Gate) -> Tally:
    """Where the decision at a gate stands. At most eight queries, however many people there are."""
    project = candidate.project
    votes = list(candidate.reviews.standing().filter(gate=gate).select_related("reviewer").order_by("pk"))
    given = [vote for vote in votes if vote.decision == Decision.APPROVE]
    at_gate = gate_of(candidate) == gate
    version = project.policy_version if at_gate or not given else given[-1].policy_version
    policy = project.gate_policy(gate, version)
    shut_out = barred(candidate, policy)
    eligible = {user.pk: user for user in people_with([Role(role) for role in policy.roles]) if user.pk not in shut_out}
    counted = [vote for vote in given if vote.reviewer_id in eligible and vote.policy_version == version]
    against = bool(candidate.reason_needed) if at_gate else any(vote.against_verdict for vote in counted)
    voted = {vote.reviewer_id for vote in counted}
    blocking = [vote for vote in votes if vote.decision == Decision.REJECT and vote.reviewer.is_active]
    return Tally(
        policy=policy,
        version=version,
        needed=policy.approvals_needed(against),
        approvals=counted,
        lapsed=[vote for vote in given if vote not in counted],
        rejections=blocking,
        missing=[user for pk, user in eligible.items() if pk not in voted],
    )


def void_votes(candidate: Candidate, why: str) -> None:
    """Standing votes no longer hold; the reviewers see why. In a transaction."""
    if voided := void(candidate.reviews.standing(), why):
        Event.objects.record(EventKind.VOTES_VOIDED, candidate, "signoff", candidate.project, why=why, **{VOIDED: voided})


def void(votes: QuerySet[Review], why: str) -> list[int]:
    """Write on some votes that they no longer hold; their keys, which the event that says so carries. In a transaction."""
    keys = sorted(votes.values_list("pk", flat=True))
    Review.objects.filter(pk__in=keys).update(voided_at=timezone.now(), void_reason=why)
    return keys


def void_undecided(project: Project, why: str) -> None:
    """Approvals of candidates that still stand at a gate: a new policy starts counting afresh. In a transaction."""
    approved = Review.objects.standing().filter(decision=Decision.APPROVE, candidate__stage__in=list(GATE_OF))
    undecided = Candidate.objects.filter(project=project, pk__in=approved.values("candidate"))
    for candidate in undecided.select_related("project"):
        void_votes(candidate, why)


def unsatisfiable(gates: Gates) -> list[str]:
    """Why nobody could ever satisfy these policies with the people that there are; empty where they can (two queries)."""
    problems = []
    for gate, policy in ((Gate.SHORTLIST, gates.shortlist), (Gate.BASELINE, gates.baseline)):
        there = list(people_with([Role(role) for role in policy.roles]).values_list("username", flat=True))
        needed = policy.people_needed
        if needed <= len(there):
            continue
        why = "" if needed == policy.approvals else " for a decision against the verdict"
        wanted = " or ".join(policy.roles)
        eligible = f"only {', '.join(there)} {'has' if len(there) == 1 else 'have'}" if there else "nobody has"
        problems.append(
            f"[gate.{gate.name.lower()}] wants {needed} approval{'s' if needed > 1 else ''}{why} by people with the role "
            f"{wanted}, but {eligible} it. Ask for fewer, or give it to more: manage.py person role NAME {policy.roles[0]}"
        )
    return problems


def turns_of(user: User) -> CandidateQuerySet:
    """The candidates that wait for this person: to approve them at a gate, or to answer with another patch set.

    A query set; making it costs two queries.
    """
    held = role_of(user)
    mine = Q(patch_set__submitted_by=user) | Q(patch_set__submitted_by=None, submitted_by=user)
    wanted = Q(mine, stage__in=AWAITING_AUTHOR, archived_at=None)
    made = PatchSet.objects.filter(Q(submitted_by=user) | Q(author=user.get_username()))
    authored = Q(submitted_by=user) | Q(author=user.get_username()) | Q(pk__in=made.values("candidate"))
    comments = Comment.objects.filter(
        author=user,
        thread__candidate__reviews__decision=Decision.CHANGES,
        thread__candidate__reviews__created_at__gte=F("created_at"),
    )
    requests = Review.objects.filter(reviewer=user, decision=Decision.CHANGES)
    wrote = Note.objects.filter(written_by=user, candidate__isnull=False)
    had_made = Conversation.objects.filter(asked_by=user, candidate__isnull=False)
    notices = (
        Q(pk__in=requests.values("candidate"))
        | Q(pk__in=wrote.values("candidate"))
        | Q(pk__in=comments.values("thread__candidate"))
    )
    notices |= Q(pk__in=had_made.values("candidate"))
    for project in Project.objects.only("config", "policy_version"):
        for gate, stage in STAGE_OF.items():
            policy = project.gate_policy(gate)
            if held is None or not any(held.holds(Role(role)) for role in policy.roles):
                continue
            approved = Review.objects.standing().filter(
                reviewer=user, gate=gate, decision=Decision.APPROVE, policy_version=project.policy_version
            )
            here = Q(project=project, stage=stage) & ~Q(pk__in=approved.values("candidate"))
            here &= Q() if policy.author_may_vote else ~authored
            wanted |= here & (Q() if policy.steering_may_vote else ~notices)
    # The stages once more by themselves: so that only candidates at them are looked at, by their index.
    return Candidate.objects.filter(wanted, stage__in=AWAITING_HUMAN, project__archived_at=None)
