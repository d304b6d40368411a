"""Contradictions: what is measured later can speak against a landing's gain; the landing is flagged, and stays where it is."""

import math

from django.db.models import QuerySet

from research_app.evidence.ablation import Report
from research_app.evidence.digits import Gain, gain
from research_app.evidence.evidence_document import ConfirmationRecord
from research_app.evidence.stacking import Effect
from research_app.models import Ablation, Candidate, Event, Evidence, Landing, LandingState
from research_app.models.event_kinds import EventKind

CONTRADICTS = 1.645  # one-sided 5%


def contradict_by_ablation(check: Ablation, report: Report) -> None:
    """Flag what landed with a gain that this check finds nowhere again. In a transaction.

    A gain that is there alone and gone beside the others contradicts nothing of what was measured: the changes interact,
    and the check says so.
    """
    for effect in report.effects:
        landing = landings_of(check.project_id, int(effect.change)).first()
        confirmed = confirmation_of(landing.candidate.evidence) if landing else None
        contexts = [each for each in (effect.here, effect.alone, effect.beside) if each]
        if landing and confirmed and contexts and all(contradicts(each, confirmed) for each in contexts):
            where, nearest = f"Ablation {check.pk} on baseline {check.version.number}", contexts[0]
            seen = Gain(nearest.effect, nearest.standard_error, *nearest.interval)
            promised = gain(confirmed.effect, confirmed.standard_error)
            flag(landing, f"{where} found {seen.text} ({seen.interval}) of the {promised} that it was approved on, alone too.")


def contradicts(effect: Effect, confirmed: ConfirmationRecord) -> bool:
    """Whether an effect is not seen to help and lies below the one that was confirmed by more than chance (one-sided 5%)."""
    error = math.hypot(confirmed.standard_error or 0.0, effect.standard_error)
    return effect.interval[0] <= 0 and confirmed.effect - effect.effect > CONTRADICTS * error


def contradict_by_no_op(candidate: Candidate, evidence: Evidence) -> None:
    """A change that does nothing was found solid: gains no larger than its own may be noise too. In a transaction."""
    seen = confirmation_of(evidence)
    if seen is None:
        return
    for landing in landings_of(candidate.project_id):
        confirmed = confirmation_of(landing.candidate.evidence)
        if confirmed and confirmed.effect <= seen.effect:
            its_gain = gain(seen.effect, seen.standard_error)
            why = f"{candidate}, which changes nothing, was confirmed at {its_gain}: this gain is no larger."
            flag(landing, why)


def landings_of(project_id: int, number: int | None = None) -> QuerySet[Landing]:
    """What landed and was not taken back, of one candidate or of all, newest first."""
    rows = Landing.objects.filter(project=project_id, state=LandingState.LANDED)
    rows = rows if number is None else rows.filter(candidate__number=number)
    return rows.filter(candidate__undone_by=None).select_related("candidate__evidence", "project").order_by("-pk")


def confirmation_of(evidence: Evidence | None) -> ConfirmationRecord | None:
    """The confirmed effect with its standard error; None without one."""
    return evidence.document.confirmation if evidence else None


def flag(landing: Landing, why: str) -> None:
    """Add a contradiction to a landing, once. In a transaction."""
    if why not in landing.contradictions:
        landing.contradictions = f"{landing.contradictions}\n{why}".strip()
        Landing.objects.filter(pk=landing.pk).update(contradictions=landing.contradictions)
        Event.objects.record(EventKind.GAIN_DOUBTED, landing.candidate, "signoff", landing.project, why=why)
