"""The data of curves, one address each: JSON with an ETag that costs no read of a series, and CSV of every point."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import Count, Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

from research_app.models import BaselineVersion, Candidate, Run, Series, SeriesChunk, State
from research_app.models.run import arrays_of
from research_app.project_file.ladder import SMALLEST
from research_app.strict_json import StrictJsonResponse
from research_app.web.candidate import findings
from research_app.web.shared import curves, live
from research_app.web.shared.access import get_candidate, get_run, researcher
from research_app.web.shared.cells import Echo, harmless
from research_app.web.shared.curves import Group, View
from research_app.web.shared.gaps import Gap
from research_app.web.shared.query_numbers import real
from research_app.web.shared.readings import readings
from training.spec import Outcome

SERIES = "val_loss"  # shown where none is asked for
GAPS = 20  # of a run that are marked


@dataclass(frozen=True)
class Arm:
    """Runs of one tree at one scale. `base` is the key of the arm that it is compared with."""

    key: str
    name: str
    role: str
    runs: Sequence[Run]
    base: str = ""
    title: str = ""  # what stands beside its name in a legend
    colour: str = ""  # of its candidate, the same on every page; empty: that of baselines

    def shown(self, view: View) -> Sequence[Run]:
        """Every run where each is drawn; for a mean those that completed, because it ends where its shortest run does."""
        ended = [run for run in self.runs if run.outcome == Outcome.completed]
        return self.runs if view.band == "all" else ended or self.runs


@dataclass(frozen=True)
class Arms:
    """What one set of panels shows."""

    arms: Sequence[Arm]
    scale: str
    scales: Sequence[str]

    @property
    def ids(self) -> list[int]:
        return [run.pk for arm in self.arms for run in arm.runs]

    @property
    def reference(self) -> str:
        """Key of the arm that others are read against, where nobody chose one: the first baseline, or the first arm."""
        baselines = (arm.key for arm in self.arms if arm.role == "baseline")
        return next(baselines, self.arms[0].key if self.arms else "")


@researcher
@require_safe
def candidate_curves(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Curves of a candidate's runs against those of its baseline, at one scale."""
    candidate = get_candidate(request, slug, number)
    return answer(request, arms_of(candidate, request.GET.get("scale", "")), f"{slug}-{candidate}")


def arms_of(candidate: Candidate, wanted: str = "") -> Arms:
    """Runs of a candidate and of its baseline at one scale: the wanted one, or that of its evidence. One query."""
    patch_set = candidate.patch_set
    base = patch_set.base if patch_set else candidate.base
    whose = Q(patch_set=patch_set) if patch_set else Q(pk=None)
    runs = started(Run.objects.filter(whose | of_bases([base])))
    mine = [run for run in runs if run.patch_set_id]
    scales = list(dict.fromkeys(run.scale for run in sorted(mine, key=lambda run: run.pk))) or [SMALLEST]
    scale = next(
        each for each in (wanted, candidate.evidence.scale if candidate.evidence else None, scales[0]) if each in scales
    )
    reference = Arm("base", f"baseline {base.number}", "baseline", [r for r in runs if not r.patch_set_id and r.scale == scale])
    at_scale = [run for run in mine if run.scale == scale]
    arm = Arm("candidate", str(candidate), "candidate", at_scale, reference.key, colour=candidate.colour)
    return Arms([reference, arm], scale, scales)


@researcher
@require_safe
def run_curves(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Curves of one run, and of its baseline's other runs for comparison."""
    run = get_run(request, slug, pk)
    runs = started(Run.objects.filter(of_bases([run.baseline]), scale=run.scale).exclude(pk=run.pk))
    reference = Arm("base", f"baseline {run.baseline.number}", "baseline", runs)
    colour = run.patch_set.candidate.colour if run.patch_set else ""
    arm = Arm("run", run.name, "candidate", [run], reference.key, colour=colour)
    return answer(request, Arms([reference, arm], run.scale, [run.scale]), f"{slug}-run-{pk}")


def of_bases(versions: Sequence[BaselineVersion]) -> Q:
    """Runs of these versions' own tree with the whole budget: other budgets feed the loss curve alone."""
    return Q(baseline__in=versions, patch_set=None, cell=None, budget_share=1.0)


def started(runs: QuerySet[Run]) -> list[Run]:
    """Those that may have logged something, in the order of their seeds."""
    return list(runs.exclude(state=State.QUEUED).order_by("seed", "pk"))


def answer(request: HttpRequest, arms: Arms, name: str) -> HttpResponse:
    """One series over one axis, and the names of the others; as CSV every point of it. 304 where nothing was logged since."""
    view, series = View.of(request.GET), request.GET.get("series", SERIES)
    if request.GET.get("format") == "csv":
        return as_csv(arms, series, view, name)
    place, reference = real(request.GET.get("at")), request.GET.get("ref") or arms.reference
    tag = live.version(f"{arms} {state_of(arms.ids)} {series} {view} {place} {reference}")
    if (unchanged := get_conditional_response(request, etag=f'"{tag}"')) is not None:
        return unchanged
    packed = Series.objects.filter(run_id__in=arms.ids).values_list("name", flat=True).distinct()
    logged = arrays_of(arms.ids, {series, view.axis})
    offered = curves.names({*packed, *(each for run in logged.values() for each in run)})
    if offered and series not in offered:
        series = offered[0]
        logged = arrays_of(arms.ids, {series, view.axis})
    title, unit = curves.title_of(series)
    groups = groups_of(arms, logged, view)
    drawn = curves.picture(groups, series, view)
    body = {
        "series": series,
        "title": title,
        "unit": unit,
        "axis": view.axis,
        "axis_title": curves.AXES[view.axis],
        "band": view.band,
        "band_title": curves.BANDS[view.band],
        "scale": arms.scale,
        "scales": arms.scales,
        "offered": [{"name": each, "title": curves.title_of(each)[0]} for each in offered],
        "groups": [
            {"key": g.key, "name": g.name, "title": arm.title, "role": g.role, "n": len(g.runs), "colour": arm.colour}
            for g, arm in zip(groups, arms.arms, strict=True)
        ],
        "traces": drawn.traces,
        "clip": drawn.clip,
        "outside": drawn.outside,
        "gaps": gaps(arms, logged, series, view.axis),
        "marks": marks(arms, logged, series, view.axis),
        "reference": reference,
        "readings": None if place is None else [asdict(each) for each in readings(groups, series, view, place, reference)],
    }
    return live.with_etag(request, StrictJsonResponse(body), tag)


def state_of(ids: Sequence[int]) -> str:
    """Differs when a point was added to the series of these runs. Two queries, neither reads a point."""
    states = (each.objects.filter(run_id__in=ids).aggregate(n=Count("pk"), newest=Max("pk")) for each in (Series, SeriesChunk))
    return " ".join(f"{state['n']}:{state['newest']}" for state in states)


def groups_of(arms: Arms, logged: Mapping[int, curves.Logged], view: View) -> list[Group]:
    """The arms with what their runs logged."""
    groups = []
    for arm in arms.arms:
        runs = arm.shown(view)
        groups.append(Group(arm.key, arm.name, arm.role, [logged[r.pk] for r in runs], [r.seed for r in runs], arm.base))
    return groups


def marks(arms_: Arms, logged: Mapping[int, curves.Logged], name: str, axis: str) -> list[dict[str, Any]]:
    """Where detectors saw something on this series, on the axis that is shown. The baseline's own findings are not marked."""
    arms = [arm for arm in arms_.arms if arm.role == "candidate"]
    marked = [(arm, mark) for arm in arms for mark in findings.marks_on(name, arm.runs)]
    return [
        {
            "from": curves.at_step(logged[mark.run], mark.step_from, axis),
            "to": curves.at_step(logged[mark.run], mark.step_to, axis),
            "level": mark.level,
            "words": mark.words if len(arms) == 1 else f"{arm.name}, {mark.words}",
            "run": mark.run,
            "key": arm.key,
        }
        for arm, mark in marked
        if axis == "step" or axis in logged[mark.run]
    ]  # fmt: skip


def gaps(arms: Arms, logged: Mapping[int, curves.Logged], name: str, axis: str) -> list[dict[str, Any]]:
    """Where runs logged no number, the first GAPS of each: their lines are broken there, and a mark says what it was."""
    return [
        {"from": gap.start, "to": gap.end, "words": f"{arm.name} seed {run.seed}: {gap.words}", "key": arm.key}
        for arm in arms.arms
        for run in arm.runs
        for gap in (*curves.gaps_of(logged[run.pk], name, axis)[:GAPS], *end_of(run, logged[run.pk], name, axis))
    ]


def end_of(run: Run, logged: curves.Logged, name: str, axis: str) -> list[Gap]:
    """Where the curve of a run that became NaN or infinite ends: what came after its last point is not kept."""
    curve = curves.on_axis(logged, name, axis) if run.outcome == Outcome.not_finite else None
    return [] if curve is None else [Gap(float(curve[0][-1]), float(curve[0][-1]), "NaN or infinite after this point")]


def as_csv(arms: Arms, series: str, view: View, name: str) -> HttpResponse:
    """Every logged point of one series, not thinned and not smoothed: one line each."""
    response = HttpResponse(lines_of(arms, series, view), content_type="text/csv; charset=utf-8")
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in f"{name}-{series}")
    response.headers["Content-Disposition"] = f'attachment; filename="{safe}.csv"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def lines_of(arms: Arms, series: str, view: View) -> Iterator[str]:
    """The lines of the table."""
    writer, along = csv.writer(Echo()), view.axis != "step"
    yield writer.writerow(["group", "role", "run", "seed", "step", *([view.axis] if along else []), harmless(series)])
    logged = arrays_of(arms.ids, {series, view.axis})
    for arm in arms.arms:
        for run in arm.runs:
            steps, values = logged[run.pk].get(series, ((), ()))
            for step, value in zip(steps, values, strict=True):
                if along and view.axis not in logged[run.pk]:
                    break
                at = [curves.at_step(logged[run.pk], float(step), view.axis)] if along else []
                yield writer.writerow([arm.name, arm.role, run.pk, run.seed, f"{step:.17g}", *at, f"{value:.17g}"])
