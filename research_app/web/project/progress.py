"""The progress chart: every experiment of a project by number, as score, as time saved, or as time to the target."""

import math
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate
from typing import Any, Protocol, TypeVar

import numpy as np
from django.db.models import Count, Max
from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

from research_app.evidence import digits
from research_app.evidence.errors import EvidenceError
from research_app.evidence.savings import LossCurve, first_reach, fit_loss_curve, time_to_target
from research_app.loop.judge.budget_check import OWN_BUDGET
from research_app.models import Project, Purpose, Stage, Verdict
from research_app.models.run import arrays_of
from research_app.project_file.ladder import SMALLEST
from research_app.strict_json import StrictJsonResponse
from research_app.web.shared import curves, figures, live
from research_app.web.shared.access import get_project, researcher
from research_app.web.shared.stats_cache import noise_of, version_of

MAX_PLAIN = 1000  # experiments of one kind that are drawn one by one; above, the best and the worst of each bucket
MEASURES = {"score": "score", "saved": "time saved", "target": "time to target"}
LOSS = "val_loss"  # what time to target is read off
READ_AT_ONCE = 200  # runs whose curves are held in memory together
REMEMBERED = 20_000  # runs whose time to target is kept in this process
BROKEN = (Stage.CRASHED, Stage.INVALID, Stage.CONFLICT)
GATED = (Stage.SHORTLISTED, Stage.READY, Stage.LANDING)


@dataclass(frozen=True)
class Point:
    """One experiment. `value` is what the chart measures; health hides it here too."""

    number: int
    stage: str
    title: str
    created: datetime
    base: int
    mean: float | None
    n: int | None
    verdict: str | None
    duplicate_of: int | None = None  # number of the earlier try for which it was refused
    value: float | None = None
    score_text: str = ""  # the value in words, where it is no score

    @property
    def score(self) -> float | None:
        return None if self.verdict == Verdict.INVALID else self.mean

    @property
    def kind(self) -> str:
        if self.stage == Stage.LANDED:
            return "landed"
        if self.value is None:
            return "unscored"
        return "waiting" if self.stage in GATED else "tried"

    def plain(self) -> dict[str, Any]:
        stage = f"duplicate of C-{self.duplicate_of}" if self.duplicate_of else Stage(self.stage).label
        about = f"{stage}" + (f", n = {self.n}" if self.n else "")
        return {
            "x": self.number,
            "y": self.value,
            "words": self.title,
            "about": about,
            "told": self.score_text or digits.score(self.value),
        }


class Placed(Protocol):
    """What stands at a number and has a value there, if it has one."""

    @property
    def number(self) -> int: ...
    @property
    def value(self) -> float | None: ...


Dots = TypeVar("Dots", bound=Placed)


@dataclass(frozen=True)
class Measured:
    """One way to look at all experiments: their values, the baselines' own, and which direction is better."""

    title: str
    lower_is_better: bool
    points: Sequence[Point]
    bands: Sequence[dict[str, Any]]
    note: str = ""  # why there is nothing to see, or what the values mean
    written: Callable[[float | None], str] = digits.score  # a value as text


@researcher
@require_safe
def progress(request: HttpRequest, slug: str) -> HttpResponse:
    """Every experiment of a project: value by number, the best so far, landings, and the baselines' bands."""
    project, measure = get_project(request, slug), request.GET.get("measure", "score")
    measure = measure if measure in MEASURES else "score"
    state = project.candidates.aggregate(Count("pk"), Max("stage_since"), Max("number"))
    tag = live.version(f"{project.pk} {measure} {state} {version_of(project)} {project.baseline_versions.count()}")
    if (unchanged := get_conditional_response(request, etag=f'"{tag}"')) is not None:
        return unchanged
    measured = MEASURED[measure](project, points_of(project))
    chart = drawn(measured.points, measured.lower_is_better)
    best = chart["best"]["y"]
    body = {
        "measure": measure,
        "title": measured.title,
        "direction": "lower" if measured.lower_is_better else "higher",
        "note": measured.note,
        "address": f"{project.get_absolute_url()}candidates/",
        "bands": [band | {"told": measured.written(band["mean"])} for band in measured.bands],
        "self_reported": project.self_reported,
        "best_told": measured.written(best[-1]) if best else "",
        **chart,
    }
    return live.with_etag(request, StrictJsonResponse(body), tag)


def points_of(project: Project) -> list[Point]:
    """All experiments by number. One query."""
    fields = ("number", "stage", "title", "created_at", "base_id")
    evidence = ("evidence__candidate_mean", "evidence__candidate_n", "evidence__verdict")
    rows = project.candidates.order_by("number").values_list(*fields, *evidence, "duplicate_of__number")
    return [Point(*row) for row in rows]


def by_score(project: Project, points: Sequence[Point]) -> Measured:
    """The metric itself; bands are mean ± standard deviation of each baseline's runs. Two queries."""
    metric = project.file.metric
    valued = [replace(point, value=point.score) for point in points]
    scores: dict[int, list[float]] = {}
    runs = project.runs.scored().of_baseline().filter(budget_share=1.0)
    for base, score in runs.values_list("baseline_id", "score"):
        scores.setdefault(base, []).append(float(score or 0.0))
    values = {base: (*curves.mean_and_std(values_of_base), len(values_of_base)) for base, values_of_base in scores.items()}
    return Measured(metric.name, metric.direction == "lower", valued, bands(project, points, values))


def by_time_saved(project: Project, points: Sequence[Point]) -> Measured:
    """The share of its own baseline's time that an experiment saves at equal loss. Four queries."""
    fitted = loss_curves(project)
    valued = []
    for point in points:
        saved = saved_by(point.score, fitted.get(point.base))
        valued.append(replace(point, value=saved, score_text=f"{_percent(saved)} time saved"))
    note = "Of its own baseline's time, at equal loss; outside the budgets that the baseline was run at, extrapolated."
    if not fitted:
        note = "The baseline was not run at other budgets yet: they come with the first confirmation."
    if project.file.budget.own:
        note = OWN_BUDGET
    zero = dict.fromkeys(fitted, (0.0, None, 0))
    return Measured("time saved at equal loss", False, valued, bands(project, points, zero), note, _percent)


def _percent(share: float | None) -> str:
    return figures.percent(share, signed=True)


def loss_curves(project: Project) -> dict[int, LossCurve]:
    """Loss against budget of every baseline version that was run at enough budgets. Two queries."""
    losses: dict[int, tuple[list[float], list[float]]] = {}
    runs = project.runs.scored().of_baseline().exclude(purpose=Purpose.TARGET)  # those have far smaller budgets
    for base, share, score in runs.values_list("baseline_id", "budget_share", "score"):
        shares, scores = losses.setdefault(base, ([], []))
        shares.append(share)
        scores.append(float(score or 0.0))
    noise, fitted = noise_of(project), {}
    for base, (shares, scores) in losses.items():
        if noise is None or len(set(shares)) < 3:
            continue
        try:
            fitted[base] = fit_loss_curve(shares, scores, noise.sigma, lower_is_better=project.sign > 0)
        except EvidenceError:  # a flat line: no time can be read off it
            continue
    return fitted


def saved_by(score: float | None, curve: LossCurve | None) -> float | None:
    """1 − 1/needed, where the baseline needs `needed` of its budget for this score; at worst ten times the time is lost."""
    if score is None or curve is None:
        return None
    return max(-9.0, 1.0 - math.exp(min(-(score - curve.intercept) / curve.slope, 700.0)))


def by_time_to_target(project: Project, points: Sequence[Point]) -> Measured:
    """How much of its budget a run has used when the validation loss is what the first baseline ends with: medians over seeds.

    Seconds would say what else the machine did; they are shown where the budget itself is a time. Four queries, and for runs
    that this process has not read yet two more for every READ_AT_ONCE of them.
    """
    rows = project.runs.completed().filter(scale=SMALLEST, budget_share=1.0, cell=None).order_by("pk")
    by_arm: dict[tuple[int, int | None], list[int]] = {}
    for pk, base, candidate in rows.values_list("pk", "baseline_id", "patch_set__candidate__number"):
        by_arm.setdefault((base, candidate), []).append(pk)
    first = project.baseline_versions.order_by("number").values_list("pk", flat=True).first()
    budget = project.file.run_budget()
    timed, axis = budget.is_time, budget.series
    unit = 1.0 if timed or not budget.amount else budget.amount / 100
    ends = [curve[1][-1] for curve in loss_over(axis, by_arm.get((first or 0, None), [])).values() if curve]
    title = f"{budget.unit} to the target" if unit == 1.0 else "% of the budget to the target"
    if not ends:
        return Measured(title, True, points, [], "The first baseline has no run yet that logged its validation loss.")
    target, paths = float(np.mean(ends)), loss_over(axis, [pk for runs in by_arm.values() for pk in runs])
    medians = {arm: median_time([paths[pk] for pk in runs], target, unit) for arm, runs in by_arm.items()}
    of_candidate = {candidate: median for (_, candidate), median in medians.items() if candidate is not None}
    valued = []
    for point in points:
        needed, sentence = of_candidate.get(point.number, (None, "")) if point.score is not None else (None, "")
        valued.append(replace(point, value=needed, score_text=sentence or figures.NOTHING))
    values = {base: (median[0], None, len(by_arm[base, None])) for (base, candidate), median in medians.items()
              if candidate is None and median[0] is not None}  # fmt: skip
    note = f"Until the validation loss is {digits.number(target, 4)}, with which baseline 0 ends: median over seeds."
    note += " By the clock, which bends with what else the machine does: compare runs of the same minutes." if timed else ""
    return Measured(title, True, valued, bands(project, points, values), note, digits.number)


MEASURED = {"score": by_score, "saved": by_time_saved, "target": by_time_to_target}
Path = tuple[list[float], list[float]] | None  # what was spent and losses; None where a run did not log both
_paths: OrderedDict[tuple[str, int], Path] = OrderedDict()  # of completed runs: they do not change any more


def loss_over(axis: str, runs: Sequence[int]) -> dict[int, Path]:
    """The validation loss of completed runs over what they had spent, remembered for the next time."""
    missing = [pk for pk in runs if (axis, pk) not in _paths]
    paths = {pk: _paths[axis, pk] for pk in runs if (axis, pk) in _paths}
    for start in range(0, len(missing), READ_AT_ONCE):
        for pk, logged in arrays_of(missing[start : start + READ_AT_ONCE], (LOSS, axis)).items():
            curve = curves.on_axis(logged, LOSS, axis)
            paths[pk] = _paths[axis, pk] = (curve[0].tolist(), curve[1].tolist()) if curve else None
    while len(_paths) > REMEMBERED:
        _paths.popitem(last=False)
    return paths


def median_time(paths: Iterable[Path], target: float, unit: float) -> tuple[float | None, str]:
    """The median over seeds of what was spent, in this unit, and how many got there; runs that stopped before count as such."""
    known = [([each / unit for each in path[0]], path[1]) for path in paths if path and path[0][-1] > 0]
    if not known:
        return None, "the validation loss was not logged"
    crossing = time_to_target([first_reach(x, y, target) for x, y in known], [x[-1] for x, _ in known])
    return crossing.median, crossing.sentence


def drawn(points: Sequence[Point], lower_is_better: bool) -> dict[str, Any]:
    """The points by kind, and the best so far as steps. Kinds with very many points are thinned, extremes kept."""
    kinds: dict[str, list[Point]] = {"tried": [], "waiting": [], "landed": [], "unscored": []}
    best: list[tuple[int, float]] = []
    sign = 1.0 if lower_is_better else -1.0
    for point in points:
        if point.kind != "unscored" or point.stage in BROKEN:
            kinds[point.kind].append(point)
        if point.value is not None and (not best or sign * point.value < sign * best[-1][1]):
            best.append((point.number, point.value))
    visible = {kind: [point.plain() for point in thinned(kind_points)] for kind, kind_points in kinds.items()}
    last = points[-1].number if points else 0
    return {
        "points": visible,
        "best": {"x": [x for x, _ in best] + [last] * bool(best), "y": [y for _, y in best] + [y for _, y in best[-1:]]},
    }


def thinned(points: Sequence[Dots]) -> list[Dots]:
    """All of them up to MAX_PLAIN; above, the lowest and the highest value of each bucket of numbers."""
    if len(points) <= MAX_PLAIN:
        return list(points)
    width = curves.bucket_width(points[-1].number, MAX_PLAIN // 2 - 1)
    buckets: dict[int, list[Dots]] = {}
    for point in points:
        buckets.setdefault(int(point.number // width), []).append(point)
    kept = {id(pick(part, key=lambda p: p.value or 0.0)) for part in buckets.values() for pick in (min, max)}
    return [point for point in points if id(point) in kept]


def bands(
    project: Project, points: Sequence[Point], values: Mapping[int, tuple[float | None, float | None, int]]
) -> list[dict[str, Any]]:
    """(mean, std, n) of every baseline version, from the experiment at which it began. One query."""
    bands_ = []
    created, highest = by_time(points)
    for version in project.baseline_versions.order_by("number"):
        before = bisect_right(created, version.created_at)
        begin = highest[before - 1] if version.number and before else 0
        if version.pk in values:
            mean, std, n = values[version.pk]
            bands_.append({"number": version.number, "from": begin, "mean": mean, "std": std, "n": n})
    return bands_


def by_time(points: Sequence[Point]) -> tuple[list[datetime], list[int]]:
    """When experiments were proposed, in order, and the highest number until then."""
    ordered = sorted(points, key=lambda point: point.created)
    return [point.created for point in ordered], list(accumulate((point.number for point in ordered), max))
