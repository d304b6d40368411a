"""/projects/<slug>/settings/ : the project file; archived, brought back, deleted. Operators change it, everybody reads it."""

import hashlib

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from research_app.access import may_operate
from research_app.loop.project.archive_project import ArchivedProject, archive_project, bring_back
from research_app.loop.project.bring import LONGEST_FILE
from research_app.loop.project.delete_project import DeletionRefused, delete_project, kept_for
from research_app.loop.project.projects import ProjectRefused, configure
from research_app.models import Project
from research_app.project_file.project_file import ProjectFileError, read_project_file
from research_app.repository import RepositoryError
from research_app.survey.written import text_of
from research_app.web.shared.access import get_project, operator, researcher
from research_app.web.shared.drafts import refuse
from training.corpus import CorpusError

CHANGED = "Somebody changed the file while you wrote. It stands below as you wrote it; reload the page to see theirs."


@researcher
@require_http_methods(["GET", "HEAD", "POST"])
def settings(request: HttpRequest, slug: str) -> HttpResponse:
    """The file, and for operators a form around it."""
    project = get_project(request, slug)
    return change(request, slug) if request.method == "POST" else page(request, project)


@operator
def change(request: HttpRequest, slug: str) -> HttpResponse:
    """Give the project the file that was written, or show it again with what is wrong."""
    project = get_project(request, slug)
    text = request.POST.get("file", "").replace("\r\n", "\n")
    if request.POST.get("seen", "") != seen(project):
        return page(request, project, text=text, refused=CHANGED, status=409)
    try:
        if len(text) > LONGEST_FILE:
            raise ProjectRefused(f"A project file has at most {LONGEST_FILE:,} characters.")
        configure(project, read_project_file(text, "the file"), request.user.get_username())
    except (ProjectFileError, ProjectRefused, RepositoryError, CorpusError) as problem:
        return page(request, project, text=text, refused=str(problem), status=422)
    messages.success(request, "The project file is saved and in use.")
    return redirect("project-settings", slug)


def page(request: HttpRequest, project: Project, *, text: str = "", refused: str = "", status: int = 200) -> HttpResponse:
    """What may change depends on whether anything was scored; what keeps it from being deleted is said. Six queries."""
    context = {
        "project": project,
        "text": text or current(project),
        "seen": seen(project),
        "refused": refused,
        "scored": project.runs.filter(score__isnull=False).exists(),
        "kept_for": kept_for(project),
        "may_operate": may_operate(request.user),
        "longest": LONGEST_FILE,
    }
    return render(request, "project/settings.html", context, status=status)


def current(project: Project) -> str:
    """The file as text, with the comments of the one that it was created with where nothing changed since."""
    trial = project.trials.order_by("-pk").values_list("file", flat=True).first()
    return text_of(project.file, trial or "")


def seen(project: Project) -> str:
    """What a form was about: another hash means that the file was changed meanwhile."""
    return hashlib.sha256(repr(project.file).encode()).hexdigest()[:16]


@operator
@require_POST
def archive(request: HttpRequest, slug: str) -> HttpResponse:
    """Put it away, or bring it back."""
    project = get_project(request, slug)
    back = request.POST.get("act") == "back"
    try:
        (bring_back if back else archive_project)(project, request.user.get_username())
        message = "goes on where it was." if back else "is archived: nothing in it begins any more."
        messages.success(request, f"{project.slug} {message}")
    except ArchivedProject as refused:
        refuse(request, str(refused))
    return redirect("project-settings", slug)


@operator
@require_POST
def delete(request: HttpRequest, slug: str) -> HttpResponse:
    """Remove it for good; its name has to be written down for that."""
    project = get_project(request, slug)
    if request.POST.get("name", "").strip() != project.slug:
        refuse(request, f"Write {project.slug} to delete it: nothing was deleted.")
        return redirect("project-settings", slug)
    try:
        delete_project(project, request.user.get_username())
    except DeletionRefused as refused:
        refuse(request, str(refused))
        return redirect("project-settings", slug)
    messages.success(request, f"{slug} is deleted. What happened in it stays in the audit log.")
    return redirect("inbox")
