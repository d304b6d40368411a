"""/projects/<slug>/shortlist/ : gate 1. What is solid, what its scale-up costs, what is left to spend; and approving it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST, require_safe

from research_app.access import may_operate, may_vote
from research_app.evidence.apart import told_apart
from research_app.evidence.transfer import coverage_of
from research_app.loop.review.review import ReviewRefused, Seen, StalePage
from research_app.loop.scale_up.price import Account, account_of, pace_of
from research_app.loop.scale_up.scale_up import forecasts_of
from research_app.loop.scale_up.shortlist import Pick, Plan, Quote, approve_scale_ups, quote, skip_scale_up, trained_seeds
from research_app.loop.stacks.stack import NoStack, form_stack
from research_app.models import Gate, Project, Run, ScaleUp, StageMoved, State
from research_app.web.scoreboard.scoreboard import replications
from research_app.web.shared import live
from research_app.web.shared.access import get_candidate, get_project, operator, require_vote, researcher, reviewer
from research_app.web.shared.query_numbers import real, whole, wholes
from research_app.web.shared.text import visible
from research_app.web.shared.unchanged import still
from research_app.web.shortlist.best_within import best_within, price_of_ticked
from research_app.web.shortlist.conflict_matrix import conflict_matrix
from research_app.web.shortlist.shortlisted import ORDERS, items_of, ordered

LATELY = 6  # ended scale-ups that are shown
MAX_REASON = 4000  # characters
FRAGMENTS = {name: f"shortlist/_{name}.html" for name in ("books", "best", "list", "under_way")}


@dataclass(frozen=True)
class ScaleUpProgress:
    """A scale-up that runs or ended lately."""

    step: ScaleUp
    ended: int
    wanted: int
    done: float
    left: timedelta | None


@researcher
@require_safe
@still()
def shortlist(request: HttpRequest, slug: str) -> HttpResponse:
    """The page."""
    return live.page(request, "shortlist/shortlist.html", FRAGMENTS, context_of(request, get_project(request, slug)))


def context_of(request: HttpRequest, project: Project, **more: Any) -> dict[str, Any]:
    """What the page shows. The number of queries grows with rungs and baseline versions, not with candidates."""
    rungs = project.file.upper_rungs
    paces = {rung.name: pace_of(project, rung) for rung in rungs}
    account, priced = account_of(project), any(rung.price for rung in rungs)
    order = order if (order := request.GET.get("sort", "")) in ORDERS else next(iter(ORDERS))
    held = replications(project)
    items = ordered(items_of(request, project, rungs, paces), order, priced=priced)
    within = real(request.GET.get("within"))
    selection = price_of_ticked(project, items, wholes(request.GET.getlist("pick")))
    more = price_context(project, selection, account) | more
    return {
        "project": project,
        "ladder": project.file.rungs,
        "rungs": rungs,
        "paces": [(rung, paces[rung.name]) for rung in rungs],
        "items": items,
        "order_asked": request.GET.get("sort", "") and order,
        "orders": [(key, words, key == order) for key, (words, _) in ORDERS.items()],
        "best": best_within(items, paces, account, priced=priced, limit=within if within is None else max(0.0, within)),
        "no_price": not priced,
        "scale_ups": scale_ups_of(project),
        "may_approve": may_vote(request.user, project, Gate.SHORTLIST),
        "may_operate": may_operate(request.user),
        "replicable": len(held),
        "replicated": sum(held.values()),
        "coverage": coverage_of(forecasts_of(project)),
        **more,
    }


def scale_ups_of(project: Project) -> list[ScaleUpProgress]:
    """Scale-ups that run, then those that ended last. Three queries."""
    steps = project.scale_ups.select_related("candidate__project", "patch_set", "approved_by")
    return progress_of([*steps.running().order_by("pk"), *steps.exclude(ended_at=None).order_by("-ended_at")[:LATELY]])


def progress_of(steps: Sequence[ScaleUp]) -> list[ScaleUpProgress]:
    """How far scale-ups of one project are on their rungs. One query, where one of them runs."""
    runs = runs_of([step for step in steps if not step.ended_at])
    return [ScaleUpProgress(step, 0, 0, 1.0, None) if step.ended_at else progress_at(step, runs) for step in steps]


def runs_of(steps: Sequence[ScaleUp]) -> list[Run]:
    """The runs of these scale-ups and of their baselines, on their rungs. One query, where there are any."""
    if not steps:
        return []
    theirs = Q(patch_set__in=[step.patch_set_id for step in steps])
    baseline = Q(patch_set=None, cell=None, baseline__in=[step.patch_set.base_id for step in steps])
    return list(Run.objects.filter(theirs | baseline, project=steps[0].project_id, scale__in=[step.rung for step in steps]))


def progress_at(step: ScaleUp, runs: Sequence[Run]) -> ScaleUpProgress:
    """How far a scale-up is on its rung, from the runs of all that run."""
    base, here = step.patch_set.base_id, [run for run in runs if run.scale == step.rung]
    own = [run for run in here if run.patch_set_id == step.patch_set_id or (not run.patch_set_id and run.baseline_id == base)]
    left = [run.left for run in own if run.state == State.RUNNING and run.left is not None]
    ended, done = sum(run.state == State.FINISHED for run in own), sum(run.progress for run in own)
    return ScaleUpProgress(step, ended, len(own), done / len(own) if own else 0.0, max(left, default=None))


@researcher
@require_safe
def price(request: HttpRequest, slug: str) -> HttpResponse:
    """What the picks on the page cost together, and whether the budget allows it: selection for while a person picks."""
    project = get_project(request, slug)
    try:
        selection, refused = quoted(project, read(project, request.GET)), ""
    except ReviewRefused as error:
        selection, refused = None, str(error)
    context = price_context(project, selection, account_of(project))
    context |= {"excess": refused or context["excess"], "may_approve": may_vote(request.user, project, Gate.SHORTLIST)}
    return render(request, "shortlist/_price.html", context)


def price_context(project: Project, selection: Quote | None, account: Account) -> dict[str, Any]:
    """What the line with the price shows."""
    excess = account.excess(selection.whole) if selection else ""
    context = {"project": project, "quote": selection, "excess": excess, "account": account}
    return context | (hours_beside(selection.whole.counted, account.hours_left) if selection else {})


@researcher
@require_safe
def conflicts(request: HttpRequest, slug: str) -> HttpResponse:
    """Which candidates of the list conflict with which, as a table: asked for when it is unfolded."""
    return render(request, "shortlist/_conflicts.html", {"matrix": conflict_matrix(get_project(request, slug))})


def hours_beside(needed: float, left: float | None) -> dict[str, str]:
    """The hours that picks need beside those that are left, told apart; the latter empty without a limit."""
    if left is None:
        return {"hours": told_apart(needed)[0], "hours_left": ""}
    return dict(zip(("hours", "hours_left"), told_apart(needed, max(0.0, left)), strict=True))


@reviewer
@require_POST
def approve(request: HttpRequest, slug: str) -> HttpResponse:
    """Approve the picked scale-ups and their price."""
    project = get_project(request, slug)
    require_vote(request, project, Gate.SHORTLIST)
    assert isinstance(request.user, User)
    reason = request.POST.get("reason", "")[:MAX_REASON]
    try:
        picks = read(project, request.POST)
        begun = approve_scale_ups(project, picks, request.user, reason)
    except (ReviewRefused, StageMoved) as error:
        return _refused(request, project, str(error), stale=isinstance(error, StalePage | StageMoved))
    sentences = [f"{', '.join(str(step.candidate) for step in begun)}: scale-up approved."] if begun else []
    if len(begun) < len(picks):
        sentences.append("Your approval is on record; the others that the policy wants are still missing.")
    messages.info(request, " ".join(sentences))
    return gone_to(request, reverse("shortlist", args=[slug]))


@reviewer
@require_POST
def skip(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Send one candidate to gate 2 without a scale-up."""
    project = get_project(request, slug)
    require_vote(request, project, Gate.SHORTLIST)
    candidate = get_candidate(request, slug, number)
    assert isinstance(request.user, User)
    try:
        seen = seen_of(request.POST.get(f"seen-{number}", ""))
        went = skip_scale_up(candidate, request.user, seen, request.POST.get(f"why-{number}", "")[:MAX_REASON])
    except (ReviewRefused, StageMoved) as error:
        return _refused(request, project, str(error), stale=isinstance(error, StalePage | StageMoved))
    messages.info(
        request,
        f"{candidate} awaits landing approval now." if went else f"{candidate}: on record; other approvals are still missing.",
    )
    return gone_to(request, reverse("shortlist", args=[slug]))


@operator
@require_POST
def stack(request: HttpRequest, slug: str) -> HttpResponse:
    """Make one candidate of the picked ones: judged at the smallest scale first, then on the shortlist as one."""
    project = get_project(request, slug)
    numbers = wholes(request.POST.getlist("pick"))
    members = list(project.candidates.filter(number__in=numbers).select_related("patch_set", "project"))
    try:
        made = form_stack(project, members, request.user.get_username())
    except NoStack as error:
        return _refused(request, project, str(error), stale=False)
    messages.info(request, f"{made} is the stack of {', '.join(map(str, members))}. It is judged at S first, then it is here.")
    return gone_to(request, reverse("shortlist", args=[slug]))


def read(project: Project, sent: QueryDict) -> list[Pick]:
    """The picks of a form. Raises ReviewRefused for what is no number or no candidate of the project."""
    numbers = wholes(sent.getlist("pick"))
    candidates = {
        c.number: c for c in project.candidates.filter(number__in=numbers).select_related("project", "patch_set__base")
    }
    if missing := [number for number in numbers if number not in candidates]:
        raise ReviewRefused(f"There is no C-{missing[0]} in this project.")
    picks = []
    for number in numbers:
        plans = []
        for name in sent.getlist(f"rungs-{number}"):
            seeds = whole(sent.get(f"seeds-{number}-{name}"), 999)
            if seeds is None:
                raise ReviewRefused(f"C-{number} at {name}: give the seeds of each arm as a number, 2 to 64.")
            plans.append(Plan(name, seeds))
        picks.append(Pick(candidates[number], seen_of(sent.get(f"seen-{number}", "")), plans))
    return picks


def quoted(project: Project, picks: Sequence[Pick]) -> Quote | None:
    """The price of picks; None where nothing was picked. Raises ReviewRefused for a rung that there is not."""
    chosen = [pick for pick in picks if pick.plans and pick.candidate.patch_set]
    known = {rung.name for rung in project.file.upper_rungs}
    if unknown := {plan.rung for pick in chosen for plan in pick.plans} - known:
        raise ReviewRefused(f"The ladder has no rung {', '.join(sorted(unknown))}: reload the page.")
    trained = trained_seeds([pick.candidate for pick in chosen])
    return quote(project, [(pick.candidate.revision.base, pick.plans) for pick in chosen], trained) if chosen else None


def seen_of(words: str) -> Seen:
    """What the person had before their eyes, as the form keeps it."""
    parts = [*words.split(" "), "", "", "", ""][:4]
    return Seen(parts[0], parts[1], parts[2], whole(parts[3]) or 0)


def gone_to(request: HttpRequest, address: str) -> HttpResponse:
    """It was done: on to a page, whether a script or a plain form asked."""
    if not request.headers.get("HX-Request"):
        return redirect(address)
    return HttpResponse(status=204, headers={"HX-Redirect": address})


def refusal(request: HttpRequest, why: str, *, stale: bool) -> HttpResponse | None:
    """Why it was not done, for the place beside the buttons, so that what was picked and typed stays; None for a plain form."""
    if not request.headers.get("HX-Request"):
        return None
    html = format_html('<p class="refused">{}</p>', visible(why))
    return HttpResponse(html, status=409 if stale else 422)


def _refused(request: HttpRequest, project: Project, why: str, *, stale: bool) -> HttpResponse:
    if answer := refusal(request, why, stale=stale):
        return answer
    response = live.page(request, "shortlist/shortlist.html", FRAGMENTS, context_of(request, project, refused=why))
    response.status_code = 409 if stale else 422
    return response
