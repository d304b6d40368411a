"""/new-project/ : a repository becomes a project: its file beside a form, tried on a device, created. Operators alone."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from pydantic import ValidationError

from research_app.loop.project import bring
from research_app.loop.project.bring import BringRefused
from research_app.loop.project.try_report import TryReport
from research_app.models import Device, Trial, TrialState
from research_app.survey.keys import FORM, form_values, with_form
from research_app.web.agents.conversations import person
from research_app.web.shared import live
from research_app.web.shared.access import operator
from research_app.web.shared.drafts import refuse

SHOWN = 20
FRAGMENTS = {
    "trial-head": "project/new_project/_head.html",
    "trial-file": "project/new_project/_file.html",
    "trial-said": "project/new_project/_said.html",
}


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def new_project(request: HttpRequest) -> HttpResponse:
    """Name a repository; below, those that were looked at before, and what trying them took. Three queries."""
    refused = ""
    if request.method == "POST":
        try:
            trial = bring.begin(request.POST.get("source", ""), request.POST.get("branch", ""), person(request))
            return redirect("trial", trial.pk)
        except BringRefused as problem:
            refused = str(problem)
    trials = Trial.objects.select_related("asked_by", "project").defer("file", "log", "report", "tried_file")[:SHOWN]
    typed = {name: request.POST.get(name, "") for name in ("source", "branch")}
    context = {"trials": trials, "device_seconds": Trial.objects.device_seconds(), "refused": refused, **typed}
    return render(request, "project/new_project.html", context, status=422 if refused else 200)


@operator
@require_safe
def trial(request: HttpRequest, pk: int) -> HttpResponse:
    """The file beside the form, what trying it says, and what to do next."""
    return page(request, get_trial(pk))


def get_trial(pk: int) -> Trial:
    return get_object_or_404(Trial.objects.select_related("asked_by", "project"), pk=pk)


def page(request: HttpRequest, trial: Trial, *, refused: str = "", typed: str | None = None, status: int = 200) -> HttpResponse:
    text = trial.file if typed is None else typed
    values = form_values(text)
    report = report_of(trial)
    context = {
        "trial": trial,
        "report": report,
        "refused": refused,
        "text": text,
        "fields": [(each, values[each.name]) for each in FORM],
        "lines": lines_of(report),
        "waits_for": waits_for(trial),
        "still": not trial.at_work,
    }
    response = live.page(request, "project/trial.html", FRAGMENTS, context)
    if status != 200:
        response.status_code = status
    return response


def report_of(trial: Trial) -> TryReport | None:
    """What trying it came to; None before, and where another version wrote it in another way."""
    try:
        return TryReport.model_validate(trial.report) if trial.report else None
    except ValidationError:
        return None


def lines_of(report: TryReport | None) -> list[dict[str, Any]]:
    """The lines of each run, those that were read marked."""
    if report is None:
        return []
    return [{"run": run, "read": sum(bool(line.values) for line in run.lines)} for run in report.runs]


def waits_for(trial: Trial) -> str:
    """What a trial that waits for a device waits for: said where no worker serves its queue (one query)."""
    if trial.state != TrialState.WAITING:
        return ""
    queue = bring.queue_of(trial)
    if not Device.objects.online().serving(queue).exists():
        return f"No worker that serves {queue} is online: start one, or change [train] device."
    return f"The next worker that serves {queue} takes it, between two runs."


@operator
@require_POST
def change_trial(request: HttpRequest, pk: int) -> HttpResponse:
    """Save the file, and where asked try it or create the project."""
    trial, act = get_trial(pk), request.POST.get("act", "save")
    text = request.POST.get("file", "").replace("\r\n", "\n")
    try:
        if act == "form":
            text = with_form(text, request.POST.dict(), form_values(trial.file))
        bring.save(trial, text, request.POST.get("slug", ""))
        if act == "try":
            bring.ask_to_try(trial)
        elif act == "create":
            bring.ask_to_create(trial)
    except (BringRefused, ValueError) as problem:
        return page(request, trial, refused=str(problem), typed=text, status=422)
    return redirect("trial", pk)


@operator
@require_POST
def stop_trial(request: HttpRequest, pk: int) -> HttpResponse:
    """Stop trying it."""
    trial = get_trial(pk)
    if trial.at_work:
        bring.ask_to_stop(trial)
    else:
        refuse(request, "Nothing is tried now.")
    return redirect("trial", pk)
