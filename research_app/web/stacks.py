"""/projects/<slug>/stacks/ : stack checks, with the price before they begin and what came of them afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST, require_safe

from research_app.access import may_operate
from research_app.evidence.digits import Gain
from research_app.loop.price import Price
from research_app.loop.revert import RevertRefused, propose_removal
from research_app.loop.stack_check import AT_MOST, CHECKABLE, CheckRefused, begin_check, check_price, stop_check
from research_app.models import Candidate, CheckState, Kind, Project, Run, StackCheck, Stage, State
from research_app.web import live
from research_app.web.access import get_candidate, get_project, operator, researcher
from research_app.web.asked import wholes
from research_app.web.effects import Effect, Row, Scale, rows

LISTED = 100  # candidates on offer


@dataclass(frozen=True)
class Member:
    """One change of a stack with its main effect there, beside what it was confirmed to gain alone."""

    candidate: Candidate
    effect: Effect | None
    alone: Effect | None
    unhelpful: bool
    removal: Candidate | None
    scale: Scale

    @property
    def bar(self) -> SafeString | None:
        return self.scale.bar(self.effect) if self.effect else None

    @property
    def removable(self) -> bool:
        """Whether one click proposes to take it out."""
        return self.unhelpful and self.removal is None and self.candidate.stage == Stage.LANDED and not self.candidate.undone


@researcher
@require_safe
def stacks(request: HttpRequest, slug: str) -> HttpResponse:
    """Earlier checks, and the choice of candidates for the next with its price. A constant number of queries."""
    project = get_project(request, slug)
    offered = list(offer(project))
    chosen = [candidate for candidate in offered if str(candidate.number) in request.GET.getlist("c")]
    folded = request.GET.get("design", "folded") != "plain"
    price, refused = priced(project, chosen, folded)
    context = {"project": project, "offered": rows(offered), "chosen": {c.number for c in chosen}, "folded": folded}
    seconds = price.hours * 3600 if price and price.hours is not None else None
    context |= {
        "price": price,
        "seconds": seconds,
        "refused": refused,
        "may_operate": may_operate(request.user),
        "at_most": AT_MOST,
    }
    context |= {"checks": project.stack_checks.select_related("version", "project").prefetch_related("candidates")[:50]}
    return live.page(request, "stacks.html", {"checks": "stacks/_checks.html"}, context)


def offer(project: Project) -> Any:
    """Candidates that can be switched on and off: landed and not taken back, or approved by the evidence (a query set)."""
    found = project.candidates.filter(stage__in=CHECKABLE, kind=Kind.CHANGE, aa=False, undone_by=None)
    return found.with_evidence().defer("patch_set__diff", "proposed", "details").order_by("-number")[:LISTED]


def priced(project: Project, chosen: Sequence[Candidate], folded: bool) -> tuple[Price | None, str]:
    """The price of checking these, or why they cannot be; neither while nothing is chosen."""
    if not chosen:
        return None, ""
    try:
        return check_price(project, chosen, folded), ""
    except CheckRefused as problem:
        return None, str(problem)


@operator
@require_POST
def start(request: HttpRequest, slug: str) -> HttpResponse:
    """Begin a check whose price was seen."""
    project = get_project(request, slug)
    assert isinstance(request.user, User)  # the decorator lets nobody else in
    numbers = wholes(request.POST.getlist("c"))
    chosen = list(project.candidates.filter(number__in=numbers).order_by("number"))
    try:
        check = begin_check(project, chosen, request.POST.get("design") != "plain", request.user.get_username())
    except CheckRefused as problem:
        messages.error(request, str(problem))
        return redirect("stacks", slug=slug)
    return redirect(check)


@researcher
@require_safe
def stack(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """One check: its design, how far it is, main effects, the bundle against the sum."""
    project = get_project(request, slug)
    check = get_object_or_404(project.stack_checks.select_related("project", "version"), pk=pk)
    runs = list(
        Run.objects.filter(cell__check_of=check).select_related("cell", "baseline", "project").order_by("cell__row", "seed")
    )
    ended = sum(run.state in (State.FINISHED, State.STUCK) for run in runs)
    members = members_of(check)
    context = {"project": project, "check": check, "runs": runs, "ended": ended, "members": members}
    context |= {"missed": [member for member in members if member.unhelpful], "bundle": bundle_of(check)}
    context |= {"may_operate": may_operate(request.user), "running": check.state == CheckState.RUNNING}
    return live.page(request, "stack.html", {"check": "stack/_check.html", "runs": "stack/_runs.html"}, context)


@operator
@require_POST
def stop(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Stop a check; what is queued is not trained."""
    check = get_object_or_404(get_project(request, slug).stack_checks.select_related("project"), pk=pk)
    assert isinstance(request.user, User)
    stop_check(check, request.user.get_username())
    return redirect(check)


@operator
@require_POST
def remove(request: HttpRequest, slug: str, pk: int, number: int) -> HttpResponse:
    """Propose to take one landed change out, as a candidate."""
    check = get_object_or_404(get_project(request, slug).stack_checks.select_related("project"), pk=pk)
    assert isinstance(request.user, User)
    try:
        return redirect(propose_removal(check, get_candidate(request, slug, number), request.user))
    except RevertRefused as problem:
        messages.error(request, str(problem))
        return redirect(check)


def members_of(check: StackCheck) -> list[Member]:
    """The changes of a check, best first once there are effects. Three queries."""
    listed = list(check.candidates.with_evidence().defer("patch_set__diff", "proposed", "details").order_by("number"))
    found = {int(row["change"]): row for row in check.result.get("effects", [])}
    removals = Candidate.objects.filter(project=check.project, kind=Kind.REMOVAL, reverts__landings__candidate__in=listed)
    removed = {row.reverts_id: row for row in removals.select_related("project").order_by("pk")}
    versions = dict(Candidate.objects.filter(pk__in=[c.pk for c in listed]).values_list("pk", "landings__version"))
    alone: dict[int, Row] = {row.candidate.pk: row for row in rows(listed)}
    effects = {c.pk: main_effect(found.get(c.number)) for c in listed}
    scale = Scale.of(effects.values())
    made = [
        Member(
            candidate,
            effects[candidate.pk],
            alone[candidate.pk].effect,
            bool(found.get(candidate.number, {}).get("unhelpful")),
            removed.get(versions.get(candidate.pk)),
            scale,
        )
        for candidate in listed
    ]
    return sorted(made, key=lambda member: -found.get(member.candidate.number, {}).get("effect", 0.0))


def main_effect(row: dict[str, Any] | None) -> Effect | None:
    """The main effect of one change of a stack; None before it is known."""
    return None if row is None else Effect(Gain(row["effect"], row.get("standard_error"), *row["interval"]))


def bundle_of(check: StackCheck) -> dict[str, Any]:
    """The bundle against the sum, for the page; a sentence where that cannot be said; empty before the end."""
    bundle = check.result.get("bundle", {})
    if "verdict" not in bundle:
        return bundle
    difference = Gain(bundle["difference"], None, *bundle["interval"])
    return {
        "verdict": bundle["verdict"],
        "sum": Gain(bundle["total"], difference.spread),
        "bundle": Gain(bundle["bundle"], difference.spread),
        "difference": difference,
    }
