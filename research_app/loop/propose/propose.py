"""Propose: keep enough candidates ahead of the devices, so that a device never waits for a proposer.

Proposers know nothing of the database: they get a context and return a proposal. Which proposer's turn it is, what was
tried and what is wanted stands in rows.
"""

import logging
import random
from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from agent.failure import ConversationFailed
from agent.proposal import Context, NothingToPropose, Proposal, Tried
from agent.same import propose_nothing
from agent.steering import arms_of, drawn_category, drawn_mode
from research_app.loop.attention.attention import UNKNOWN
from research_app.loop.attention.baseline_trouble import troubles_of_newest
from research_app.loop.disclosure import effect_told, interval_told, is_no_op, why_told
from research_app.loop.propose.near_misses import AUTHOR as COMBINE
from research_app.loop.propose.near_misses import joined, near_misses, next_combination
from research_app.loop.propose.registered import PROPOSERS
from research_app.loop.propose.whose_turn import busy, on_pause, state_after, whose_turn, why_not
from research_app.loop.train.launched import launched_of
from research_app.models import (
    Author,
    BaselineVersion,
    Candidate,
    Conversation,
    ConversationState,
    Device,
    Event,
    Kind,
    Message,
    ProgramVersion,
    Project,
    Round,
    Stage,
    Turn,
    TurnState,
    Verdict,
)
from research_app.models.candidate import IDLE, LONG
from research_app.models.event_kinds import EventKind
from research_app.models.lease import MAX_ATTEMPTS, Lease, take_from_worker
from research_app.plain_text import storable, without_refused

logger = logging.getLogger(__name__)


WAITING_LIMIT = 25
"""An open-ended round stops proposing while so many candidates wait for a person: nobody reads a longer list."""

UNCLAIMED = timedelta(seconds=10)
"""A turn that nobody took for so long was opened by a worker that died."""
MEASURED = (Stage.PROPOSED, Stage.CHECKING, Stage.SCREENING, Stage.REPLICATING, Stage.CONFIRMING)
"""Stages in which nothing is decided yet."""


TAKEN_BACK = "taken_back"
"""What agents are told as the stage of a change that landed and is no longer part of the baseline."""


def open_round(project: Project, proposers: Sequence[str], wanted: int | None, actor: str) -> Round:
    """Ask for a number of candidates, or for candidates until the round is closed. Raises UnknownVariant."""
    for name in proposers:
        PROPOSERS.named(name)
    with transaction.atomic():
        round_ = Round.objects.create(project=project, proposers=list(proposers), wanted=wanted, opened_by=actor)
        Event.objects.record(EventKind.ROUND_OPENED, round_, actor, project, wanted=wanted, proposers=list(proposers))
        Message.objects.enqueue("propose", round_.pk, "agent")
    return round_


def close_round(round_: Round, note: str, actor: str = "signoff") -> None:
    """Stop proposing for this round; its candidates go on. A second close does nothing."""
    with transaction.atomic():
        if Round.objects.filter(pk=round_.pk, closed_at=None).update(closed_at=timezone.now(), note=note[:500]):
            Event.objects.record(EventKind.ROUND_CLOSED, round_, actor, round_.project, note=note)


def pause(project: Project, actor: str) -> None:
    """Propose nothing more until resumed. What is under way goes on."""
    _set_paused(project, True, actor)


def resume(project: Project, actor: str) -> None:
    """Propose again; an archived project is brought back first."""
    _set_paused(project, False, actor)
    for round_ in Round.objects.open().filter(project=project):
        Message.objects.enqueue("propose", round_.pk, "agent")


def _set_paused(project: Project, paused: bool, actor: str) -> None:
    with transaction.atomic():
        wanted = Project.objects.filter(pk=project.pk, paused=not paused)
        if (wanted if paused else wanted.filter(archived_at=None)).update(paused=paused):
            Event.objects.record(EventKind.PROJECT_PAUSED if paused else EventKind.PROJECT_RESUMED, project, actor, project)


def propose(round_id: int, worker: str) -> None:
    """One turn of one proposer, if devices will soon want a candidate; wakes the next, which need not wait for this one."""
    round_ = Round.objects.select_related("project").get(pk=round_id)
    turn = lost_turn(round_, ~Q(proposer__in=busy(round_))) or open_turn(round_)
    if turn is None:
        return
    lease = Turn.claim(turn.pk, worker, Q(state=TurnState.WORKING))
    if lease is None:
        return
    if turn.attempts >= MAX_ATTEMPTS:
        why = f"It failed {turn.attempts} times; the last time: {turn.last_error or UNKNOWN}"
        end_turn(turn, lease, TurnState.FAILED, why)
        return
    with lease.attempt(), lease.heartbeat():
        take(turn, lease)


def take(turn: Turn, lease: Lease) -> None:
    """Ask the proposer whose turn it is, and enter what it proposes. Named failures end the turn; others raise."""
    project, aa = turn.project, is_aa(turn.project, turn.number)
    known = PROPOSERS.named(turn.proposer)
    proposer = known.make(turn)
    try:
        if turn.mode == "combine" and not aa and (pair := next_combination(project, turn.base)):
            proposal, patch = joined(project, turn.base, pair)
            enter(project, turn.base, proposal, author=COMBINE, kind=Author.SEARCH, lease=lease, patch=patch)
            return
        context = context_of(project, turn.base, turn)
        proposal = propose_nothing(context) if aa else proposer.propose(context)
    except NothingToPropose as end:
        end_turn(turn, lease, TurnState.EMPTY, str(end))
        return
    except ConversationFailed as failure:
        end_turn(turn, lease, state_after(failure.failure), str(failure))
        return
    enter(project, turn.base, proposal, author=proposer.name, kind=known.kind, lease=lease, aa=aa)


def lost_turn(round_: Round, *conditions: Q) -> Turn | None:
    """A turn whose worker died, or whose proposer failed without a name for it: it is taken again, as it was drawn."""
    free = Q(lease_until=None, attempts__gt=0) | Q(lease_until__lt=timezone.now())
    free |= Q(lease_until=None, opened_at__lt=timezone.now() - UNCLAIMED)
    waiting = Turn.objects.under_way().filter(free, *conditions, round=round_)
    return waiting.select_related("project", "base", "round").order_by("pk").first()


def open_turn(round_: Round) -> Turn | None:
    """The next turn, where one is wanted: whose, in which mode, in which category. Wakes another worker for the one after."""
    if not wants_more(round_):
        return None
    outcomes = [(category, solid) for category, solid, _ in outcomes_of(round_.project)]
    with transaction.atomic():
        project = Project.objects.select_for_update().get(pk=round_.project_id)
        round_.refresh_from_db()
        if not wants_more(round_):
            return None
        base = project.tip()
        proposer = whose_turn(round_, base)
        if proposer is None:
            close_idle(round_)
            return None
        number = 1 + (project.turns.order_by("-number").values_list("number", flat=True).first() or 0)
        mode, category = wanted_next(project, base, outcomes, f"{project.slug} {number}")
        turn = Turn.objects.create(
            project=project, round=round_, number=number, proposer=proposer, mode=mode, category=category, base=base
        )
        Message.objects.enqueue("propose", round_.pk, "agent")
    return turn


def wanted_next(project: Project, base: BaselineVersion, outcomes: Sequence[tuple[str, bool]], seed: str) -> tuple[str, str]:
    """The mode and the category of the next turn, of those that make sense: at most two queries.

    Where nothing was better there is nothing to take further or to combine, and under a budget that does not count seconds a
    change that only makes steps faster brings nothing.
    """
    better = near_misses(project, base)[:2].count() + sum(solid for _, solid in outcomes)
    possible = {"explore", "simplify"} | ({"exploit"} if better else set()) | ({"combine"} if better > 1 else set())
    shares = {mode: share for mode, share in project.file.agents.shares.items() if mode in possible}
    mode = drawn_mode(shares, seed) if any(shares.values()) else "explore"
    if mode == "simplify":
        return mode, "simplification"
    arms = [arm for arm in arms_of(outcomes) if arm.category != "systems" or project.file.budget.kind == "wall_seconds"]
    return mode, drawn_category(arms, seed)


ENDS = {
    TurnState.EMPTY: EventKind.NOTHING_TO_PROPOSE,
    TurnState.DECLINED: EventKind.NOTHING_TO_PROPOSE,
    TurnState.FAILED: EventKind.PROPOSER_FAILED,
}
"""What the audit log says of a turn without a candidate; one that waits has not ended."""


def end_turn(turn: Turn, lease: Lease, state: TurnState, why: str) -> None:
    """Nothing came of a turn. The round goes on with the other proposers, and is closed when none is left."""
    with transaction.atomic():
        lease.close(state=state, note=why, ended_at=timezone.now())
        if kind := ENDS.get(state):
            Event.objects.record(kind, turn, turn.proposer, turn.project, why=why)
        if whose_turn(turn.round, turn.base) is None:
            close_idle(turn.round)
        else:
            Message.objects.enqueue("propose", turn.round_id, "agent")


def close_idle(round_: Round) -> None:
    """Close a round in which nobody has anything to propose and nobody is at work, with what was said last."""
    if round_.turns.under_way().exists() or busy(round_) or on_pause(round_) or (round_.wanted is None and why_not(round_)):
        return  # an open-ended round waits for the next day's budget
    last = round_.turns.exclude(note="").order_by("-number").values_list("note", flat=True).first()
    close_round(round_, last or "No proposer has anything to propose.")


def outcomes_of(project: Project) -> list[tuple[str, bool, int]]:
    """(category, was it solid, number) of every judged candidate, in the order of their numbers (one query)."""
    judged = project.candidates.filter(aa=False, kind=Kind.CHANGE, evidence__isnull=False).exclude(stage__in=MEASURED)
    rows = judged.exclude(evidence__verdict=Verdict.INVALID).order_by("number")
    values = rows.values_list("category", "evidence__verdict", "number")
    return [(category, verdict == Verdict.SOLID, number) for category, verdict, number in values]


def is_aa(project: Project, attempt: int) -> bool:
    """Whether this attempt is an A/A candidate: at the project's rate, unforeseeable for whoever reads the list."""
    return random.Random(f"{project.pk} {settings.SECRET_KEY} {attempt}").random() < project.file.policy.aa_rate


def wants_more(round_: Round) -> bool:
    """True while the round is not full and fewer candidates are ahead of the devices than two for each.

    A proposer at work counts as the candidate that it may bring.
    """
    project = round_.project
    if round_.closed_at or project.paused:
        return False
    if round_.wanted is not None and made_or_coming(round_) >= round_.wanted:
        return False
    first = Round.objects.open().filter(project=project).first()
    if first and first.pk != round_.pk and (first.wanted is None or made_or_coming(first) < first.wanted):
        return False  # a bounded round, or an older one, goes first
    if round_.wanted is None and project.candidates.waiting_for_review().count() >= WAITING_LIMIT:
        return False
    file, at_work = project.file, project.turns.under_way().count()
    devices = Device.objects.online().filter(kind=file.train.device).count()
    if at_work >= file.agents.at_once or ahead(project) + at_work >= 2 * max(1, devices):
        return False
    trouble = troubles_of_newest([project]).get(project.pk)
    return trouble is None or not trouble.blocking  # what is proposed now could not be measured


def made_or_coming(round_: Round) -> int:
    """Candidates of a round, and those that proposers work on or will again (two queries)."""
    at_work = round_.turns.filter(state__in=(TurnState.WORKING, TurnState.WAITING))
    return round_.candidates.count() + at_work.count()


def ahead(project: Project) -> int:
    """Candidates that wait for a device, or soon will (two queries)."""
    unchecked = project.candidates.filter(stage__in=[Stage.PROPOSED, Stage.CHECKING], needs_attention="").count()
    return unchecked + project.runs.queued().filter(patch_set__isnull=False).count()


def enter(
    project: Project,
    base: BaselineVersion,
    proposal: Proposal,
    *,
    author: str,
    kind: Author,
    lease: Lease | None = None,
    patch: str = "",
    submitted_by_id: int | None = None,
    aa: bool = False,
    taking_back: tuple[Kind, BaselineVersion] | None = None,
) -> Candidate:
    """Write a proposal down as the project's next candidate and wake `check`. One transaction; LeaseLost undoes it.

    `lease` is a worker's claim on the turn that it ends with this candidate; `taking_back`: a revert or removal, and of what.
    """
    made, reverts = taking_back or (Kind.CHANGE, None)
    proposed = {"patch": patch} if patch else {"edits": [[e.path, e.old, e.new] for e in proposal.edits]}
    with transaction.atomic():
        round_id = Turn.objects.values_list("round_id", flat=True).get(pk=lease.pk) if lease else None
        Project.objects.filter(pk=project.pk).update(last_number=F("last_number") + 1)
        number = Project.objects.values_list("last_number", flat=True).get(pk=project.pk)
        candidate = Candidate.objects.create(
            project=project,
            number=number,
            round_id=round_id,
            title=" ".join(without_refused(proposal.title).split()),
            hypothesis=without_refused(proposal.hypothesis),
            category=proposal.category,
            expected_effect=without_refused(proposal.expected_effect)[:500],
            author_kind=kind,
            author=author,
            submitted_by_id=submitted_by_id,
            base=base,
            aa=aa,
            kind=made,
            reverts=reverts,
            proposed=storable(proposed, code=True),
            details=storable(proposal.details),
        )
        event_data = {"hypothesis": candidate.hypothesis} | ({"title": candidate.title} if candidate.beyond_title else {})
        Event.objects.seal([candidate], EventKind.CANDIDATE_PROPOSED, candidate, author, project, **event_data)
        Message.objects.enqueue("check", candidate.pk)
        if lease and round_id:
            lease.close(state=TurnState.PROPOSED, candidate=candidate, ended_at=timezone.now())
            held = Conversation.objects.filter(turn_id=lease.pk)
            take_from_worker(held, state=ConversationState.SUBMITTED, candidate=candidate, attempts=0)
            Message.objects.enqueue("propose", round_id, "agent")
    return candidate


def context_of(project: Project, base: BaselineVersion, turn: Turn | None = None, about: Sequence[Candidate] = ()) -> Context:
    """All that a proposer may know: editable files at the baseline, the program, what was tried, and what is wanted.

    `about`: the candidates that it is to work on, which nobody else has taken.
    """
    files = project.repository.texts(base.commit, project.file.edit.editable)
    noise = project.noise()
    return Context(
        files=files,
        program=program_of(project, base)[0],
        history=tried(project),
        sigma=noise.sigma if noise else None,
        attempt=turn.number if turn else project.last_number + 1,
        others=others_at_work(project, turn, about),
        category=turn.category if turn else "",
        mode=turn.mode if turn else "",
        launched=launched_of(project, base),
    )


def program_of(project: Project, base: BaselineVersion) -> tuple[str, ProgramVersion | None]:
    """The researchers' instructions: their newest version, or the file that the repository brought (one query)."""
    if newest := project.program_versions.order_by("-number").first():
        return newest.text, newest
    name = project.file.edit.program
    return project.repository.texts(base.commit, [name]).get(name, ""), None


def tried(project: Project, only: Candidate | None = None) -> tuple[Tried, ...]:
    """The outcome of all candidates, or of one, as agents may know it: figures to half a sigma."""
    rows = project.candidates.order_by("number")
    return as_told(project, rows.filter(pk=only.pk) if only else rows)


def tried_before(project: Project, number: int | None, most: int) -> tuple[Tried, ...]:
    """The newest of them, at most so many, of those with a lower number if one is given; newest first."""
    rows = project.candidates.order_by("-number")
    return as_told(project, rows if number is None else rows.filter(number__lt=number), most)


def as_told(project: Project, candidates: QuerySet[Candidate], most: int | None = None) -> tuple[Tried, ...]:
    """What agents may know of the first of these candidates of a project, in their order (two queries)."""
    noise = project.noise()
    rows = candidates.select_related("duplicate_of", "evidence").defer("proposed", *(f"duplicate_of__{name}" for name in LONG))
    changes = []
    for row in rows[:most]:
        low, high = interval_told(row, noise)
        changes.append(
            Tried(
                candidate=row.number,
                author=row.author,
                stage=told_stage(row),
                outcome=outcome_of(row),
                title=row.title,
                hypothesis=row.hypothesis,
                effect=effect_told(row, noise),
                details=row.details,
                category=row.category,
                low=low,
                high=high,
                why=why_told(row),
                no_op=is_no_op(row),
            )
        )
    return tuple(changes)


def told_stage(candidate: Candidate) -> str:
    """Where a candidate stands, as agents are told: a refused duplicate and what was taken back have words of their own."""
    if candidate.undone:
        return TAKEN_BACK
    return candidate.get_stage_display() if outcome_of(candidate) == "duplicate" else candidate.stage


def others_at_work(project: Project, turn: Turn | None, about: Sequence[Candidate] = ()) -> tuple[str, ...]:
    """What else is being tried or thought about now, in a sentence each (three queries)."""
    running = project.candidates.under_way().exclude(pk__in=[each.pk for each in about]).order_by("number")
    sentences = [f"{row} by {row.author} is being measured: {row.title}" for row in running]
    turns = project.turns.under_way().exclude(pk=turn.pk if turn else 0).select_related("conversation").order_by("number")
    for other in turns:
        wanted = f"something in {other.category} ({other.mode})"
        talk = getattr(other, "conversation", None)
        sentences.append(f"{other.proposer} works on {talk.doing if talk else wanted}")
    asked_for = project.conversations.filter(state=ConversationState.OPEN).exclude(turn__state=TurnState.WORKING)
    return (*sentences, *(f"an agent works on {talk.doing}" for talk in asked_for))


def outcome_of(candidate: Candidate) -> str:
    """The contract's word for how far a candidate came."""
    if candidate.stage == Stage.INVALID:
        return "duplicate" if candidate.duplicate_of_id else "invalid"
    if candidate.stage == Stage.CRASHED:
        return "crashed"
    if candidate.evidence_id:
        return "evaluated"
    return "crashed" if candidate.idle or candidate.stage in IDLE else "pending"
