"""…/figure/ : the curves of a page as a figure for a paper or a slide, with its caption, table, data and script."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from research_app.evidence.noise import Noise
from research_app.models import BaselineVersion, Candidate, Project, Run, Verdict
from research_app.models.run import arrays_of, is_usable
from research_app.project_file.ladder import SMALLEST
from research_app.web.baseline.baseline import landings_by
from research_app.web.baseline.chart import half_of, usable
from research_app.web.compare.compare import Asked, BadSelection, Chosen
from research_app.web.figure.caption import BAND, Source, caption_of, interval_of_mean, table_tex
from research_app.web.figure.drawing import WIDTHS, Line, NoFigure, Point, Settings, draw, table_of, zipped
from research_app.web.shared import charts, curves
from research_app.web.shared.access import get_candidate, get_project, researcher
from research_app.web.shared.charts import Arm, Arms
from research_app.web.shared.curves import View
from research_app.web.shared.effects import effect_of
from research_app.web.shared.measured import reference_scores

TYPES = {"svg": "image/svg+xml", "pdf": "application/pdf", "zip": "application/zip"}  # all others are text
FILES = {  # what each is
    "figure.pdf": "for LaTeX, fonts embedded",
    "figure.svg": "for slides, text as text",
    "caption.txt": "n, seeds, interval, commits, evidence",
    "table.tex": "the scores, for booktabs",
    "figure.csv": "every point that is drawn",
    "figure.py": "draws it again, with matplotlib alone",
}
SELECTING = ("c", "r", "items", "scale", "since")  # of an address: whose figure it is
STEPS = 60  # versions of the baseline, the newest


@dataclass(frozen=True)
class Figure:
    """All of a figure before it is drawn."""

    settings: Settings
    lines: Sequence[Line]
    caption: str
    table: str
    series: str = ""
    offered: Sequence[tuple[str, str]] = ()  # series that were logged, with their words

    def files(self) -> Mapping[str, bytes]:
        """By name. Raises NoFigure."""
        beside = {"caption.txt": self.caption.encode(), "table.tex": self.table.encode()}
        return {**draw(table_of(self.lines), self.settings), **beside}

    def undrawn(self) -> Mapping[str, bytes]:
        """What needs no drawing: a page is there at once, and its picture follows. Raises NoFigure."""
        return {"figure.csv": table_of(self.lines).encode()}


@researcher
@require_safe
def candidate_figure(request: HttpRequest, slug: str, number: int, name: str = "") -> HttpResponse:
    """Of a candidate's curves beside its baseline's."""
    candidate = get_candidate(request, slug, number)
    arms = charts.arms_of(candidate, request.GET.get("scale", ""))
    base = candidate.patch_set.base if candidate.patch_set else candidate.base

    def made() -> Figure:
        return of_curves(request, candidate.project, arms, {"base": base, "candidate": candidate})

    return answer(request, candidate.project, name, f"{slug}-{candidate}", made, candidate.get_absolute_url())


@researcher
@require_safe
def compare_figure(request: HttpRequest, slug: str, name: str = "") -> HttpResponse:
    """Of what is compared."""
    project = get_project(request, slug)

    def made() -> Figure:
        try:
            chosen = Chosen.of(project, Asked.of(request))
        except BadSelection as problem:
            raise NoFigure(str(problem)) from problem
        if chosen.missing:
            raise NoFigure(chosen.missing)
        of: dict[str, BaselineVersion | Candidate | Run] = {f"b{base.number}": base for base in chosen.bases}
        of |= {f"c{c.number}": c for c in chosen.candidates} | {f"r{run.pk}": run for run in chosen.runs}
        return of_curves(request, project, chosen.arms(request.GET.get("scale", "")), of)

    return answer(request, project, name, f"{slug}-compared", made, f"{project.get_absolute_url()}compare/")


@researcher
@require_safe
def baseline_figure(request: HttpRequest, slug: str, name: str = "") -> HttpResponse:
    """Of the baseline's score, version by version."""
    project = get_project(request, slug)
    back = f"{project.get_absolute_url()}baseline/"
    return answer(request, project, name, f"{slug}-baseline", lambda: of_baseline(request, project), back)


def answer(request: HttpRequest, project: Project, name: str, slug: str, made: Callable[[], Figure], back: str) -> HttpResponse:
    """The page with the figure, or one of its files, or all of them in a zip."""
    if name and name != "figure.zip" and name not in FILES:
        raise Http404("There is no such file of a figure.")
    try:
        figure = made()
        files = figure.files() if name else figure.undrawn()
    except NoFigure as problem:
        if name:
            return HttpResponse(str(problem), status=409, content_type="text/plain; charset=utf-8")
        return render(request, "figure/figure.html", {"project": project, "problem": str(problem), "back": back})
    if name:
        return as_file(zipped(files) if name == "figure.zip" else files[name], name, slug)
    query = request.GET.urlencode()
    kept = [(key, value) for key in SELECTING for value in request.GET.getlist(key)]
    context = {
        "project": project,
        "settings": figure.settings,
        "series": figure.series,
        "offered": figure.offered,
        "caption": figure.caption,
        "widths": WIDTHS,
        "width": next(key for key, value in WIDTHS.items() if value == figure.settings.width),
        "files": FILES,
        "query": f"?{query}" if query else "",
        "kept": kept,
        "back": f"{back}?{urlencode(kept)}" if kept else back,
        "axes": curves.AXES,
        "view": View.of(request.GET),
    }
    return render(request, "figure/figure.html", context)


def as_file(content: bytes, name: str, slug: str) -> HttpResponse:
    """A file to keep; pictures are shown where a page shows them."""
    response = HttpResponse(content, content_type=TYPES.get(name.rpartition(".")[2], "text/plain; charset=utf-8"))
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in slug)
    response.headers["Content-Disposition"] = f'{"inline" if name == "figure.svg" else "attachment"}; filename="{safe}-{name}"'
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def settings_of(request: HttpRequest, kind: str, x: str, y: str) -> Settings:
    """What the address says of width, axis and inset."""
    width = WIDTHS.get(request.GET.get("width", ""), WIDTHS["3.25"])
    inset = kind == "curves" and request.GET.get("inset", "on") == "on"
    return Settings(kind, x, y, width, log_x=kind == "curves" and "x" in request.GET.get("log", ""), inset=inset)


def of_curves(
    request: HttpRequest, project: Project, arms: Arms, of: Mapping[str, BaselineVersion | Candidate | Run]
) -> Figure:
    """The means of groups of runs with their 95% intervals, neither smoothed nor clipped by hand. Two queries."""
    view = replace(View.of(request.GET), band="interval", smoothing=0.0, start=None, end=None)
    logged = arrays_of(arms.ids, {*curves.TITLES, request.GET.get("series", ""), view.axis})
    offered = curves.names(each for run in logged.values() for each in run)
    if not offered:
        raise NoFigure("Nothing was logged that could be drawn.")
    wanted = request.GET.get("series", charts.SERIES)
    series = wanted if wanted in offered else offered[0]
    groups = charts.groups_of(arms, logged, view)
    picture = curves.picture(groups, series, view)
    title, unit = curves.title_of(series)
    y = f"{title}{', less the baseline' if view.difference else ''}{f' ({unit})' if unit else ''}"
    lines = [line_of(trace, log_x=view.log_x) for trace in picture.traces]
    sources = [source_of(arm, of[arm.key], logged, series, arms.scale, view) for arm in arms.arms]
    drawn_groups = {line.group for line in lines if line.points}
    sources = [source for source in sources if source.name in drawn_groups]
    what = f"{y} by {curves.AXES[view.axis]}, at scale {arms.scale} of the project {project.slug}. {BAND}"
    settings = replace(
        settings_of(request, "curves", curves.AXES[view.axis], y), clip=picture.clip if view.difference else None
    )
    notes = ["The scores were reported by the runs themselves."] if project.self_reported else []
    return Figure(
        settings,
        lines,
        caption_of(what, sources, notes),
        table_tex(sources, project.file.metric.name),
        series,
        [(each, curves.title_of(each)[0]) for each in offered],
    )


def line_of(trace: Mapping[str, object], *, log_x: bool) -> Line:
    """One drawn line; where x is logarithmic without what lies at 0."""
    columns = {key: list(trace.get(key, ())) for key in ("x", "y", "low", "high")}  # type: ignore[call-overload]
    bounds = zip(columns["low"], columns["high"], strict=True) if columns["low"] else [(None, None)] * len(columns["x"])
    rows = zip(columns["x"], columns["y"], bounds, strict=True)
    points = [Point(x, y, low, high) for x, y, (low, high) in rows if not log_x or x > 0]
    return Line(str(trace["name"]), str(trace["role"]), int(str(trace["n"])), points)


def source_of(
    arm: Arm, of: BaselineVersion | Candidate | Run, logged: Mapping[int, curves.Logged], series: str, scale: str, view: View
) -> Source:
    """What one line rests on. Health hides scores and effect here too."""
    evidence = of.evidence if isinstance(of, Candidate) else None
    hidden = evidence is not None and evidence.verdict == Verdict.INVALID
    at_scale = evidence is not None and evidence.scale == scale
    runs = [run for run in arm.shown(view) if series in logged[run.pk]]
    scores = [run.score for run in arm.runs if run.score is not None and is_usable(run.score)]
    commit = (of.patch_set.commit if of.patch_set else "unknown") if isinstance(of, Candidate) else of.commit
    effect = effect_of(evidence) if at_scale and scale == SMALLEST else None
    title = of.title if isinstance(of, Candidate) else ""
    digest = evidence.content_hash if evidence and at_scale else ""
    seeds = [run.seed for run in runs]
    return Source(arm.name, title, len(runs), seeds, commit, digest, [] if hidden else scores, effect, hidden)


def of_baseline(request: HttpRequest, project: Project) -> Figure:
    """The mean of every version's reference runs, with what brought each version beside it. A few queries."""
    versions = list(project.baseline_versions.order_by("-number")[:STEPS])[::-1]
    scores, noise, landings = reference_scores(versions), project.noise(), landings_by(versions)
    lines, sources = [], []
    for version in versions:
        middle, _ = interval_of_mean(scores[version.pk])
        if middle is None or not usable(middle):
            continue
        half = half_of(len(scores[version.pk]), noise)
        label = ", ".join(str(landing.candidate) for landing in landings[version.pk][:2])
        lines.append((len(scores[version.pk]), Point(version.number, middle, middle - half, middle + half, label)))
        name = f"baseline {version.number}"
        sources.append(Source(name, label, len(scores[version.pk]), [], version.commit, "", scores[version.pk], None))
    if not lines:
        raise NoFigure("No version of the baseline was measured yet.")
    metric = project.file.metric.name
    what = f"{metric} of the baseline by version, project {project.slug}. {marks_of(noise)}"
    stair = Line("baseline", "baseline", min(n for n, _ in lines), [point for _, point in lines])
    return Figure(
        settings_of(request, "steps", "baseline version", metric),
        [stair],
        caption_of(what, sources),
        table_tex(sources, metric),
    )


def marks_of(noise: Noise | None) -> str:
    """How the marks are to be read."""
    bars = (
        f", bars their 95% interval from the pooled run-to-run noise with {noise.degrees:g} degrees of freedom" if noise else ""
    )
    return f"Marks are means of the reference runs{bars}."
