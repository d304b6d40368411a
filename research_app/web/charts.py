"""The data of the charts, one address each, with an ETag that costs no read of a series."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Count, Max, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

from research_app.models import Project, Run, SeriesChunk, Stage, Verdict
from research_app.models.run import series_of
from research_app.web import curves, figures, findings, live
from research_app.web.access import get_candidate, get_project, get_run, researcher
from research_app.web.curves import Group
from training.spec import Outcome

MAX_PLAIN = 1000  # experiments of one kind that are drawn one by one; above, the best and the worst of each bucket


@researcher
@require_safe
def candidate_curves(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Curves of a candidate's runs against those of its baseline."""
    shown = get_candidate(request, slug, number)
    base = shown.patch_set.base if shown.patch_set else shown.base
    bank = settled(base.runs.of_baseline().filter(budget_share=1.0).order_by("seed"))
    mine = settled(shown.patch_set.runs.order_by("seed")) if shown.patch_set else []
    return _curves(request, [(f"baseline {base.number}", "baseline", bank), (str(shown), "candidate", mine)])


@researcher
@require_safe
def run_curves(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Curves of one run, and of its baseline's other runs for comparison."""
    shown = get_run(request, slug, pk)
    bank = settled(shown.baseline.runs.of_baseline().filter(budget_share=1.0).exclude(pk=shown.pk).order_by("seed"))
    return _curves(request, [(f"baseline {shown.baseline.number}", "baseline", bank), (shown.name, "candidate", [shown])])


def settled(runs: QuerySet[Run]) -> list[Run]:
    """Runs of a group that ended with a score; while there is none, all. A mean ends where its shortest run does."""
    found = list(runs)
    return [run for run in found if run.outcome == Outcome.completed] or found


def _curves(request: HttpRequest, groups: Sequence[tuple[str, str, Sequence[Run]]]) -> HttpResponse:
    """One series over one axis, and the names of the others. 304 where nothing was logged since."""
    axis = request.GET.get("x", "step")
    axis = axis if axis in curves.AXES else "step"
    name = request.GET.get("series", "val_loss")
    ids = [run.pk for _, _, runs in groups for run in runs]
    state = SeriesChunk.objects.filter(run_id__in=ids).aggregate(count=Count("pk"), newest=Max("pk"))
    tag = live.version(f"{ids} {state} {axis} {name}")
    if (unchanged := get_conditional_response(request, etag=f'"{tag}"')) is not None:
        return unchanged
    series = series_of(ids)
    offered = curves.names(list(series.values()))
    name = name if name in offered else next(iter(offered), name)
    title, unit = curves.TITLES.get(name, (name.replace("_", " ").capitalize(), ""))
    body = {
        "series": name,
        "title": title,
        "unit": unit,
        "axis": axis,
        "axis_title": curves.AXES[axis],
        "offered": [{"name": n, "title": curves.TITLES.get(n, (n.replace("_", " ").capitalize(), ""))[0]} for n in offered],
        "traces": curves.traces([Group(n, role, [series[r.pk] for r in runs]) for n, role, runs in groups], name, axis),
        "marks": marks(groups, series, name, axis),
    }
    return live.with_etag(request, JsonResponse(body), tag)


def marks(
    groups: Sequence[tuple[str, str, Sequence[Run]]], series: Mapping[int, curves.Series], name: str, axis: str
) -> list[dict[str, Any]]:
    """Where detectors saw something on this series, on the axis that is shown. The baseline's own findings are not marked."""
    found = findings.marks_on(name, [run for _, role, runs in groups for run in runs if role == "candidate"])
    return [
        mark | {"from": curves.at_step(series[mark["run"]], mark["from"], axis),
                "to": curves.at_step(series[mark["run"]], mark["to"], axis)}
        for mark in found
        if axis == "step" or axis in series[mark["run"]]
    ]  # fmt: skip


@researcher
@require_safe
def progress(request: HttpRequest, slug: str) -> HttpResponse:
    """Every experiment of a project: score by number, running best, landings, and the baseline's band."""
    project = get_project(request, slug)
    rows = project.candidates.order_by("number").values_list(
        "number", "stage", "hypothesis", "created_at", "evidence__candidate_mean", "evidence__candidate_n", "evidence__verdict"
    )
    state = project.candidates.aggregate(Count("pk"), Max("stage_since"), Max("number"))
    banks = project.runs.of_baseline().filter(budget_share=1.0, score__isnull=False).aggregate(Count("pk"), Max("pk"))
    tag = live.version(f"{project.pk} {state} {banks} {project.baseline_versions.count()}")
    if (unchanged := get_conditional_response(request, etag=f'"{tag}"')) is not None:
        return unchanged
    points = [Point(*row) for row in rows]
    metric = project.file.metric
    body = {
        "metric": metric.name,
        "direction": metric.direction,
        "address": f"{project.get_absolute_url()}candidates/",
        "bands": bands(project, points),
        "self_reported": project.self_reported,
        **drawn(points, project.sign),
    }
    return live.with_etag(request, JsonResponse(body), tag)


class Point:
    """One experiment on the progress chart. Health hides a score here too."""

    def __init__(
        self, number: int, stage: str, hypothesis: str, created: Any, mean: float | None, n: int | None, verdict: str | None
    ):
        self.number, self.stage, self.hypothesis, self.created, self.n, self.verdict = (
            number,
            stage,
            hypothesis,
            created,
            n,
            verdict,
        )
        self.score = None if verdict == Verdict.INVALID else mean

    @property
    def kind(self) -> str:
        if self.stage == Stage.LANDED:
            return "landed"
        if self.score is None:
            return "unscored"
        return "waiting" if self.stage in (Stage.SHORTLISTED, Stage.READY, Stage.LANDING) else "tried"

    def told(self) -> dict[str, Any]:
        words = self.hypothesis if len(self.hypothesis) <= 90 else f"{self.hypothesis[:89]}…"
        about = f"{Stage(self.stage).label}" + (f", n = {self.n}" if self.n else "")
        return {"x": self.number, "y": self.score, "words": words, "about": about, "score": figures.score(self.score)}


def drawn(points: Sequence[Point], sign: float) -> dict[str, Any]:
    """The points by kind, and the best score so far as steps. Kinds with very many points are thinned, extremes kept."""
    kinds: dict[str, list[Point]] = {"tried": [], "waiting": [], "landed": [], "unscored": []}
    best: list[tuple[int, float]] = []
    for point in points:
        if point.kind != "unscored" or point.stage in (Stage.CRASHED, Stage.INVALID, Stage.CONFLICT):
            kinds[point.kind].append(point)
        if point.score is not None and (not best or sign * point.score < sign * best[-1][1]):
            best.append((point.number, point.score))
    shown = {kind: [point.told() for point in thinned(found)] for kind, found in kinds.items()}
    last = points[-1].number if points else 0
    return {
        "points": shown,
        "best": {"x": [x for x, _ in best] + [last] * bool(best), "y": [y for _, y in best] + [y for _, y in best[-1:]]},
    }


def thinned(points: Sequence[Point]) -> list[Point]:
    """All of them up to MAX_PLAIN; above, the lowest and the highest score of each bucket of numbers."""
    if len(points) <= MAX_PLAIN:
        return list(points)
    width = curves.bucket_width(points[-1].number, MAX_PLAIN // 2 - 1)
    buckets: dict[int, list[Point]] = {}
    for point in points:
        buckets.setdefault(int(point.number // width), []).append(point)
    kept = {id(pick(part, key=lambda p: p.score or 0.0)): None for part in buckets.values() for pick in (min, max)}
    return [point for point in points if id(point) in kept]


def bands(project: Project, points: Sequence[Point]) -> list[dict[str, Any]]:
    """Mean and standard deviation of every baseline version's runs, from the experiment at which it began. Two queries."""
    scores: dict[int, list[float]] = {}
    for pk, score in project.runs.of_baseline().filter(budget_share=1.0).values_list("baseline_id", "score"):
        if score is not None:
            scores.setdefault(pk, []).append(score)
    found = []
    for version in project.baseline_versions.order_by("number"):
        begin = max((p.number for p in points if p.created <= version.created_at), default=0) if version.number else 0
        if version.pk in scores:
            mean, std = curves.mean_and_std(scores[version.pk])
            found.append({"number": version.number, "from": begin, "mean": mean, "std": std, "n": len(scores[version.pk])})
    return found
