"""/projects/<slug>/history/ : all experiments as a table and as a tree, and the baseline's landings with what they gained."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.core.paginator import Page, Paginator
from django.db.models import Case, Count, F, Prefetch, Value, When, Window
from django.db.models.functions import RowNumber
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from research_app.access import may_operate
from research_app.evidence.averages import mean
from research_app.loop.runs import costs_of
from research_app.models import (
    BaselineVersion,
    Candidate,
    Decision,
    Landing,
    LandingState,
    Project,
    Review,
    Stage,
)
from research_app.models.candidate import DISCARDED, IDLE, WAITING, failed_at_rungs
from research_app.web.baseline.baseline import reverts_of
from research_app.web.candidates.candidates import for_list
from research_app.web.candidates.columns import COLUMNS
from research_app.web.shared import live
from research_app.web.shared.access import get_project, researcher
from research_app.web.shared.effects import Effect, Row, Scale, effect_of, rows
from research_app.web.shared.measured import difference, reference_scores
from research_app.web.shared.stats_cache import noise_of
from research_app.web.shared.unchanged import still

IN_TABLE = ("effect", "n", "state", "spent", "proposed")  # of the columns of the candidate list
VIEWS = {"table": "Table", "tree": "Tree", "landings": "Landings"}
EXPERIMENTS, VERSIONS, BRANCHES = 100, 20, 12  # on one page; BRANCHES of each version of the tree


@researcher
@require_safe
@still()
def history(request: HttpRequest, slug: str) -> HttpResponse:
    """One of the three views. A constant number of queries, however much was tried."""
    project = get_project(request, slug)
    view = request.GET.get("show", "table")
    view = view if view in VIEWS else "table"
    context = {"project": project, "view": view, "views": VIEWS, "metric": project.file.metric}
    context |= {"table": table, "tree": tree, "landings": landings}[view](request, project)
    return live.page(request, "history/history.html", {"history": f"history/_{view}.html"}, context)


def table(request: HttpRequest, project: Project) -> dict[str, object]:
    """Every experiment, archived ones too, in the order in which they were proposed. Three queries."""
    oldest = request.GET.get("order") == "oldest"
    queryset = for_list(Candidate.objects.filter(project=project)).select_related("base")
    page = _page(request, queryset.order_by("number" if oldest else "-number"), EXPERIMENTS)
    listed = list(page.object_list)
    columns = [COLUMNS[name] for name in IN_TABLE]
    return {"page": page, "rows": rows(listed, costs_of(listed)), "columns": columns, "oldest": oldest}


@dataclass(frozen=True)
class Node:
    """One baseline version with what was tried on it."""

    version: BaselineVersion
    landings: Sequence[Landing]  # what made it; none for the first, or where it was moved by hand
    counts: Mapping[str, int]
    branches: Sequence[Row]

    @property
    def tried(self) -> int:
        return sum(self.counts.values())

    @property
    def hidden(self) -> int:
        """Branches that are not shown."""
        return self.tried - len(self.branches)

    @property
    def kinds(self) -> list[tuple[str, int]]:
        """How its branches ended, in words."""
        groups = (("landed", (Stage.LANDED,)), ("at a gate", WAITING), ("discarded", DISCARDED))
        counts = [(words, sum(self.counts.get(stage, 0) for stage in stages)) for words, stages in groups]
        going = sum(count for stage, count in self.counts.items() if stage not in IDLE)
        return [(words, count) for words, count in (*counts, ("under way", going)) if count]


def tree(request: HttpRequest, project: Project) -> dict[str, object]:
    """The trunk is the baseline, newest version on top; what was tried on a version branches off it. Five queries."""
    page = _page(request, project.baseline_versions.order_by("-number"), VERSIONS)
    versions = list(page.object_list)
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    on_these = Candidate.objects.filter(base__in=versions)
    for base, stage, count in on_these.order_by().values_list("base_id", "stage").annotate(Count("pk")):
        counts[base][stage] = count
    # The outcome first: landed, at a gate, under way; of the rest the best.
    rank = Case(
        When(stage=Stage.LANDED, then=0), When(stage__in=WAITING, then=1), When(stage__in=DISCARDED, then=3), default=Value(2)
    )
    place = Window(RowNumber(), partition_by=F("base"), order_by=[rank, F("evidence__effect").desc(nulls_last=True), "-number"])
    notable = for_list(on_these).annotate(place=place).filter(place__lte=BRANCHES).prefetch_related("members__project")
    listed = list(notable.order_by("place"))
    branches: dict[int, list[Row]] = defaultdict(list)
    for row in rows(listed, costs_of(listed)):
        branches[row.candidate.base_id].append(row)
    made = _made(versions)
    return {"page": page, "nodes": [Node(v, made[v.pk], counts[v.pk], branches[v.pk]) for v in versions]}


@dataclass(frozen=True)
class Landed:
    """One landing with the effect on which it was approved."""

    landing: Landing
    effect: Effect | None


@dataclass(frozen=True)
class Step:
    """One version of the baseline: what made it, and how its own runs compare with the first and the previous version's."""

    version: BaselineVersion
    landed: Sequence[Landed]
    n: int
    mean: float | None
    gain: Effect | None  # against the version before
    total: Effect | None  # against the first version
    scale: Scale
    reverted_by: Candidate | None

    @property
    def undone(self) -> bool:
        """Whether nothing of what made it is part of the baseline any more."""
        return bool(self.landed) and all(each.landing.candidate.undone for each in self.landed)

    @property
    def bar(self) -> str:
        return self.scale.bar(self.total) if self.total else ""


def landings(request: HttpRequest, project: Project) -> dict[str, object]:
    """Every version with its measured gain: means of reference runs, never a sum of single effects. At most nine queries."""
    page = _page(request, project.baseline_versions.order_by("-number"), VERSIONS)
    versions = list(page.object_list)
    earliest = versions[-1].number if versions else 0
    compared = {v.number: v for v in (*versions, *project.baseline_versions.filter(number__in=[0, earliest - 1]))}
    scores, noise, made, sign = (
        reference_scores(compared.values()),
        noise_of(project),
        _made(versions),
        project.sign,
    )

    def against(number: int, version: BaselineVersion) -> Effect | None:
        other = compared.get(number)
        return difference(scores[other.pk], scores[version.pk], noise, sign) if other and other.pk != version.pk else None

    totals = {v.pk: against(0, v) for v in versions}
    scale, undone = Scale.of(totals.values()), reverts_of(versions)
    steps = []
    for v in versions:
        landed = [Landed(landing, effect_of(landing.candidate.evidence)) for landing in made[v.pk]]
        middle, back = mean(scores[v.pk]), undone.get(v.pk)
        steps.append(Step(v, landed, len(scores[v.pk]), middle, against(v.number - 1, v), totals[v.pk], scale, back))
    return {"page": page, "steps": steps, "may_operate": may_operate(request.user)}


def _made(versions: Sequence[BaselineVersion]) -> dict[int, list[Landing]]:
    """The landings that made each version, with their candidates, approvals and reverts. Two queries."""
    approvals = Review.objects.filter(decision=Decision.APPROVE, voided_at=None).select_related("reviewer")
    landings = Landing.objects.filter(version__in=versions, state=LandingState.LANDED).select_related(
        "candidate__project", "candidate__evidence", "candidate__patch_set", "candidate__reverts"
    )
    landings = landings.defer("candidate__patch_set__diff")
    made: dict[int, list[Landing]] = defaultdict(list)
    given = Prefetch("candidate__reviews", approvals, to_attr="approvals")
    for landing in landings.prefetch_related(given, failed_at_rungs("candidate__")).order_by("pk"):
        if landing.version_id:
            made[landing.version_id].append(landing)
    return made


def _page(request: HttpRequest, items: object, size: int) -> Page:  # type: ignore[type-arg]
    return Paginator(items, size).get_page(request.GET.get("page"))  # type: ignore[arg-type]
