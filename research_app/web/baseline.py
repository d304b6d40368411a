"""/projects/<slug>/baseline/ : every version of the baseline, what brought it, who approved it, how it scores."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from research_app.models import BaselineVersion, Decision, Landing, Project, Review
from research_app.repository import RepositoryError
from research_app.web import live
from research_app.web.access import get_project, researcher

SHOWN = 200  # versions, newest first


@dataclass(frozen=True)
class Version:
    """One version with its scores and the trailers of its commit."""

    version: BaselineVersion
    landing: Landing | None
    scores: Sequence[float]
    trailers: Sequence[tuple[str, str]]

    @property
    def n(self) -> int:
        return len(self.scores)

    @property
    def mean(self) -> float | None:
        return fmean(self.scores) if self.scores else None

    @property
    def std(self) -> float | None:
        return stdev(self.scores) if self.n > 1 else None


@researcher
@require_safe
def baseline(request: HttpRequest, slug: str) -> HttpResponse:
    """The history of the baseline. A constant number of queries."""
    project = get_project(request, slug)
    context = {"project": project, "versions": versions(project), "repository": project.folder / "repository.git"}
    return live.page(request, "baseline.html", {"versions": "baseline/_versions.html"}, context)


def versions(project: Project) -> list[Version]:
    """Newest first. Four queries and one read of git."""
    approvals = Review.objects.filter(decision=Decision.APPROVE, voided_at=None).select_related("reviewer")
    found = list(project.baseline_versions.order_by("-number")[:SHOWN])
    landings = Landing.objects.filter(version__in=found).select_related("candidate__project")
    by_version = {
        landing.version_id: landing
        for landing in landings.prefetch_related(Prefetch("candidate__reviews", approvals, to_attr="approvals"))
    }
    scores: dict[int, list[float]] = defaultdict(list)
    for pk, score in project.runs.of_baseline().filter(budget_share=1.0).values_list("baseline_id", "score"):
        if score is not None:
            scores[pk].append(score)
    trailers = trailers_of(project)
    return [Version(v, by_version.get(v.pk), scores[v.pk], trailers.get(v.commit, ())) for v in found]


def trailers_of(project: Project) -> dict[str, Sequence[tuple[str, str]]]:
    """Trailers by commit, as git has them. Empty where the repository cannot be read; the page then says so."""
    try:
        return {entry.commit: entry.trailers for entry in project.repository.log(SHOWN)}
    except RepositoryError:
        return {}
