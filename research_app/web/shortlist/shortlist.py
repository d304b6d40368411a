"""/projects/<slug>/shortlist/ : gate 1. What is solid, what its scale-up costs, what is left to spend; and approving it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
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
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST, require_safe

from research_app.access import may_operate, may_vote
from research_app.evidence.apart import told_apart
from research_app.evidence.transfer import Prediction, coverage_of
from research_app.loop.review.review import ReviewRefused, Seen, StalePage
from research_app.loop.scale_up.price import Pace, Price, account_of, pace_of, price_of
from research_app.loop.scale_up.scale_up import forecasts_of, passed_rungs, prediction, rungs_left, savings_by_rung
from research_app.loop.scale_up.shortlist import (
    Conflict,
    Pick,
    Plan,
    Quote,
    approve_scale_ups,
    conflicts,
    lacking,
    quote,
    skip_scale_up,
    trained_seeds,
)
from research_app.loop.stacks.stack import NoStack, form_stack, open_stacks_of
from research_app.models import Candidate, Evidence, Gate, Project, Run, ScaleUp, Stage, StageMoved, State
from research_app.project_file.ladder import Rung
from research_app.web.candidate.resources import Constant, constants_of
from research_app.web.candidate.verdict import GuardRow, Saving, guard_rows
from research_app.web.inbox.waiting import waiting_for
from research_app.web.shared import figures, live
from research_app.web.shared.access import get_candidate, get_project, operator, require_vote, researcher, reviewer
from research_app.web.shared.asked import whole, wholes
from research_app.web.shared.effects import Row
from research_app.web.shared.text import visible

MOST = 100  # candidates on the page, oldest first
LATELY = 6  # ended scale-ups that are shown
MAX_REASON = 4000  # characters
FRAGMENTS = {"books": "shortlist/_books.html", "list": "shortlist/_list.html", "under_way": "shortlist/_under_way.html"}


@dataclass(frozen=True)
class Option:
    """One rung that a candidate can be scaled up to."""

    rung: Rung
    price: Price
    prediction: Prediction | None
    chosen: bool

    @property
    def promise(self) -> str:
        """The predicted saving with its interval: 31% less time (12% … 50%)."""
        if self.prediction is None:
            return ""
        low, high = (figures.percent(bound) for bound in self.prediction.interval)
        return f"{figures.percent(self.prediction.saved)} less time expected ({low} … {high})"


@dataclass(frozen=True)
class Item:
    """A candidate on the shortlist."""

    row: Row
    notes: Sequence[str]
    seen: str
    saving: Saving | None
    constants: Sequence[Constant]
    guards: Sequence[GuardRow]
    options: Sequence[Option]
    conflicts: Sequence[Conflict]
    covered_by: Candidate | None  # the open stack that it is part of
    covers: Sequence[Candidate]  # those on the list that are part of it

    @property
    def candidate(self) -> Candidate:
        return self.row.candidate

    @property
    def bar(self) -> SafeString | None:
        return self.row.bar


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
def shortlist(request: HttpRequest, slug: str) -> HttpResponse:
    """The page."""
    return live.page(request, "shortlist/shortlist.html", FRAGMENTS, context_of(request, get_project(request, slug)))


def context_of(request: HttpRequest, project: Project, **more: Any) -> dict[str, Any]:
    """What the page shows. The number of queries grows with rungs and baseline versions, not with candidates."""
    rungs = project.file.upper_rungs
    paces = {rung.name: pace_of(project, rung) for rung in rungs}
    account = account_of(project)
    return {
        "project": project,
        "ladder": project.file.rungs,
        "rungs": rungs,
        "paces": [(rung, paces[rung.name]) for rung in rungs],
        "items": items_of(request, project, rungs, paces),
        "account": account,
        "no_price": not any(rung.price for rung in rungs),
        "scale_ups": scale_ups_of(project),
        "may_approve": may_vote(request.user, project, Gate.SHORTLIST),
        "may_operate": may_operate(request.user),
        "quote": None,
        "coverage": coverage_of(forecasts_of(project)),
        **more,
    }


def items_of(request: HttpRequest, project: Project, rungs: Sequence[Rung], paces: Mapping[str, Pace]) -> list[Item]:
    """The shortlist, who waited longest first."""
    waiting = (
        project.candidates.filter(stage=Stage.SHORTLISTED, archived_at=None, patch_set__isnull=False)
        .with_evidence()
        .select_related("patch_set__base")
    )
    listed = list(waiting.order_by("stage_since")[:MOST])
    assert isinstance(request.user, User)
    mine = {c.pk for c in listed} if may_vote(request.user, project, Gate.SHORTLIST) else set()
    stacks = open_stacks_of(listed)
    clashes = conflicts(listed, stacks)
    evidence: dict[int, list[Evidence]] = defaultdict(list)
    for each in Evidence.objects.filter(patch_set__in=[c.patch_set_id for c in listed]).order_by("pk"):
        evidence[each.patch_set_id].append(each)
    passed, seeds = passed_rungs(listed), dict(zip([c.pk for c in listed], trained_seeds(listed), strict=True))
    items = []
    for turn in waiting_for(request.user, mine, listed, {}):
        candidate = turn.candidate
        document = candidate.evidence.document if candidate.evidence else None
        savings = savings_by_rung(evidence[candidate.patch_set_id or 0])
        options = [
            option_of(rung, paces[rung.name], prediction(savings, rung.budget), seeds[candidate.pk], chosen=place == 0)
            for place, rung in enumerate(rungs_left(rungs, passed[candidate.pk]))
        ]
        items.append(
            Item(
                row=turn.row,
                notes=turn.notes,
                seen=" ".join(map(str, vars(Seen.of(candidate)).values())),
                saving=Saving.of(document.savings if document else None),
                constants=constants_of(candidate.patch_set),
                guards=guard_rows(document),
                options=options,
                conflicts=clashes[candidate.pk],
                covered_by=next(iter(stacks.get(candidate.pk, ())), None),
                covers=[other for other in listed if candidate in stacks.get(other.pk, ())],
            )
        )
    return items


def option_of(rung: Rung, pace: Pace, expected: Prediction | None, trained: Mapping[str, set[int]], *, chosen: bool) -> Option:
    """One rung on offer, priced without the runs that are there already."""
    missing = lacking(Plan(rung.name, rung.seeds), trained)
    return Option(rung, price_of(rung, pace, [1.0] * len(missing)), expected, chosen)


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
    """What the picks on the page cost together, and whether the budget allows it: asked for while a person picks."""
    project = get_project(request, slug)
    try:
        selection, refused = quoted(project, read(project, request.GET)), ""
        account = account_of(project)
        refused = account.excess(selection.whole) if selection else ""
    except ReviewRefused as error:
        selection, refused, account = None, str(error), account_of(project)
    context = {"project": project, "quote": selection, "excess": refused, "account": account}
    if selection:
        context |= hours_beside(selection.whole.counted, account.hours_left)
    return render(request, "shortlist/_price.html", context | {"may_approve": may_vote(request.user, project, Gate.SHORTLIST)})


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
