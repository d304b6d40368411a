"""/projects/<slug>/baseline/ : every version of the baseline, what brought it, who approved it, how it scores and how fast."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from research_app.access import may_operate
from research_app.evidence.averages import deviation, mean
from research_app.loop.judge.target import Measured, measure_target, target_price, times_to_target
from research_app.models import BaselineVersion, Candidate, Decision, Kind, Landing, LandingState, Project, Review
from research_app.models.candidate import DISCARDED, failed_at_rungs
from research_app.repository import RepositoryError
from research_app.web.baseline.window import window_of
from research_app.web.shared import live
from research_app.web.shared.access import get_project, operator, researcher
from research_app.web.shared.stats_cache import noise_of
from research_app.web.shared.unchanged import still

SHOWN = 200  # versions, newest first
FRAGMENTS = {"window": "baseline/_window.html", "versions": "baseline/_versions.html"}


@dataclass(frozen=True)
class Version:
    """One version with its scores, the trailers of its commit, and its measured way to the first version's score."""

    version: BaselineVersion
    landings: Sequence[Landing]
    scores: Sequence[float]
    trailers: Sequence[tuple[str, str]]
    target: Measured
    reverted_by: Candidate | None

    @property
    def undone(self) -> bool:
        """Whether nothing of what it brought is part of the baseline any more."""
        return bool(self.landings) and all(landing.candidate.undone for landing in self.landings)

    @property
    def n(self) -> int:
        return len(self.scores)

    @property
    def mean(self) -> float | None:
        return mean(self.scores)

    @property
    def std(self) -> float | None:
        return deviation(self.scores)

    @property
    def contradictions(self) -> list[str]:
        """What later measurements say against it."""
        return [line for landing in self.landings for line in landing.contradictions.splitlines()]


@researcher
@require_safe
@still()
def baseline(request: HttpRequest, slug: str) -> HttpResponse:
    """The history of the baseline. A constant number of queries."""
    project = get_project(request, slug)
    listed = versions(project)
    can_measure = listed and listed[0].version.number and not project.file.budget.own
    price = target_price(project, listed[0].version) if can_measure else None
    context = {"project": project, "versions": listed, "repository": project.folder / "repository.git", "price": price}
    context["seconds"] = price.hours * 3600 if price and price.hours is not None else None
    context["may_operate"] = may_operate(request.user)
    made = {each.version.pk: list(each.landings) for each in listed}
    context["window"] = window_of(request, project, made)
    context["moved"] = project.external_moves.waiting().first()
    return live.page(request, "baseline/baseline.html", FRAGMENTS, context)


@operator
@require_POST
def measure(request: HttpRequest, slug: str) -> HttpResponse:
    """Run the newest version at smaller budgets, to see when it is where the first one ended."""
    project = get_project(request, slug)
    assert isinstance(request.user, User)  # the decorator lets nobody else in
    measure_target(project.tip(), request.user.get_username())
    return redirect("baseline", slug=slug)


def versions(project: Project) -> list[Version]:
    """Newest first. A constant number of queries and one read of git."""
    newest = list(project.baseline_versions.order_by("-number")[:SHOWN])
    scores: dict[int, list[float]] = defaultdict(list)
    runs = project.runs.scored().of_baseline().filter(budget_share=1.0)
    for pk, score in runs.values_list("baseline_id", "score"):
        scores[pk].append(float(score or 0.0))
    made, trailers, targets, undone = (
        landings_by(newest),
        trailers_of(project),
        times_to_target(project, newest, noise_of(project)),
        reverts_of(newest),
    )
    return [Version(v, made[v.pk], scores[v.pk], trailers.get(v.commit, ()), targets[v.pk], undone.get(v.pk)) for v in newest]


def landings_by(baseline_versions: Sequence[BaselineVersion]) -> dict[int, list[Landing]]:
    """What made each version, the whole of a batch first, with approvals. Two queries."""
    approvals = Review.objects.filter(decision=Decision.APPROVE, voided_at=None).select_related("reviewer")
    rows = Landing.objects.filter(version__in=baseline_versions, state=LandingState.LANDED).select_related(
        "candidate__project", "candidate__evidence", "candidate__patch_set"
    )
    rows = rows.defer("candidate__patch_set__diff", "candidate__evidence__numbers")
    made: dict[int, list[Landing]] = defaultdict(list)
    given = Prefetch("candidate__reviews", approvals, to_attr="approvals")
    for landing in rows.prefetch_related(given, failed_at_rungs("candidate__")).order_by("-batch", "pk"):
        if landing.version_id:
            made[landing.version_id].append(landing)
    return made


def reverts_of(baseline_versions: Sequence[BaselineVersion]) -> dict[int, Candidate]:
    """By version: the candidate that takes it back, landed or still on its way, and was not taken back itself. One query."""
    rows = Candidate.objects.filter(reverts__in=baseline_versions, kind=Kind.REVERT, undone_by=None).exclude(
        stage__in=DISCARDED
    )
    return {int(row.reverts_id or 0): row for row in rows.select_related("project").order_by("pk")}


def trailers_of(project: Project) -> dict[str, Sequence[tuple[str, str]]]:
    """Trailers by commit, as git has them. Empty where the repository cannot be read; the page then says so."""
    try:
        return {entry.commit: entry.trailers for entry in project.repository.log(SHOWN)}
    except RepositoryError:
        return {}
