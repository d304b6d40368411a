"""/projects/<slug>/program/ : what the agents are told: the program with its versions, and notes."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from research_app.access import may_operate
from research_app.loop.propose import steer
from research_app.loop.propose.propose import program_of
from research_app.loop.propose.steer import LONGEST_NOTE, LONGEST_PROGRAM, ProgramChanged, SteeringRefused
from research_app.models import Note, ProgramVersion, Project
from research_app.repository import RepositoryError
from research_app.web.agents.conversations import person
from research_app.web.shared.access import get_candidate, get_project, operator, researcher
from research_app.web.shared.drafts import refuse
from research_app.web.shared.query_numbers import whole
from training.matching import steps_between

AROUND = 3  # unchanged lines that are shown beside changed ones
VERSIONS_SHOWN = 30


@researcher
@require_http_methods(["GET", "HEAD", "POST"])
def program(request: HttpRequest, slug: str) -> HttpResponse:
    """The page; a version may be chosen by its number, and is shown with what it changed."""
    project = get_project(request, slug)
    if request.method == "POST":
        return write(request, project)
    return page(request, project)


def write(request: HttpRequest, project: Project) -> HttpResponse:
    """Save a new version, or show the form again with what was typed and why it was not saved."""
    text, seen = request.POST.get("text", ""), request.POST.get("seen", "")
    try:
        version = steer.write_program(project, text, person(request), seen=whole(seen) or 0, note=request.POST.get("note", ""))
    except SteeringRefused as refused:
        status = 409 if isinstance(refused, ProgramChanged) else 422
        return page(request, project, refused=str(refused), typed=text, note=request.POST.get("note", ""), status=status)
    messages.success(request, f"Version {version.number} is in use for new conversations.")
    return redirect("program", project.slug)


def page(
    request: HttpRequest, project: Project, *, refused: str = "", typed: str = "", note: str = "", status: int = 200
) -> HttpResponse:
    text, newest, unread = what_agents_get(project)
    versions = list(project.program_versions.select_related("written_by")[:VERSIONS_SHOWN])
    wanted = request.GET.get("version", "")
    chosen = next((version for version in versions if str(version.number) == wanted), None)
    changes, problem = what_changed(project, chosen.number) if chosen else ([], "")
    context = {
        "project": project,
        "text": typed or text,
        "newest": newest,
        "unread": unread,
        "seen": newest.number if newest else 0,
        "versions": versions,
        "chosen": chosen,
        "changes": changes,
        "problem": problem,
        "notes": Note.objects.standing().filter(project=project).select_related("written_by", "candidate__project"),
        "refused": refused,
        "newer": text if refused and typed and newest else "",
        "note": note,
        "may_operate": may_operate(request.user),
        "longest": LONGEST_PROGRAM,
        "longest_note": LONGEST_NOTE,
    }
    return render(request, "agents/program.html", context, status=status)


def what_agents_get(project: Project) -> tuple[str, ProgramVersion | None, str]:
    """The program, its version, and why the repository's own cannot be read, where that is in use."""
    try:
        return *program_of(project, project.tip()), ""
    except RepositoryError as error:
        return "", None, str(error)


def what_changed(project: Project, number: int) -> tuple[list[tuple[str, str]], str]:
    """The changed lines of a version, or why they cannot be told."""
    try:
        return changed_lines(project, number), ""
    except RepositoryError as error:
        return [], str(error)


def changed_lines(project: Project, number: int) -> list[tuple[str, str]]:
    """What a version changed against the one before it: ("+", line), ("-", line) and ("", line) around them.

    Raises RepositoryError where it is the first one and the repository, which brought what was before, cannot be read.
    """
    rows = project.program_versions.filter(number__in=[number - 1, number]).order_by("number")
    texts = {row.number: row.text for row in rows}
    before = texts.get(number - 1) or original(project)
    old, new = before.split("\n"), texts[number].split("\n")
    lines: list[tuple[str, str]] = []
    for tag, i, j, k, m in steps_between(old, new):
        if tag == "equal":
            first, last = i > 0, j < len(old)  # whether something changed before these lines, and after them
            near = {n for n in range(i, j) if (first and n < i + AROUND) or (last and n >= j - AROUND)}
            lines += [("", old[n]) for n in sorted(near)]
        else:
            lines += [*(("-", line) for line in old[i:j]), *(("+", line) for line in new[k:m])]
    return lines


def original(project: Project) -> str:
    """The program that the repository brought."""
    name, first = project.file.edit.program, project.baseline_versions.earliest("number")
    return project.repository.texts(first.commit, [name]).get(name, "").replace("\r\n", "\n")


@operator
@require_POST
def add_note(request: HttpRequest, slug: str, number: int | None = None) -> HttpResponse:
    """Tell the agents something, of the project or of one candidate."""
    candidate = get_candidate(request, slug, number) if number is not None else None
    project = candidate.project if candidate else get_project(request, slug)
    try:
        steer.add_note(project, request.POST.get("text", ""), person(request), candidate)
        messages.success(request, "Note saved. Every new conversation receives it.")
    except SteeringRefused as refused:
        refuse(request, str(refused))
    return redirect(f"{candidate.get_absolute_url()}#agents") if candidate else redirect("program", slug)


@operator
@require_POST
def withdraw_note(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Take a note back."""
    note = get_object_or_404(Note.objects.select_related("candidate__project"), project=get_project(request, slug), pk=pk)
    steer.withdraw_note(note, person(request))
    messages.info(request, "Note withdrawn.")
    if note.candidate and request.POST.get("back") == "candidate":
        return redirect(f"{note.candidate.get_absolute_url()}#agents")
    return redirect("program", slug)
