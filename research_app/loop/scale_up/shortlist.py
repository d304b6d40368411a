"""Shortlist: what a researcher's click at gate 1 does. Nothing is trained at a larger scale, and no money spent, without it.

A pick is a candidate with the rungs to scale it up to. All picks of one click are approved together or not at all, against
the budget that is left at that moment; runs of the baseline that several candidates share are paid for once.
"""

import itertools
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass

from django.contrib.auth.models import User
from django.db import transaction

from agent.diff import parse_diff
from research_app.access import may_operate
from research_app.loop.review.review import ReviewRefused, Seen, StalePage, cast, lock, locked
from research_app.loop.review.votes import void_votes
from research_app.loop.scale_up.price import Price, account_of, pace_of, price_of, shared_shares, total
from research_app.loop.scale_up.scale_up import passed_rungs, queue_rung, rungs_left
from research_app.loop.stacks.stack import open_stacks_of
from research_app.models import BaselineVersion, Candidate, Decision, Event, Gate, Project, Run, ScaleUp, Stage
from research_app.models.documents.approved_rung import ApprovedRung
from research_app.models.documents.typed_column import rows_written
from research_app.models.event_kinds import EventKind
from research_app.models.scale_up import seeds_of
from research_app.project_file.ladder import SMALLEST
from training.spec import Outcome


@dataclass(frozen=True)
class Plan:
    """One rung of a scale-up, with the seeds of each arm."""

    rung: str
    seeds: int


@dataclass(frozen=True)
class Pick:
    """A candidate as the person saw it, and the rungs that it is to be scaled up to, in order."""

    candidate: Candidate
    seen: Seen
    plans: Sequence[Plan]


@dataclass(frozen=True)
class Conflict:
    """Another candidate that alters the same: both cannot count in full, and may not even apply together."""

    other: Candidate
    constants: Sequence[str]
    lines: Sequence[str]


@dataclass(frozen=True)
class Quote:
    """What picks cost: each candidate's own runs by rung, and the baseline's runs that they share."""

    own: Sequence[Sequence[tuple[Plan, Price]]]
    shared: Price

    @property
    def whole(self) -> Price:
        return total([self.shared, *(price for plans in self.own for _, price in plans)])


def quote(
    project: Project,
    picks: Sequence[tuple[BaselineVersion, Sequence[Plan]]],
    trained: Sequence[Mapping[str, set[int]]] = (),
) -> Quote:
    """The price of some scale-ups together, each from its base. A few queries for every rung and base.

    `trained` holds, for each pick, the seeds of its own runs that are there already, by rung: they are not paid for again.
    """
    rungs = {rung.name: rung for rung in project.file.upper_rungs}
    paces = {name: pace_of(project, rungs[name]) for name in {plan.rung for _, plans in picks for plan in plans}}
    known = trained or [{}] * len(picks)
    own = [
        [(plan, price_of(rungs[plan.rung], paces[plan.rung], [1.0] * len(lacking(plan, there)))) for plan in plans]
        for (_, plans), there in zip(picks, known, strict=True)
    ]
    most: dict[tuple[int, str], tuple[BaselineVersion, int]] = {}
    for base, plans in picks:
        for plan in plans:
            _, seeds = most.get((base.pk, plan.rung), (base, 0))
            most[base.pk, plan.rung] = base, max(seeds, plan.seeds)
    shared = [
        price_of(rungs[name], paces[name], shared_shares(base, rungs[name], seeds)) for (_, name), (base, seeds) in most.items()
    ]
    return Quote(own, total(shared))


def lacking(plan: Plan, trained: Mapping[str, set[int]]) -> set[int]:
    """Seeds of a rung of which there is no run yet."""
    return set(seeds_of(plan.seeds)) - trained.get(plan.rung, set())


def trained_seeds(candidates: Sequence[Candidate]) -> list[Mapping[str, set[int]]]:
    """For each candidate the seeds of its current patch set's runs on larger rungs, by rung (one query).

    Those that a person stopped would be trained again, so they are left out.
    """
    seeds: dict[int, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    runs = Run.objects.filter(patch_set__in=[c.patch_set_id for c in candidates]).exclude(scale=SMALLEST)
    for pk, scale, seed in runs.exclude(outcome=Outcome.cancelled).values_list("patch_set", "scale", "seed"):
        seeds[int(pk or 0)][scale].add(seed)
    return [seeds[c.patch_set_id or 0] for c in candidates]


def approve_scale_ups(project: Project, picks: Sequence[Pick], reviewer: User, reason: str = "") -> list[ScaleUp]:
    """Approve scale-ups and queue their first rungs; those that still lack other people's approvals wait on the shortlist.

    Returns the scale-ups that began. Raises ReviewRefused: nothing picked, a plan that the ladder does not have, a budget
    that does not suffice, a person who may not; StalePage where a candidate is not what the person saw. Then nothing is done.
    """
    if not picks:
        raise ReviewRefused("Pick at least one candidate and one rung.")
    passed = passed_rungs([pick.candidate for pick in picks])
    for pick in picks:
        check_plans(pick, passed[pick.candidate.pk])
    with transaction.atomic():
        project = Project.objects.select_for_update().get(pk=project.pk)  # two clicks at once must not spend the same money
        rows = [locked(pick.candidate, pick.seen, Gate.SHORTLIST) for pick in picks]
        refuse_paid_twice(rows)
        price = quote(
            project, [(row.revision.base, pick.plans) for row, pick in zip(rows, picks, strict=True)], trained_seeds(rows)
        )
        if excess := account_of(project).excess(price.whole):
            raise ReviewRefused(excess)
        begun = []
        for row, plans in zip(rows, price.own, strict=True):
            if cast(row, reviewer, Decision.APPROVE, reason, Gate.SHORTLIST).complete:
                begun.append(begin(row, plans, reviewer))
    return begun


def refuse_paid_twice(rows: Sequence[Candidate]) -> None:
    """Raises ReviewRefused for what is part of a stack that may still be scaled up, and for a stack with such a part.

    At most four queries.
    """
    covered = open_stacks_of(rows)
    for row in rows:
        for stack in covered.get(row.pk, [])[:1]:
            raise ReviewRefused(
                f"{row} is covered by the stack {stack}, which is {stack.get_stage_display()}: both together would be paid for "
                f"twice. Scale up {stack}, or reject it first to scale {row} up by itself."
            )
    scaled_up = Candidate.objects.filter(stacks__in=rows, stage=Stage.SCALING_UP).first()
    if scaled_up:
        raise ReviewRefused(f"{scaled_up}, which is part of the stack, is scaling up now. Wait for its end, or stop it first.")


def check_plans(pick: Pick, passed: Container[str] = ()) -> None:
    """Raises ReviewRefused for rungs that the ladder does not have, are out of order or below one that it passed, or have too
    few seeds."""
    names = [rung.name for rung in pick.candidate.project.file.upper_rungs]
    chosen = [plan.rung for plan in pick.plans]
    if not chosen:
        raise ReviewRefused(f"Pick a rung for {pick.candidate}: {', '.join(names) or 'this project has none'}.")
    if unknown := [name for name in chosen if name not in names]:
        raise ReviewRefused(f"The ladder has no rung {', '.join(unknown)}; it has {', '.join(names)}.")
    if [names.index(name) for name in chosen] != sorted({names.index(name) for name in chosen}):
        raise ReviewRefused(f"The rungs of {pick.candidate} must be in the ladder's order, each once.")
    left = [rung.name for rung in rungs_left(pick.candidate.project.file.upper_rungs, passed)]
    if behind := [name for name in chosen if name not in left]:
        raise ReviewRefused(
            f"{pick.candidate} is past {', '.join(behind)} already. "
            + (f"Rungs left: {', '.join(left)}." if left else "No larger rung is left.")
        )
    if any(not 2 <= plan.seeds <= 64 for plan in pick.plans):
        raise ReviewRefused("Each arm of a rung needs 2 to 64 seeds: a spread cannot be told from one.")


def begin(row: Candidate, plans: Sequence[tuple[Plan, Price]], reviewer: User) -> ScaleUp:
    """Write an approved scale-up down and queue its first rung. In a transaction."""
    rungs = rows_written([ApprovedRung(rung=plan.rung, seeds=plan.seeds, **asdict(price)) for plan, price in plans])
    step = ScaleUp.objects.create(
        project=row.project, candidate=row, patch_set=row.revision, rungs=rungs, rung=plans[0][0].rung, approved_by=reviewer
    )
    way = " → ".join(plan.rung for plan, _ in plans)
    Event.objects.record(EventKind.SCALE_UP_APPROVED, row, reviewer.get_username(), row.project, rungs=rungs)
    row.move(Stage.SCALING_UP, f"{reviewer.get_username()} approved a scale-up: {way}.", actor=reviewer.get_username())
    queue_rung(step)
    return step


def skip_scale_up(candidate: Candidate, reviewer: User, seen: Seen, reason: str) -> bool:
    """Send a candidate to gate 2 without scale-up; whether it went (other approvals may be missing).

    Raises ReviewRefused without a written reason or from a person who may not, StalePage.
    """
    if not reason.strip():
        raise ReviewRefused("Say why it needs no scale-up: the reason is shown at gate 2.")
    with transaction.atomic():
        row = locked(candidate, seen, Gate.SHORTLIST)
        if not cast(row, reviewer, Decision.APPROVE, reason, Gate.SHORTLIST).complete:
            return False
        name = reviewer.get_username()
        Event.objects.record(EventKind.SCALE_UP_SKIPPED, row, name, row.project, reason=reason.strip())
        row.move(Stage.READY, f"{name} sent it on without a scale-up: {reason.strip()}", actor=name)
    return True


def back_to_shortlist(candidate: Candidate, actor: User) -> None:
    """Bring a candidate that waits at gate 2 back to gate 1, so that it can be scaled up further; votes given there are void.

    Raises ReviewRefused where there is no larger rung.
    """
    if not may_operate(actor):
        raise ReviewRefused("Your account may look, but not steer. Ask an administrator for the role “operator”.")
    with transaction.atomic():
        row = lock(candidate)
        if row.stage != Stage.READY:
            raise StalePage(f"{row} is {row.get_stage_display()} now: only what waits at gate 2 can go back to the shortlist.")
        if not row.project.file.upper_rungs:
            raise ReviewRefused("This project has no ladder: add [[ladder]] rungs to its project file first.")
        passed = passed_rungs([row])[row.pk]
        if not rungs_left(row.project.file.upper_rungs, passed):
            raise ReviewRefused(f"{row} passed {row.project.file.rungs[-1].name}, the largest rung: no larger one is left.")
        why = f"Back on the shortlist: {actor.get_username()} wants to see it at a larger scale."
        void_votes(row, why)
        row.move(Stage.SHORTLISTED, why, actor=actor.get_username())


def conflicts(
    listed: Sequence[Candidate], covered: Mapping[int, Sequence[Candidate]] | None = None
) -> dict[int, list[Conflict]]:
    """Which of these candidates alter the same lines or constants, by the key of the candidate.

    A stack alters what its members alter, which is no conflict; `covered` holds the open stacks of each candidate that is in
    one (without it: at most three queries).
    """
    inside = open_stacks_of(listed) if covered is None else covered
    conflicts_of: dict[int, list[Conflict]] = {candidate.pk: [] for candidate in listed}
    lines = {candidate.pk: old_lines(candidate.revision.diff) for candidate in listed}
    near = {pk: beside(theirs) for pk, theirs in lines.items()}
    constants = {candidate.pk: set(candidate.revision.touched.split()) for candidate in listed}
    for one, other in itertools.combinations(listed, 2):
        if other in inside.get(one.pk, ()) or one in inside.get(other.pk, ()):
            continue
        both = sorted(constants[one.pk] & constants[other.pk])
        same = one.revision.base_commit == other.revision.base_commit
        at = sorted(lines[one.pk] & near[other.pk]) if same else []
        if both or at:
            places = [f"{path}:{line}" for path, line in at[:3]]
            conflicts_of[one.pk].append(Conflict(other, tuple(both), tuple(places)))
            conflicts_of[other.pk].append(Conflict(one, tuple(both), tuple(places)))
    return conflicts_of


def beside(lines: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """These lines and their neighbours: two changes of lines next to each other cannot be merged."""
    return {(path, line + step) for path, line in lines for step in (-1, 0, 1)}


def old_lines(diff: str) -> set[tuple[str, int]]:
    """(path, line of the base) that a unified diff removes, or behind which it adds."""
    lines: set[tuple[str, int]] = set()
    for file in parse_diff(diff):
        path = file.old_path or file.path
        for hunk in file.hunks:
            line = hunk.old - 1  # the last line of the base that was passed
            for each in hunk.lines:
                line = line if each.old is None else each.old
                if each.kind != "context":
                    lines.add((path, max(0, line)))
    return lines
