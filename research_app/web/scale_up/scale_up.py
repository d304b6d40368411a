"""/projects/<slug>/candidates/<number>/scale-up/ : whether a gain holds at larger scales, and what it cost to find out."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from research_app.access import may_operate
from research_app.evidence.apart import percent_apart
from research_app.evidence.evidence_document import SavingsRecord, TransferRecord
from research_app.evidence.transfer import LEAST_SHARE, Forecast, Prediction, coverage_of
from research_app.loop.review.review import ReviewRefused
from research_app.loop.runs import HOUR, NOTHING, costs_of
from research_app.loop.scale_up import shortlist
from research_app.loop.scale_up.scale_up import (
    ScaleUpRefused,
    forecast_of,
    forecasts_of,
    passed_rungs,
    prediction,
    rungs_left,
    savings_by_rung,
    stop,
)
from research_app.models import Candidate, Evidence, PatchSet, Run, ScaleUpState, Stage, StageMoved, State, Verdict
from research_app.project_file.ladder import SMALLEST, Rung
from research_app.web.candidate.candidate import chart_version
from research_app.web.candidate.verdict import Saving
from research_app.web.scale_up.transfer_chart import Mark, gain_chart, share
from research_app.web.shared import live
from research_app.web.shared.access import get_candidate, operator, researcher
from research_app.web.shared.effects import Effect, effect_of
from research_app.web.shared.unchanged import still
from research_app.web.shortlist.shortlist import gone_to, progress_of, refusal

FRAGMENTS = {
    "scale-up-head": "scale_up/_head.html",
    "rungs": "scale_up/_rungs.html",
    "scale-up-runs": "scale_up/_runs.html",
    "curves-mark": "candidate/_mark.html",
}
TONES = {
    ScaleUpState.RUNNING: ("working", "◔"),
    ScaleUpState.PASSED: ("good", "✓"),
    ScaleUpState.FAILED: ("bad", "!"),
    ScaleUpState.UNSETTLED: ("warn", "~"),
    ScaleUpState.STOPPED: ("mute", "∅"),
}


@dataclass(frozen=True)
class Level:
    """One rung of the ladder as a candidate stands on it."""

    rung: Rung
    evidence: Evidence | None
    effect: Effect | None
    prediction: Prediction | None
    mine: Sequence[Run]
    theirs: Sequence[Run]  # runs of the baseline, which other candidates may share; none on a rung that it was not tried on
    approved: bool

    @property
    def transfer(self) -> TransferRecord | None:
        """What was judged there; None at the smallest rung, which has no rung below it."""
        return self.evidence.document.transfer if self.evidence else None

    @property
    def harm(self) -> bool:
        """Whether it is seen to do worse than the baseline there."""
        return self.evidence is not None and self.evidence.verdict == Verdict.WORSE

    @property
    def needed(self) -> float | None:
        """The least saving that passes."""
        promised = self.transfer.promised if self.transfer else None
        return None if promised is None else LEAST_SHARE * promised

    @property
    def needed_words(self) -> str:
        """The least saving that passes, told apart from the one that was measured."""
        return "" if self.needed is None else self._beside(self.needed)[1]

    @property
    def saved_words(self) -> str:
        """The saving that was measured, told apart from the least that passes; empty without one of the two."""
        saved = self.savings.saved if self.savings else None
        if self.needed is None or saved is None:
            return ""
        return f"{self._beside(self.needed)[0]} {'less' if saved >= 0 else 'more'} time"

    def _beside(self, needed: float) -> tuple[str, ...]:
        return percent_apart(abs((self.savings.saved if self.savings else None) or 0.0), needed)

    @property
    def ended(self) -> int:
        return sum(run.state == State.FINISHED for run in (*self.mine, *self.theirs))

    @property
    def hours(self) -> float | None:
        """Device-hours that its own runs took; None before any did."""
        return hours_of(self.mine) or None

    @property
    def shared_hours(self) -> float | None:
        """Device-hours of the baseline's runs that it is compared with; None before any did."""
        return hours_of(self.theirs) or None

    @property
    def money(self) -> float | None:
        return None if self.hours is None or not self.rung.price else self.hours * self.rung.price

    @property
    def state(self) -> str:
        """How far it is on a rung without a verdict, in words."""
        if self.mine:
            return f"{self.ended} of {len(self.mine) + len(self.theirs)} runs ended"
        return "approved, not begun" if self.approved else "not tried"

    @property
    def savings(self) -> SavingsRecord | None:
        """The time saved as its evidence keeps it; None where there is none, or where health hides it."""
        if self.evidence is None or self.evidence.verdict == Verdict.INVALID:
            return None
        return self.evidence.document.savings

    @property
    def saving(self) -> Saving | None:
        return Saving.of(self.savings)

    @property
    def forecast(self) -> Forecast | None:
        """What was predicted beside what came; None before a rung was measured."""
        return forecast_of(self.transfer, self.savings)

    @property
    def expected(self) -> str:
        """The prediction in words: 31% (12% … 50%)."""
        if forecast := self.forecast:
            return in_words(forecast.predicted, forecast.low, forecast.high)
        return in_words(self.prediction.saved, *self.prediction.interval) if self.prediction else ""


def in_words(saved: float, low: float, high: float) -> str:
    """A predicted saving with its interval."""
    return f"{share(saved)} ({share(low)} … {share(high)})"


def hours_of(runs: Sequence[Run]) -> float:
    """Device-hours of some runs so far."""
    return sum(run.device_seconds for run in runs) / HOUR


@researcher
@require_safe
@still(curves=True)
def scale_up(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """The page of one candidate."""
    return live.page(request, "scale_up/scale_up.html", FRAGMENTS, context_of(request, get_candidate(request, slug, number)))


def context_of(request: HttpRequest, candidate: Candidate, **more: Any) -> dict[str, Any]:
    """What the page shows. A constant number of queries."""
    steps = list(candidate.scale_ups.select_related("approved_by", "patch_set", "candidate__project").order_by("-pk"))
    newest = steps[0] if steps else None
    patch_set = newest.patch_set if newest else candidate.patch_set  # a landing may have rebased it since
    approved = {rung.rung for rung in newest.approved_rungs} if newest and newest.state == ScaleUpState.RUNNING else set[str]()
    levels = levels_of(candidate, patch_set, approved) if patch_set else []
    runs = [run for level in levels if level.rung.name != SMALLEST for run in (*level.mine, *level.theirs)]
    largest = next((level.rung.name for level in reversed(levels) if level.mine), SMALLEST)
    tone, sign = TONES[ScaleUpState(newest.state)] if newest else ("mute", "○")
    return {
        "project": candidate.project,
        "candidate": candidate,
        "steps": steps,
        "newest": newest,
        "scale_up": progress_of([newest])[0] if newest else None,
        "tone": tone,
        "sign": sign,
        "levels": levels,
        "harm": any(level.harm for level in levels if newest and level.rung.name == newest.rung),
        "chart": gain_chart(marks_of(levels)),
        "coverage": coverage_of(forecasts_of(candidate.project)),
        "training": [run for run in runs if run.state in (State.RUNNING, State.QUEUED, State.STUCK)],
        "currency": candidate.project.file.scale_up.currency,
        "spent": costs_of([candidate]).get(candidate.pk, NOTHING).hours,
        "shared": hours_of([run for run in runs if not run.patch_set_id]),
        "may_stop": newest is not None and newest.state == ScaleUpState.RUNNING and may_operate(request.user),
        "may_scale_up_further": bool(steps) and bool(can_scale_up_further(candidate)) and may_operate(request.user),
        "curves_source": f"{reverse('candidate-curves', args=[candidate.project.slug, candidate.number])}?scale={largest}",
        "chart_version": chart_version(runs),
        **more,
    }


def can_scale_up_further(candidate: Candidate) -> bool:
    """Whether it waits at gate 2 and a rung is left above those that it passed (one query)."""
    return candidate.stage == Stage.READY and bool(
        rungs_left(candidate.project.file.upper_rungs, passed_rungs([candidate])[candidate.pk])
    )


def levels_of(candidate: Candidate, patch_set: PatchSet, approved: Collection[str]) -> list[Level]:
    """The ladder, smallest rung first, with what is known of a patch set on each; `approved`: rungs of a running scale-up.

    Two queries. Runs of the baseline on a rung that it was not tried on are another candidate's affair.
    """
    evidence = list(Evidence.objects.filter(patch_set=patch_set).order_by("pk"))
    own, base = Q(patch_set=patch_set), Q(patch_set=None, cell=None, baseline=patch_set.base_id)
    runs = list(Run.objects.filter(own | base).select_related("baseline", "device", "patch_set").order_by("seed", "pk"))
    savings = savings_by_rung(evidence)
    newest = {each.scale: each for each in evidence}
    levels = []
    for rung in candidate.project.file.rungs:
        here = [run for run in runs if run.scale == rung.name]
        rung_evidence, mine = newest.get(rung.name), [run for run in here if run.patch_set_id]
        levels.append(
            Level(
                rung=rung,
                evidence=rung_evidence,
                effect=effect_of(rung_evidence),
                prediction=prediction(savings, rung.budget) if rung.name != SMALLEST else None,
                mine=mine,
                theirs=[run for run in here if not run.patch_set_id] if mine else [],
                approved=rung.name in approved,
            )
        )
    return levels


def marks_of(levels: Sequence[Level]) -> list[Mark]:
    """What is drawn: every rung that was measured, and the first that was not as predicted."""
    marks: list[Mark] = []
    for level in levels:
        if level.savings and (kept := level.savings.with_interval):
            compute = (level.transfer.compute if level.transfer else None) or level.rung.budget
            passed = level.transfer.passed if level.transfer else None
            tone = "mute" if passed is None else "good" if passed else "bad"
            saved, low, high = kept
            expected = (level.forecast.low, level.forecast.high) if level.forecast else None
            marks.append(Mark(level.rung.name, compute, saved, low, high, tone, needed=level.needed, expected=expected))
        elif level.prediction:
            low, high = level.prediction.interval
            marks.append(Mark(level.rung.name, level.rung.budget, level.prediction.saved, low, high, "mute", predicted=True))
            break
    return marks


@operator
@require_POST
def stop_scale_up(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """End a scale-up by hand."""
    candidate = get_candidate(request, slug, number)
    assert isinstance(request.user, User)
    steps = candidate.scale_ups.running().select_related("project", "patch_set")
    try:
        if (step := steps.first()) is None:
            raise ScaleUpRefused("It has ended already: reload the page to see how.")
        stop(step, request.user, request.POST.get("reason", "")[:4000])
    except (ScaleUpRefused, StageMoved) as error:
        return _refused(request, candidate, str(error))
    messages.info(request, "Stopped. Its runs end within seconds; what they spent is kept.")
    return gone_to(request, reverse("scale-up", args=[slug, number]))


@operator
@require_POST
def scale_up_further(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Bring it back to the shortlist, so that a larger rung can be approved."""
    candidate = get_candidate(request, slug, number)
    assert isinstance(request.user, User)
    try:
        shortlist.back_to_shortlist(candidate, request.user)
    except (ReviewRefused, StageMoved) as error:
        return _refused(request, candidate, str(error))
    messages.info(request, f"{candidate} is on the shortlist: pick its next rung.")
    return gone_to(request, reverse("shortlist", args=[slug]))


def _refused(request: HttpRequest, candidate: Candidate, why: str) -> HttpResponse:
    if answer := refusal(request, why, stale=True):
        return answer
    response = live.page(request, "scale_up/scale_up.html", FRAGMENTS, context_of(request, candidate, refused=why))
    response.status_code = 409
    return response
