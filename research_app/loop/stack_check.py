"""Stack check: switch landed and approved changes on and off together, to see what each adds and whether the bundle adds up.

Every row of the design is a tree of its own: the tip, with some landed changes taken back and some approved ones put in. It
is trained like any other run. What comes of it: main effects, the bundle against the sum, and what nobody would miss.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from research_app.evidence.errors import EvidenceError
from research_app.evidence.noise import Noise
from research_app.evidence.stacking import StackDesign, check_bundle, design, main_effects
from research_app.ladder import SMALLEST
from research_app.loop.attention import UNKNOWN
from research_app.loop.doubt import doubt_by_check
from research_app.loop.price import Price, pace_of, price_of
from research_app.loop.runs import cancel, request_run
from research_app.models import (
    BaselineVersion,
    Candidate,
    CheckState,
    Event,
    Message,
    Project,
    Purpose,
    Run,
    StackCell,
    StackCheck,
    Stage,
    State,
)
from research_app.models.lease import MAX_ATTEMPTS, Lease, LeaseLost, due, unclaimed
from research_app.repository import ConflictError
from training.spec import Outcome

CHECKABLE = (Stage.LANDED, Stage.LANDING, Stage.READY, Stage.SHORTLISTED, Stage.SCALING_UP)
BUNDLE_SEEDS = 3
"""Runs of the whole bundle, and of the tree without any of it; every other row has one."""
FIRST_SEED = 5_000_000
AT_MOST = 24


class CheckRefused(ValueError):
    """These candidates cannot be checked together; the message says why and what to do."""


def rows_of(names: Sequence[str], folded: bool) -> tuple[StackDesign, list[frozenset[str]]]:
    """The design, and its rows with the bare tree added where the design has none. Raises BadDesign."""
    plan = design(names, folded=folded)
    rows = list(plan.runs)
    return plan, rows if frozenset() in rows else [*rows, frozenset()]


def repeats_of(rows: Sequence[frozenset[str]], members: int) -> list[int]:
    """How many runs each row gets; small designs have the whole bundle in more than one, of which the first is repeated."""
    first = {size: next((n for n, row in enumerate(rows) if len(row) == size), None) for size in (0, members)}
    return [BUNDLE_SEEDS if n in first.values() else 1 for n in range(len(rows))]


def check_price(project: Project, candidates: Sequence[Candidate], folded: bool) -> Price:
    """What it would cost. Raises CheckRefused. At most three queries."""
    refuse_unfit(project, candidates)
    _, rows = rows_of([str(candidate.number) for candidate in candidates], folded)
    rung = project.file.rung(SMALLEST)
    return price_of(rung, pace_of(project, rung), [1.0] * sum(repeats_of(rows, len(candidates))))


def refuse_unfit(project: Project, candidates: Sequence[Candidate]) -> None:
    """Raises CheckRefused where these cannot be switched on and off on today's tip (one query)."""
    if not 2 <= len(candidates) <= AT_MOST:
        raise CheckRefused(f"Choose 2 to {AT_MOST} candidates; these are {len(candidates)}.")
    if strangers := [str(candidate) for candidate in candidates if candidate.stage not in CHECKABLE]:
        raise CheckRefused(f"{', '.join(strangers)}: only what landed or waits for its approval or landing can be checked.")
    if gone := [f"{candidate}: {candidate.why}" for candidate in candidates if candidate.undone]:
        raise CheckRefused(f"{' '.join(gone)} What is no longer on the baseline cannot be checked: leave it out.")


def begin_check(project: Project, candidates: Sequence[Candidate], folded: bool, actor: str) -> StackCheck:
    """Ask for a stack check; its trees are made by a worker. Raises CheckRefused."""
    price = check_price(project, candidates, folded)
    with transaction.atomic():
        check = StackCheck.objects.create(project=project, version=project.tip(), folded=folded, asked_by=actor)
        check.candidates.set(candidates)
        told = {"candidates": [str(candidate) for candidate in candidates], "runs": price.runs}
        Event.objects.record("stack check asked for", check, actor, project, **told)
        Message.objects.enqueue("check_stack", check.pk)
    return check


def check_stack(check_id: int, worker: str) -> None:
    """Take a stack check one step further: make its trees and queue its runs, or weigh them once all have ended."""
    lease = StackCheck.claim(check_id, worker, Q(state=CheckState.RUNNING))
    if lease is None:
        return
    check = StackCheck.objects.select_related("project", "version").get(pk=check_id)
    if check.attempts > MAX_ATTEMPTS:
        end(
            check,
            lease,
            CheckState.FAILED,
            f"It failed {MAX_ATTEMPTS} times; the last time: {check.last_error or UNKNOWN}",
            {},
        )
        return
    with lease.heartbeat():
        try:
            if check.cells.exists():
                weigh(check, lease)
            else:
                build(check, lease)
        except ConflictError as conflict:
            candidate = order_of(check.candidates.all())[conflict.part]
            paths = ", ".join(conflict.paths)
            why = (
                f"{candidate} cannot be switched without another: they alter the same lines of {paths}. Leave one of them out."
            )
            end(check, lease, CheckState.FAILED, why, {})
        except LeaseLost:
            raise
        except Exception as error:
            lease.fail(error)
            raise


def order_of(candidates: Sequence[Candidate] | Any) -> list[Candidate]:
    """In the order in which their changes go onto the tip: what landed last is taken back first; then what has not landed."""
    rows = list(candidates.select_related("patch_set") if hasattr(candidates, "select_related") else candidates)
    landed = [row for row in rows if row.stage == Stage.LANDED]
    landed.sort(key=lambda row: row.stage_since, reverse=True)
    return landed + sorted((row for row in rows if row.stage != Stage.LANDED), key=lambda row: row.number)


def build(check: StackCheck, lease: Lease) -> None:
    """Make the tree of every row and queue its runs. Raises ConflictError, whose part counts in `order_of`."""
    project, version = check.project, check.version
    members = order_of(check.candidates.all())
    _, rows = rows_of([str(member.number) for member in by_number(members)], check.folded)
    commits = [commit_of(project, version, members, row) for row in rows]
    for number, commit in enumerate(commits):
        project.repository.keep(f"stacks/{check.pk}/{number}", commit)
    with transaction.atomic():
        lease.write(lease_until=None, leased_by="", attempts=0, reason=f"{len(rows)} trees are trained.")
        repeats = repeats_of(rows, len(members))
        for number, (row, commit) in enumerate(zip(rows, commits, strict=True)):
            on = sorted(int(name) for name in row)
            cell = StackCell.objects.create(check_of=check, row=number, on=on, commit=commit)
            for repeat in range(repeats[number]):
                seed = FIRST_SEED + 1000 * check.pk + 10 * number + repeat
                request_run(project, version, None, Purpose.STACK, seed, cell=cell)


def by_number(members: Sequence[Candidate]) -> list[Candidate]:
    """In the order in which the design names them."""
    return sorted(members, key=lambda member: member.number)


def commit_of(project: Project, version: BaselineVersion, members: Sequence[Candidate], on: frozenset[str]) -> str:
    """The tip with just these changes on. Raises ConflictError, whose part counts in `members`."""
    parts, which = [], []
    for number, member in enumerate(members):
        patch_set, switched_on = member.revision, str(member.number) in on
        if member.stage == Stage.LANDED and not switched_on:
            parts.append((patch_set.commit, patch_set.base_commit))  # swapped ends take it back
            which.append(number)
        elif member.stage != Stage.LANDED and switched_on:
            parts.append((patch_set.base_commit, patch_set.commit))
            which.append(number)
    try:
        return project.repository.combined(version.commit, parts)
    except ConflictError as conflict:
        raise ConflictError(str(conflict), conflict.paths, part=which[conflict.part]) from None


def weigh(check: StackCheck, lease: Lease) -> None:
    """Main effects, bundle against sum, and the landings that this speaks against; nothing while runs are under way."""
    runs = list(Run.objects.filter(cell__check_of=check).select_related("cell").order_by("seed"))
    noise = check.project.noise()
    if any(run.state not in (State.FINISHED, State.STUCK) for run in runs):
        lease.release()
        return
    if noise is None:
        end(check, lease, CheckState.FAILED, f"Nothing can be told from chance: {check.project.why_no_noise()}.", {})
        return
    members = by_number(list(check.candidates.select_related("evidence")))
    plan, _ = rows_of([str(member.number) for member in members], check.folded)
    scores: dict[int, list[float]] = {}
    for run in runs:
        if run.cell and run.outcome == Outcome.completed and run.score is not None:
            scores.setdefault(run.cell.row, []).append(run.score)
    lower = check.project.sign > 0
    try:
        singles = {row: found[0] for row, found in scores.items() if row < len(plan.runs)}
        effects = main_effects(plan, singles, noise.sigma, lower)
    except EvidenceError as problem:
        end(check, lease, CheckState.FAILED, f"The runs do not tell the changes apart: {problem}", {})
        return
    ended, asked = len([run for run in runs if run.outcome == Outcome.completed]), len(runs)
    result = {
        "effects": [asdict(effect) | {"unhelpful": effect.unhelpful} for effect in effects],
        "bundle": bundle_of(check, members, scores, noise, lower),
        "sigma": noise.sigma,
        "runs": ended,
        "asked": asked,
    }
    missed = [f"C-{effect.change}" for effect in effects if effect.unhelpful]
    why = f"{ended} of {asked} runs. " + (f"Not shown to help: {', '.join(missed)}." if missed else "Each of them helps.")
    end(check, lease, CheckState.FINISHED, why, result)


def bundle_of(
    check: StackCheck, members: Sequence[Candidate], scores: Mapping[int, list[float]], noise: Noise, lower: bool
) -> dict[str, Any]:
    """The bundle's measured gain against the sum of what each was confirmed to gain alone; or why that cannot be said."""
    confirmed = {m.number: m.evidence.numbers.get("confirmation") for m in members if m.evidence}
    if lacking := [str(member) for member in members if not confirmed.get(member.number)]:
        return {"sentence": f"{', '.join(lacking)} has no confirmed effect of its own, so there is no sum to compare with."}
    whole = [score for cell in check.cells.all() if len(cell.on) == len(members) for score in scores.get(cell.row, [])]
    bare = [score for cell in check.cells.all() if not cell.on for score in scores.get(cell.row, [])]
    if not whole or not bare:
        return {"sentence": "The runs of the whole bundle, or of the tree without it, did not end with a score."}
    singles = [(confirmed[m.number]["effect"], confirmed[m.number]["standard_error"]) for m in members]
    return asdict(check_bundle(singles, noise.sigma, bare, whole, lower))


def end(check: StackCheck, lease: Lease, state: CheckState, why: str, result: dict[str, Any]) -> None:
    """Write the end down, its event, and what it says against landings, in one transaction."""
    with transaction.atomic():
        lease.write(state=state, reason=why, result=result, ended_at=timezone.now(), lease_until=None, leased_by="")
        Event.objects.record("stack check ended", check, "signoff", check.project, state=state, why=why)
        doubt_by_check(check, result)


def stop_check(check: StackCheck, actor: str) -> None:
    """A person stops it: what is queued is not trained any more. Stopping one that ended does nothing."""
    with transaction.atomic():
        running = StackCheck.objects.filter(pk=check.pk, state=CheckState.RUNNING)
        why = f"Stopped by {actor}."
        if running.update(state=CheckState.STOPPED, reason=why, ended_at=timezone.now(), lease_until=None):
            cancel(Run.objects.filter(cell__check_of=check, state=State.QUEUED), why)
            Event.objects.record("stack check ended", check, actor, check.project, state=CheckState.STOPPED, why=why)


def wake_stack_checks() -> None:
    """Checks without trees, or whose runs have all ended, that nobody works on."""
    waiting = StackCheck.objects.filter(unclaimed(), due(), state=CheckState.RUNNING)
    busy = Run.objects.filter(cell__isnull=False).exclude(state__in=(State.FINISHED, State.STUCK)).values("cell__check_of")
    for pk in waiting.exclude(pk__in=busy).values_list("pk", flat=True):
        Message.objects.wake("check_stack", pk)
