"""What waits at the gates: whose turn it is, why, on what evidence, and at what cost. For many candidates in few queries."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import Max

from research_app.loop.review.votes import GATE_OF
from research_app.loop.runs import NOTHING, Cost
from research_app.loop.scale_up.price import pace_of, price_of, prices_of
from research_app.loop.scale_up.scale_up import passed_rungs, rungs_left
from research_app.loop.stacks.stack import open_stacks_of
from research_app.models import BaselineVersion, Candidate, Decision, Gate, Project, Review, Stage
from research_app.project_file.gates_section import GatePolicy
from research_app.project_file.ladder import Rung
from research_app.project_file.project_file import ProjectFile
from research_app.web.shared import figures
from research_app.web.shared.effects import Row, rows
from research_app.wording import counted


@dataclass(frozen=True)
class Waiting:
    """One candidate at a gate, as the inbox shows it to one person."""

    row: Row
    gate: Gate
    mine: bool
    notes: Sequence[str]  # voided votes, votes that are missing, why it is not this person's turn
    cost: str

    @property
    def candidate(self) -> Candidate:
        return self.row.candidate

    @property
    def what(self) -> str:
        """What a person is asked for."""
        return {Gate.SHORTLIST: "gate 1: scale it up?", Gate.BASELINE: "gate 2: into the baseline?"}[self.gate]


@dataclass(frozen=True)
class Votes:
    """Approvals of one candidate at the gate that it stands at: those that count, and those that something made void."""

    approvals: Sequence[Review]
    voided: Sequence[Review]


def waiting_for(user: User, mine: Collection[int], candidates: Sequence[Candidate], costs: Mapping[int, Cost]) -> list[Waiting]:
    """Everything that the inbox says of these candidates to this person; `mine`: keys of those that it is their turn on.

    `costs`: what their runs took. At most four queries, and two for each rung that candidates on a shortlist can
    scale up to next, however many candidates there are.
    """
    if not candidates:
        return []
    votes, tips = votes_on(candidates), tips_of({c.project_id for c in candidates})
    projects = {c.project_id: c.project for c in candidates}
    files: dict[int, ProjectFile] = {pk: project.file for pk, project in projects.items()}
    prices = {pk: prices_of(project) for pk, project in projects.items()}
    shortlisted = [c for c in candidates if c.stage == Stage.SHORTLISTED]
    covered = open_stacks_of(shortlisted)
    scale_ups = next_scale_ups_of([c for c in shortlisted if c.pk not in covered], files)
    entries = []
    for row in rows(candidates, costs):
        candidate = row.candidate
        gate, file = GATE_OF[Stage(candidate.stage)], files[candidate.project_id]
        notes = notes_on(user, candidate, file.gate.of(gate), votes[candidate.pk], candidate.pk in mine)
        if candidate.evidence and candidate.evidence.quarantined:
            notes.append("Large or risky: look. It is in quarantine: its page says why, and approving it needs a reason.")
        notes += [f"Covered by the stack {stack} ({stack.get_stage_display()})." for stack in covered.get(candidate.pk, ())]
        paid = costs.get(candidate.pk, NOTHING).money(prices[candidate.project_id])
        cost = cost_of(row, paid, file, tips.get(candidate.project_id), scale_ups.get(candidate.pk, ""))
        entries.append(Waiting(row, gate, candidate.pk in mine, notes, cost))
    return entries


def votes_on(candidates: Sequence[Candidate]) -> dict[int, Votes]:
    """The votes on each candidate at the gate where it is. One query."""
    reviews: dict[int, list[Review]] = defaultdict(list)
    votes = Review.objects.filter(candidate__in=candidates, decision=Decision.APPROVE).select_related("reviewer")
    for review in votes.order_by("pk"):
        reviews[review.candidate_id].append(review)
    return {candidate.pk: _votes(candidate, reviews[candidate.pk]) for candidate in candidates}


def _votes(candidate: Candidate, reviews: Sequence[Review]) -> Votes:
    gate, version = GATE_OF[Stage(candidate.stage)], candidate.project.policy_version
    here = [review for review in reviews if review.gate == gate]
    standing = [review for review in here if review.voided_at is None and review.policy_version == version]
    again = {review.reviewer_id for review in standing}
    voided = {review.reviewer_id: review for review in here if review.voided_at and review.reviewer_id not in again}
    lost = [review for review in voided.values() if not by_themselves(review)]
    return Votes(standing, lost)


def by_themselves(review: Review) -> bool:
    """Whether the reviewer took the vote back or voted anew, so that there is nothing to tell them."""
    name = review.reviewer.get_username()
    return review.void_reason.startswith((f"Withdrawn by {name}", f"{name} decided anew"))


def notes_on(user: User, candidate: Candidate, policy: GatePolicy, votes: Votes, mine: bool) -> list[str]:
    """What to say about the votes, and why it is not this person's turn where it is not. No query."""
    notes = [f"{whose(review, user)} approval is void: {review.void_reason}" for review in votes.voided]
    needed = policy.approvals_needed(bool(candidate.reason_needed))
    if votes.approvals or needed > 1:
        names = ", ".join(review.reviewer.get_username() for review in votes.approvals) or "nobody yet"
        notes.append(f"{len(votes.approvals)} of {needed} approvals: {names}.")
    if any(review.reviewer_id == user.pk for review in votes.approvals):
        notes.append("You approved; it waits for somebody else.")
    elif not mine:
        notes.append(f"It waits for somebody else with the role {' or '.join(policy.roles)}.")
    return notes


def whose(review: Review, user: User) -> str:
    """A vote's owner, as this person calls them."""
    return "Your" if review.reviewer_id == user.pk else f"{review.reviewer.get_username()}’s"


def tips_of(projects: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Key and number of the newest baseline version of each project. One query."""
    newest = BaselineVersion.objects.filter(project__in=projects).order_by().values_list("project_id")
    return {project: (pk, number) for project, pk, number in newest.annotate(Max("pk"), Max("number"))}


def next_scale_ups_of(candidates: Sequence[Candidate], files: Mapping[int, ProjectFile]) -> dict[int, str]:
    """What a candidate's own runs on its next rung take, in words, by candidate; empty where no rung is left above it.

    One query, and two for each rung that somebody can scale up to next.
    """
    if not candidates:
        return {}
    passed, costs, steps = passed_rungs(candidates), dict[tuple[int, str], str](), dict[int, str]()
    for candidate in candidates:
        left = rungs_left(files[candidate.project_id].upper_rungs, passed[candidate.pk])
        if left:
            key = candidate.project_id, left[0].name
            if key not in costs:
                costs[key] = scale_up_cost(candidate.project, files[candidate.project_id], left[0])
            steps[candidate.pk] = costs[key]
    return steps


def scale_up_cost(project: Project, file: ProjectFile, rung: Rung) -> str:
    """What a candidate's own runs on a rung take, in words. At most two queries."""
    price = price_of(rung, pace_of(project, rung), [1.0] * rung.seeds)
    took = f"at most {figures.duration(price.at_most * 3600)}" if price.hours is None else figures.duration(price.hours * 3600)
    return f"{rung.name}: {counted(price.runs, 'run')}, {took}{_money(price.counted_money, file)}"


def cost_of(row: Row, paid: float, file: ProjectFile, tip: tuple[int, int] | None, scale_up: str) -> str:
    """What it took so far, and what the next step takes. `paid`: its runs in money, each at the price of its rung."""
    candidate = row.candidate
    parts = [f"{figures.duration(row.spent)} of device time{_money(paid, file)}"] if row.spent else []
    if candidate.stage == Stage.READY and candidate.patch_set and tip and candidate.patch_set.base_id != tip[0]:
        parts.append(f"judged again first: the baseline is {tip[1]} now")
    if candidate.stage == Stage.SHORTLISTED and scale_up:
        parts.append(scale_up)
    return "; ".join(parts)


def _money(worth: float, file: ProjectFile) -> str:
    """At the project's rate; empty where it names none or where it is less than a cent."""
    return f", {worth:.2f} {file.scale_up.currency}" if worth >= 0.005 else ""
