"""Ablation: switch landed and waiting changes on and off, to see what each brings alone, beside the others and on today's
baseline, and which of them interact.

Every design point is a tree of its own, trained like any other run. The first round has the trees that every figure is read off
(evidence/ablation.py); a second one measures pairs that depend on each other, and on fresh seeds what seems to bring nothing:
no removal is advised without that. Where it stays open, a third one has as many fresh seeds again.
"""

from collections.abc import Mapping, Sequence

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from research_app.evidence import ablation
from research_app.evidence.ablation import Known, Report, written
from research_app.evidence.ablation_design import PAIR_RUNS, FollowUp, Point, Stack, most_further_runs, points_of
from research_app.evidence.ablation_words import summary
from research_app.evidence.errors import EvidenceError
from research_app.loop.attention.attention import UNKNOWN
from research_app.loop.judge.contradictions import confirmation_of, contradict_by_ablation
from research_app.loop.judge.diverged import mark_diverged
from research_app.loop.land.on_baseline import landings_on_baseline
from research_app.loop.runs import cancel
from research_app.loop.scale_up.price import Price, pace_of, price_of
from research_app.loop.stacks.stack_trees import commits_of, members_of, queue_points, stack_of
from research_app.models import Ablation, AblationState, Candidate, Event, Message, Project, Run, Stage, State
from research_app.models.event_kinds import EventKind
from research_app.models.lease import MAX_ATTEMPTS, Lease, due, take_from_worker, unclaimed
from research_app.project_file.ladder import SMALLEST
from research_app.repository import ConflictError
from research_app.wording import counted
from training.spec import Outcome

CHECKABLE = (Stage.LANDED, Stage.LANDING, Stage.READY, Stage.SHORTLISTED, Stage.SCALING_UP)
AT_MOST = 24


class AblationRefused(ValueError):
    """These candidates cannot be checked together; the message says why and what to do."""


def ablation_price(project: Project, candidates: Sequence[Candidate], folded: bool) -> Price:
    """What the first round would cost. Raises AblationRefused. At most four queries."""
    refuse_unfit(project, candidates)
    return _price(project, sum(points_of(stack_now(candidates), folded).values()))


def further_price(project: Project, candidates: Sequence[Candidate]) -> Price:
    """The most that further rounds may cost. At most four queries."""
    return _price(project, most_further_runs(stack_now(candidates)))


def _price(project: Project, runs: int) -> Price:
    rung = project.file.rung(SMALLEST)
    return price_of(rung, pace_of(project, rung), [1.0] * runs)


def stack_now(candidates: Sequence[Candidate]) -> Stack:
    """The changes as they stand on today's baseline (two queries)."""
    landed = landings_on_baseline(candidates)
    numbers = sorted(candidate.number for candidate in candidates)
    return Stack(tuple(map(str, numbers)), Point(str(candidate.number) for candidate in candidates if candidate.pk in landed))


def refuse_unfit(project: Project, candidates: Sequence[Candidate]) -> None:
    """Raises AblationRefused where these cannot be switched on and off on today's tip. No query."""
    if not 2 <= len(candidates) <= AT_MOST:
        raise AblationRefused(f"Choose 2 to {AT_MOST} candidates; {counted(len(candidates), 'is', 'are')} chosen.")
    if strangers := [str(candidate) for candidate in candidates if candidate.stage not in CHECKABLE]:
        raise AblationRefused(f"{', '.join(strangers)}: only what landed or waits for its approval or landing can be checked.")
    if gone := [f"{candidate}: {candidate.why}" for candidate in candidates if candidate.undone]:
        raise AblationRefused(f"{' '.join(gone)} What is no longer on the baseline cannot be checked: leave it out.")


def begin_ablation(project: Project, candidates: Sequence[Candidate], folded: bool, actor: str) -> Ablation:
    """Ask for an ablation; its trees are made by a worker. Raises AblationRefused."""
    price, further = ablation_price(project, candidates, folded), further_price(project, candidates)
    with transaction.atomic():
        check = Ablation.objects.create(project=project, version=project.tip(), folded=folded, asked_by=actor)
        check.candidates.set(candidates)
        event_data = {"candidates": [str(candidate) for candidate in candidates], "runs": price.runs, "further": further.runs}
        Event.objects.record(EventKind.ABLATION_ASKED_FOR, check, actor, project, **event_data)
        Message.objects.enqueue("check_stack", check.pk)
    return check


def check_stack(check_id: int, worker: str) -> None:
    """Take an ablation one step further: make trees and queue their runs, or read them once all have ended."""
    lease = Ablation.claim(check_id, worker, Q(state=AblationState.RUNNING))
    if lease is None:
        return
    check = Ablation.objects.select_related("project", "version").get(pk=check_id)
    if check.attempts > MAX_ATTEMPTS:
        why = f"It failed {MAX_ATTEMPTS} times; the last time: {check.last_error or UNKNOWN}"
        end(check, lease, AblationState.FAILED, why, {})
        return
    members: Sequence[Candidate] = ()
    with lease.attempt(), lease.heartbeat():
        try:
            members = members_of(check)
            take_step(check, lease, members)
        except ConflictError as conflict:
            why = (
                f"{members[conflict.part]} cannot be switched without another: they alter the same lines of "
                f"{', '.join(conflict.paths)}. Leave one of them out."
            )
            end(check, lease, AblationState.FAILED, why, {})
        except EvidenceError as problem:
            end(check, lease, AblationState.FAILED, f"Its runs cannot be read: {problem}", {})


def take_step(check: Ablation, lease: Lease, members: Sequence[Candidate]) -> None:
    """Begin, wait, follow up or conclude. Raises ConflictError, whose part counts in `members`, and EvidenceError."""
    stack = stack_of(check, members)
    if not check.cells.exists():
        begin_round(check, lease, members, 1, points_of(stack, check.folded), {})
        return
    runs = list(Run.objects.filter(cell__check_of=check).select_related("cell").order_by("seed"))
    if any(run.state not in (State.FINISHED, State.STUCK) for run in runs):
        lease.release()
        return
    if drop_diverged(check):
        runs = list(Run.objects.filter(cell__check_of=check).select_related("cell").order_by("seed"))
    scores, fresh = scores_of(runs, fresh=False), scores_of(runs, fresh=True)
    noise, lower = ablation.noise_of((*scores.values(), *fresh.values()), check.project.noise()), check.project.sign > 0
    known, more = known_of(check, members), FollowUp()
    if check.rounds < 2:
        more = ablation.follow_up(stack, scores, noise, lower)
    elif check.rounds == 2:
        more = ablation.unsettled(stack, fresh, noise, known, lower)
    if more:
        pairs = dict.fromkeys(more.pairs, PAIR_RUNS)
        begin_round(check, lease, members, max(check.rounds, 1) + 1, pairs, more.fresh(stack))
    else:
        conclude(check, lease, runs, ablation.report(stack, scores, fresh, noise, known, lower, check.folded))


def drop_diverged(check: Ablation) -> bool:
    """Mark the runs that ended far from all others of their tree, so that they enter no mean; whether there were any."""
    trees = [Run.objects.filter(cell=cell) for cell in check.cells.all()]
    return sum(mark_diverged(check.project, runs) for runs in trees) > 0


def begin_round(
    check: Ablation,
    lease: Lease,
    members: Sequence[Candidate],
    number: int,
    points: Mapping[Point, int],
    fresh: Mapping[Point, int],
) -> None:
    """Make the trees of a round and queue their runs. Raises ConflictError, whose part counts in `members`."""
    commits = commits_of(check, members, {*points, *fresh})
    with transaction.atomic():
        queued = queue_points(check, commits, points, fresh=False) + queue_points(check, commits, fresh, fresh=True)
        again = ": what the first runs left open is measured again" if number > 1 else ""
        why = f"{queued} runs of {len(commits)} trees are trained{again}."
        lease.close(attempts=0, rounds=number, reason=why)


def scores_of(runs: Sequence[Run], *, fresh: bool) -> dict[Point, list[float]]:
    """Scores of the runs that ended well, by what was switched on."""
    scores: dict[Point, list[float]] = {}
    for run in runs:
        if run.cell and run.cell.fresh == fresh and run.outcome == Outcome.completed and run.score is not None:
            scores.setdefault(Point(map(str, run.cell.on)), []).append(run.score)
    return scores


def known_of(check: Ablation, members: Sequence[Candidate]) -> Known:
    """What each member was approved on, and the least that the project's policy would look at."""
    confirmed = {str(member.number): confirmation_of(member.evidence) for member in members}
    approved = {number: float(each.effect) for number, each in confirmed.items() if each}
    return Known(approved, check.project.file.decision_policy().drop)


def conclude(check: Ablation, lease: Lease, runs: Sequence[Run], report: Report) -> None:
    """Keep the report and say in a few sentences what it comes to."""
    ended = sum(run.outcome == Outcome.completed for run in runs)
    why = f"{ended} of {len(runs)} runs. {summary(report)}"
    with transaction.atomic():
        end(check, lease, AblationState.FINISHED, why, written(report, runs=ended, asked=len(runs)))
        contradict_by_ablation(check, report)


def end(check: Ablation, lease: Lease, state: AblationState, why: str, result: dict[str, object]) -> None:
    """Write the end down and its event, in one transaction."""
    with transaction.atomic():
        lease.close(state=state, reason=why, result=result, ended_at=timezone.now())
        Event.objects.record(EventKind.ABLATION_ENDED, check, "signoff", check.project, state=state, why=why)


def stop_ablation(check: Ablation, actor: str) -> None:
    """A person stops it: what is queued is not trained any more. Stopping one that ended does nothing."""
    with transaction.atomic():
        running = Ablation.objects.filter(pk=check.pk, state=AblationState.RUNNING)
        why = f"Stopped by {actor}."
        if take_from_worker(running, state=AblationState.STOPPED, reason=why, ended_at=timezone.now()):
            cancel(Run.objects.queued().filter(cell__check_of=check), why)
            Event.objects.record(EventKind.ABLATION_ENDED, check, actor, check.project, state=AblationState.STOPPED, why=why)


def wake_ablations() -> None:
    """Checks without trees, or whose runs have all ended, that nobody works on."""
    waiting = Ablation.objects.filter(unclaimed(), due(), state=AblationState.RUNNING)
    busy = Run.objects.filter(cell__isnull=False).exclude(state__in=(State.FINISHED, State.STUCK)).values("cell__check_of")
    for pk in waiting.exclude(pk__in=busy).values_list("pk", flat=True):
        Message.objects.wake("check_stack", pk)
