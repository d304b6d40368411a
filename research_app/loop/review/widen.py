"""Widen: a person lets one candidate use more than the envelope allows, on the record, and it is judged again."""

from django.contrib.auth.models import User
from django.db import transaction

from research_app.access import may_widen
from research_app.loop.review.review import ReviewRefused, StalePage, lock
from research_app.models import Candidate, Event, Purpose, Stage, Widening
from research_app.models.event_kinds import EventKind
from research_app.models.widening import WIDEST
from research_app.project_file.ladder import SMALLEST

ENVELOPE = "envelope"
"""The rule of evidence/health.py whose findings a widening answers."""


def widenable(candidate: Candidate) -> bool:
    """Whether its evidence is invalid because its runs went beyond the envelope."""
    if candidate.stage != Stage.INVALID or candidate.evidence is None:
        return False
    health = candidate.evidence.document.health
    return health is not None and any(finding.rule == ENVELOPE for finding in health.findings)


def suggested(candidate: Candidate) -> float:
    """What its runs so far would need, and a tenth more."""
    rows = candidate.evidence.document.envelope if candidate.evidence else ()
    return min(WIDEST, round(1.1 * max((float(row.times) for row in rows), default=2.0), 2))


def widen(candidate: Candidate, actor: User, times: float, reason: str) -> None:
    """Allow `times` the baseline's for this candidate and have it judged again. Raises ReviewRefused, StalePage."""
    if not may_widen(actor):
        raise ReviewRefused("Your account may not widen the envelope. Ask an administrator for the role “approver”.")
    if not reason.strip():
        raise ReviewRefused("Say why it may use more than the baseline: the reason stays with the candidate.")
    if not 1 < times <= WIDEST:
        raise ReviewRefused(f"It can be widened to more than 1 and at most {WIDEST:g} times the baseline's.")
    with transaction.atomic():
        row = lock(candidate)
        if not widenable(row):
            raise StalePage(f"{row} is {row.get_stage_display()}: its runs are not beyond the envelope. {row.why}")
        purposes = set(row.revision.runs.filter(scale=SMALLEST).values_list("purpose", flat=True))
        widening = Widening.objects.create(candidate=row, times=times, reason=reason.strip(), widened_by=actor)
        name = actor.get_username()
        Event.objects.seal([widening], EventKind.ENVELOPE_WIDENED, row, name, row.project, times=times, why=reason.strip())
        row.move(
            _step(purposes),
            f"{name} lets it use up to {times:g} times what the baseline uses: {reason.strip()}",
            actor=name,
            wake=("judge", row.revision.pk),
        )


def _step(purposes: set[str]) -> Stage:
    """The step whose look is taken again: nothing is measured anew."""
    if Purpose.CONFIRM in purposes:
        return Stage.CONFIRMING
    return Stage.REPLICATING if Purpose.REPLICATE in purposes else Stage.SCREENING
