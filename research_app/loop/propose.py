"""Propose: keep enough candidates ahead of the devices, so that a device never waits for a proposer.

Proposers know nothing of the database: they get a context and return a proposal. Which proposer's turn it is, what was
tried and what is wanted stands in rows.
"""

import logging
import random
from collections.abc import Sequence
from importlib import import_module

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from agent.proposal import Context, NothingToPropose, Proposal, Proposer, Tried
from agent.same import propose_nothing
from research_app.evidence.noise import Noise
from research_app.models import Author, BaselineVersion, Candidate, Device, Event, Message, Project, Round, Stage, State
from research_app.models.candidate import RESTING
from research_app.models.lease import MAX_ATTEMPTS, Lease
from training.scorer import rounded_for_agents

logger = logging.getLogger(__name__)

PROPOSERS = {"knobs": ("agent.knobs", "KnobsProposer", Author.SEARCH)}
"""Name → module, class, kind of author. Imported on first use: a proposer's libraries are slow to load."""

WAITING_LIMIT = 25
"""An open-ended round stops proposing while so many candidates wait for a person: nobody reads a longer list."""


class UnknownProposer(ValueError):
    """There is no proposer of that name; the message lists those that there are."""


def proposer_named(name: str) -> tuple[Proposer, Author]:
    """The proposer and what kind of author it is."""
    if name not in PROPOSERS:
        raise UnknownProposer(f"There is no proposer {name!r}; there are: {', '.join(PROPOSERS)}.")
    module, class_name, kind = PROPOSERS[name]
    return getattr(import_module(module), class_name)(), kind


def open_round(project: Project, proposers: Sequence[str], wanted: int | None, actor: str) -> Round:
    """Ask for a number of candidates, or for candidates until the round is closed."""
    for name in proposers:
        proposer_named(name)
    with transaction.atomic():
        asked = Round.objects.create(project=project, proposers=list(proposers), wanted=wanted, opened_by=actor)
        Event.objects.record("round opened", asked, actor, project, wanted=wanted, proposers=list(proposers))
        Message.objects.enqueue("propose", asked.pk, "agent")
    return asked


def close_round(asked: Round, note: str, actor: str = "signoff") -> None:
    """Stop proposing for this round; its candidates go on. A second close does nothing."""
    with transaction.atomic():
        if Round.objects.filter(pk=asked.pk, closed_at=None).update(closed_at=timezone.now(), note=note[:500]):
            Event.objects.record("round closed", asked, actor, asked.project, note=note)


def pause(project: Project, actor: str) -> None:
    """Propose nothing more until resumed. What is under way goes on."""
    _set_paused(project, True, actor)


def resume(project: Project, actor: str) -> None:
    """Propose again."""
    _set_paused(project, False, actor)
    for asked in Round.objects.open().filter(project=project):
        Message.objects.enqueue("propose", asked.pk, "agent")


def _set_paused(project: Project, paused: bool, actor: str) -> None:
    with transaction.atomic():
        if Project.objects.filter(pk=project.pk, paused=not paused).update(paused=paused):
            Event.objects.record("project paused" if paused else "project resumed", project, actor, project)


def propose(round_id: int, worker: str) -> None:
    """One proposal for one round, if devices will want it soon; wakes itself for the next."""
    asked = Round.objects.select_related("project").get(pk=round_id)
    if not wants_more(asked):
        return
    lease = Round.claim(round_id, worker, Q(closed_at=None), Q(project__paused=False))
    if lease is None:
        return
    if asked.attempts >= MAX_ATTEMPTS:
        close_round(asked, f"The proposer failed {asked.attempts} times. The last time: {asked.last_error or 'killed'}")
        return
    made = asked.candidates.count()
    proposer, kind = proposer_named(asked.proposers[made % len(asked.proposers)])
    with lease.heartbeat():
        try:
            base = asked.project.tip()
            context = context_of(asked.project, base)
            aa = is_aa(asked.project, context.attempt)
            proposal = propose_nothing(context) if aa else proposer.propose(context)
        except NothingToPropose as end:
            close_round(asked, str(end))
            return
        except Exception as error:
            lease.fail(error)
            raise
    enter(asked.project, base, proposal, author=proposer.name, kind=kind, lease=lease, aa=aa)
    Message.objects.enqueue("propose", round_id, "agent")


def is_aa(project: Project, attempt: int) -> bool:
    """Whether this attempt is an A/A candidate: at the project's rate, unforeseeable for whoever reads the list."""
    return random.Random(f"{project.pk} {settings.SECRET_KEY} {attempt}").random() < project.file.policy.aa_rate


def wants_more(asked: Round) -> bool:
    """True while the round is not full and fewer candidates are ahead of the devices than two for each."""
    if asked.closed_at or asked.project.paused:
        return False
    if asked.wanted is not None and asked.candidates.count() >= asked.wanted:
        return False
    first = Round.objects.open().filter(project=asked.project).first()
    if first and first.pk != asked.pk and (first.wanted is None or first.candidates.count() < first.wanted):
        return False  # a bounded round, or an older one, goes first
    if asked.wanted is None and asked.project.candidates.waiting_for_review().count() >= WAITING_LIMIT:
        return False
    return ahead(asked.project) < 2 * max(1, Device.objects.online().filter(kind=asked.project.file.train.device).count())


def ahead(project: Project) -> int:
    """Candidates that wait for a device, or soon will (two queries)."""
    unchecked = project.candidates.filter(stage__in=[Stage.PROPOSED, Stage.CHECKING], needs_attention="").count()
    return unchecked + project.runs.filter(state=State.QUEUED, patch_set__isnull=False).count()


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
) -> Candidate:
    """Write a proposal down as the project's next candidate and wake `check`. One transaction; LeaseLost undoes it."""
    with transaction.atomic():
        round_id = None
        if lease:
            lease.write(lease_until=None, leased_by="", attempts=0, last_error="")
            round_id = lease.pk
        Project.objects.filter(pk=project.pk).update(last_number=F("last_number") + 1)
        number = Project.objects.values_list("last_number", flat=True).get(pk=project.pk)
        candidate = Candidate.objects.create(
            project=project,
            number=number,
            round_id=round_id,
            hypothesis=proposal.hypothesis,
            category=proposal.category,
            expected_effect=proposal.expected_effect[:500],
            author_kind=kind,
            author=author,
            submitted_by_id=submitted_by_id,
            base=base,
            aa=aa,
            proposed={"patch": patch} if patch else {"edits": [[e.path, e.old, e.new] for e in proposal.edits]},
            details=dict(proposal.details),
        )
        Event.objects.record("candidate proposed", candidate, author, project, hypothesis=proposal.hypothesis)
        Message.objects.enqueue("check", candidate.pk)
    return candidate


def context_of(project: Project, base: BaselineVersion) -> Context:
    """All that a proposer may know: editable files at the baseline, the program, and what was tried."""
    repository, edit = project.repository, project.file.edit
    files = repository.texts(base.commit, edit.editable)
    program = repository.texts(base.commit, [edit.program]).get(edit.program, "")
    rows = project.candidates.select_related("evidence").order_by("number")
    noise = project.noise()
    history = tuple(
        Tried(
            candidate=row.number,
            author=row.author,
            stage=row.stage,
            outcome=outcome_of(row),
            hypothesis=row.hypothesis,
            effect=told_effect(row, noise),
            details=row.details,
        )
        for row in rows
    )
    return Context(
        files=files,
        program=program,
        history=history,
        sigma=noise.sigma if noise else None,
        attempt=project.last_number + 1,
    )


def told_effect(candidate: Candidate, noise: Noise | None) -> float | None:
    """What a proposer may know of an effect: to half a sigma, or it would fit the gate text; nothing of invalid evidence."""
    effect = candidate.evidence.effect if candidate.evidence else None
    return None if effect is None or noise is None else rounded_for_agents(effect, noise.sigma)


def outcome_of(candidate: Candidate) -> str:
    """The contract's word for how far a candidate came."""
    if candidate.stage == Stage.INVALID:
        return "invalid"
    if candidate.stage == Stage.CRASHED:
        return "crashed"
    if candidate.evidence_id:
        return "evaluated"
    return "crashed" if candidate.resting or candidate.stage in RESTING else "pending"
