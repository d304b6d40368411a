"""/projects/<slug>/runs/<id>/ : one training run."""

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from research_app.models import Run, RunLog, State
from research_app.web.candidate import findings
from research_app.web.candidate.candidate import chart_version
from research_app.web.candidate.resources import FACTS
from research_app.web.shared import figures, live
from research_app.web.shared.access import get_run, researcher
from research_app.web.shared.unchanged import still
from training.reported_by_run import said_by_run

FRAGMENTS = {
    "run-head": "run/_head.html",
    "run-findings": "run/_findings.html",
    "run-facts": "run/_facts.html",
    "curves-mark": "run/_mark.html",
}


@researcher
@require_safe
@still(curves=True)
def run(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Facts, curves, outcome and log of one run."""
    run = get_run(request, slug, pk)
    context = {
        "project": run.project,
        "run": run,
        "candidate": run.patch_set.candidate if run.patch_set else None,
        "facts": facts_of(run),
        "findings": findings.together([run]),
        "probes": findings.probes_of(run),
        "level": run.sandbox_level or (run.device.sandbox_level if run.device else ""),
        "sources": sorted(run.source_scores.items()),
        "running": run.state == State.RUNNING,
        "chart_version": chart_version([run]),
    }
    return live.page(request, "run/run.html", FRAGMENTS, context)


@researcher
@require_safe
def log(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """What the run printed: a piece of page for a script, the text itself otherwise."""
    run = get_run(request, slug, pk)
    text = RunLog.objects.filter(run=run).values_list("text", flat=True).first()
    if request.headers.get("HX-Request"):
        return render(request, "run/_log.html", {"run": run, "text": text})
    response = HttpResponse(text or "", content_type="text/plain; charset=utf-8")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@dataclass(frozen=True)
class Fact:
    """A fact of a run in words; `self_reported`: only the run itself knows it."""

    words: str
    value: str
    self_reported: bool


def facts_of(run: Run) -> list[Fact]:
    """Facts in words, known ones first and the rest as they came."""
    rest = dict(run.summary.facts)
    known = [(key, words, _fact(rest.pop(key), written)) for key, words, written in FACTS if key in rest]
    more = [(key, key.replace("_", " "), _fact(value, figures.quantity)) for key, value in sorted(rest.items())]
    return [Fact(words, value, said_by_run(run.summary.facts, key)) for key, words, value in (*known, *more)]


def _fact(value: object, written: Callable[[float], str]) -> str:
    """A number as its kind is written; whatever else a run may report as it is."""
    number = figures.as_number(value)
    return str(value) if number is None else written(number)
