"""/projects/<slug>/stacks/ : ablations, with the price before they begin and their outcomes afterwards."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST, require_safe

from research_app.access import may_operate
from research_app.evidence.ablation import Advice, MemberEffect, Report
from research_app.evidence.ablation_design import EVERY_PAIR
from research_app.evidence.ablation_words import advice_of, in_words
from research_app.evidence.digits import Gain
from research_app.evidence.stacking import Effect as AblationEffect
from research_app.loop.land.on_baseline import landings_on_baseline
from research_app.loop.propose.revert import RevertRefused, propose_removal
from research_app.loop.scale_up.price import Price
from research_app.loop.stacks.ablate import (
    AT_MOST,
    CHECKABLE,
    AblationRefused,
    ablation_price,
    begin_ablation,
    further_price,
    stop_ablation,
)
from research_app.models import (
    Ablation,
    AblationState,
    Candidate,
    Kind,
    Project,
    Run,
    Stage,
    State,
)
from research_app.models.candidate import DISCARDED
from research_app.web.shared import live
from research_app.web.shared.access import get_candidate, get_project, operator, researcher
from research_app.web.shared.drafts import refuse
from research_app.web.shared.effects import Effect, Row, Scale, rows
from research_app.web.shared.query_numbers import wholes
from research_app.web.shared.unchanged import still

LISTED = 100  # candidates on offer
OPEN = tuple(stage for stage in Stage if stage not in (*DISCARDED, Stage.LANDED))


CHIPS = {
    Advice.KEEP: ("good", "✓", "keep"),
    Advice.KEEP_FOR_OTHERS: ("accent", "+", "keep for others"),
    Advice.REMOVE_HARM: ("bad", "!", "take out: does harm"),
    Advice.REMOVE_NOTHING: ("warn", "−", "can be taken out"),
    Advice.ADD: ("good", "✓", "helps"),
    Advice.ADD_WITH_OTHERS: ("accent", "+", "helps beside others"),
    Advice.ADD_NOTHING: ("mute", "−", "adds nothing"),
    Advice.ADD_HARM: ("bad", "!", "does harm"),
    Advice.UNCLEAR: ("mute", "?", "cannot tell"),
}


@dataclass(frozen=True)
class Member:
    """One change of a stack: what it brings to the baseline, alone and beside the others, and what it was approved on."""

    candidate: Candidate
    effect_of_member: MemberEffect | None
    advice: str
    approved: Effect | None
    approved_where: str  # the baseline, and which of the others it had
    removal: Candidate | None
    removable: bool
    scale: Scale

    @property
    def here(self) -> Effect | None:
        if self.effect_of_member is None or self.effect_of_member.effect is None or self.effect_of_member.interval is None:
            return None
        return Effect(Gain(self.effect_of_member.effect, self.effect_of_member.standard_error, *self.effect_of_member.interval))

    @property
    def alone(self) -> Effect | None:
        return shown(self.effect_of_member.alone) if self.effect_of_member else None

    @property
    def beside(self) -> Effect | None:
        return shown(self.effect_of_member.beside) if self.effect_of_member else None

    @property
    def average(self) -> Effect | None:
        return shown(self.effect_of_member.average) if self.effect_of_member else None

    @property
    def bar(self) -> SafeString | None:
        return self.scale.bar(self.here) if self.here else None

    @property
    def chip(self) -> tuple[str, str, str] | None:
        """Tone, sign and words of the advice."""
        return CHIPS[self.effect_of_member.advice] if self.effect_of_member else None


@researcher
@require_safe
@still()
def stacks(request: HttpRequest, slug: str) -> HttpResponse:
    """Earlier checks, and the choice of candidates for the next with its price. A constant number of queries."""
    project = get_project(request, slug)
    offered = list(offer(project))
    chosen = [candidate for candidate in offered if str(candidate.number) in request.GET.getlist("c")]
    folded = request.GET.get("design", "folded") != "plain"
    price, further, refused = priced(project, chosen, folded)
    context = {"project": project, "offered": rows(offered), "chosen": {c.number for c in chosen}, "folded": folded}
    seconds = price.hours * 3600 if price and price.hours is not None else None
    context |= {
        "price": price,
        "further": further,
        "seconds": seconds,
        "refused": refused,
        "may_operate": may_operate(request.user),
        "at_most": AT_MOST,
    }
    context |= {"checks": project.ablations.select_related("version", "project").prefetch_related("candidates")[:50]}
    return live.page(request, "stacks/stacks.html", {"checks": "stacks/_checks.html"}, context)


def offer(project: Project) -> Any:
    """Candidates that can be switched on and off: landed and not taken back, or approved by the evidence (a query set)."""
    candidates = project.candidates.filter(stage__in=CHECKABLE, kind=Kind.CHANGE, aa=False, undone_by=None)
    return candidates.with_evidence().defer("patch_set__diff", "proposed", "details").order_by("-number")[:LISTED]


def priced(project: Project, chosen: Sequence[Candidate], folded: bool) -> tuple[Price | None, Price | None, str]:
    """The price of checking these and the most that is spent on what stays open, or why they cannot be checked; nothing while
    nothing is chosen."""
    if not chosen:
        return None, None, ""
    try:
        return ablation_price(project, chosen, folded), further_price(project, chosen), ""
    except AblationRefused as problem:
        return None, None, str(problem)


@operator
@require_POST
def start(request: HttpRequest, slug: str) -> HttpResponse:
    """Begin a check whose price was seen."""
    project = get_project(request, slug)
    assert isinstance(request.user, User)  # the decorator lets nobody else in
    numbers = wholes(request.POST.getlist("c"))
    chosen = list(project.candidates.filter(number__in=numbers).order_by("number"))
    try:
        check = begin_ablation(project, chosen, request.POST.get("design") != "plain", request.user.get_username())
    except AblationRefused as problem:
        refuse(request, str(problem))
        return redirect("stacks", slug=slug)
    return redirect(check)


@researcher
@require_safe
@still(curves=True)
def stack(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """One check: its design, how far it is, main effects, the bundle against the sum."""
    project = get_project(request, slug)
    check = get_object_or_404(project.ablations.select_related("project", "version"), pk=pk)
    runs = list(
        Run.objects.filter(cell__check_of=check).select_related("cell", "baseline", "project").order_by("cell__row", "seed")
    )
    ended = sum(run.state in (State.FINISHED, State.STUCK) for run in runs)
    report = check.report
    members = members_of(check, report)
    context = {"project": project, "check": check, "runs": runs, "ended": ended, "members": members, "report": report}
    context |= {"bundle": bundle_of(report), "interactions": [in_words(each) for each in report.found] if report else []}
    context |= {"tip": project.tip(), "averages": any(member.average for member in members) and len(members) > EVERY_PAIR}
    context |= {"other_pairs": len(report.interactions) - len(report.found) if report else 0}
    context |= {"may_operate": may_operate(request.user), "running": check.state == AblationState.RUNNING}
    return live.page(
        request, "stacks/stack.html", {"check": "stacks/stack/_check.html", "runs": "stacks/stack/_runs.html"}, context
    )


@operator
@require_POST
def stop(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Stop a check; what is queued is not trained."""
    check = get_object_or_404(get_project(request, slug).ablations.select_related("project"), pk=pk)
    assert isinstance(request.user, User)
    stop_ablation(check, request.user.get_username())
    return redirect(check)


@operator
@require_POST
def remove(request: HttpRequest, slug: str, pk: int, number: int) -> HttpResponse:
    """Propose to take one landed change out, as a candidate."""
    check = get_object_or_404(get_project(request, slug).ablations.select_related("project"), pk=pk)
    assert isinstance(request.user, User)
    try:
        return redirect(propose_removal(check, get_candidate(request, slug, number), request.user))
    except RevertRefused as problem:
        refuse(request, str(problem))
        return redirect(check)


def members_of(check: Ablation, report: Report | None) -> list[Member]:
    """The changes of a check, in the order of what they bring to the baseline once that is known. Seven queries."""
    queryset = check.candidates.with_evidence().select_related("patch_set__base")
    listed = list(queryset.defer("patch_set__diff", "proposed", "details").order_by("number"))
    versions = {pk: landing.version.number for pk, landing in landings_on_baseline(listed).items() if landing.version}
    removals = removals_of(check)
    free = check.version_id == check.project.tip().pk and not any(row.stage in OPEN for row in removals.values())
    approved: dict[int, Row] = {row.candidate.pk: row for row in rows(listed)}
    ablations = {candidate.pk: report.of(str(candidate.number)) if report else None for candidate in listed}
    members = []
    for candidate in listed:
        each = ablations[candidate.pk]
        members.append(
            Member(
                candidate,
                each,
                advice_of(report, each) if report and each else "",
                approved[candidate.pk].effect,
                measured_on(candidate, listed, versions),
                removals.get(candidate.number),
                bool(each and each.advice.removes and candidate.pk in versions and free),
                Scale.of([]),
            )
        )
    scale = Scale.of(member.here for member in members)
    order = {each.change: place for place, each in enumerate(report.effects)} if report else {}
    members.sort(key=lambda member: order.get(str(member.candidate.number), 0))
    return [replace(member, scale=scale) for member in members]


def removals_of(check: Ablation) -> dict[int, Candidate]:
    """The newest removal that this check led to of each change, by the number of the change (one query)."""
    rows = Candidate.objects.filter(project=check.project, kind=Kind.REMOVAL, details__stack_check=check.pk)
    newest = rows.select_related("project").order_by("pk")
    return {row.origin.removes: row for row in newest if row.origin.removes is not None}


def measured_on(candidate: Candidate, members: Sequence[Candidate], landed: Mapping[int, int]) -> str:
    """The baseline that a change was approved on and which of the others it had: what was measured there is no effect alone.

    `landed` holds the number of the version that brought each of them, by candidate.
    """
    if candidate.patch_set is None or candidate.evidence is None:
        return ""
    base = candidate.patch_set.base.number
    there = [str(other) for other in members if other != candidate and landed.get(other.pk, math.inf) <= base]
    return f"on baseline {base}, " + (f"with {', '.join(there)}" if there else "with none of the others")


def shown(effect: AblationEffect | None) -> Effect | None:
    """An effect as pages show it."""
    return Effect(Gain(effect.effect, effect.standard_error, *effect.interval)) if effect else None


def bundle_of(report: Report | None) -> dict[str, Any]:
    """All together against the sum of what each brings alone, for the page; empty where that is not known."""
    bundle = report.bundle if report else None
    if bundle is None:
        return {}
    difference = Gain(bundle.difference, None, *bundle.interval)
    return {
        "verdict": bundle.verdict,
        "sum": Gain(bundle.total, difference.spread),
        "bundle": Gain(bundle.bundle, difference.spread),
        "difference": difference,
    }
