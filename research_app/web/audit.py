"""/audit/ : everything that happened, newest first."""

from collections.abc import Mapping, Sequence

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from research_app.models import BaselineVersion, Candidate, Event, Project, Run
from research_app.web import live
from research_app.web.access import researcher

PAGE_SIZE = 100


@researcher
@require_safe
def audit(request: HttpRequest) -> HttpResponse:
    """Events with filters by project and kind; everything in the address. A constant number of queries."""
    projects = list(Project.objects.order_by("slug"))
    kinds = list(Event.objects.order_by("kind").values_list("kind", flat=True).distinct())
    found = Event.objects.order_by("-sequence").select_related("project")
    chosen = next((p for p in projects if p.slug == request.GET.get("project")), None)
    kind = request.GET.get("kind") if request.GET.get("kind") in kinds else ""
    found = found.filter(project=chosen) if chosen else found
    found = found.filter(kind=kind) if kind else found
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    events = list(page.object_list)
    addresses = addresses_of(events)
    context = {
        "projects": projects,
        "kinds": kinds,
        "chosen": chosen,
        "kind": kind,
        "page": page,
        "entries": [(event, addresses.get((event.subject_type, event.subject_id))) for event in events],
        "head": Event.objects.head(),
    }
    return live.page(request, "audit.html", {"events": "audit/_events.html"}, context)


Address = tuple[str, str]  # words, link


def addresses_of(events: Sequence[Event]) -> Mapping[tuple[str, int], Address]:
    """What the events are about, with links. One query per kind of subject."""

    def ids(kind: str) -> list[int]:
        return [event.subject_id for event in events if event.subject_type == kind]

    found: dict[tuple[str, int], Address] = {}
    for candidate in (
        Candidate.objects.filter(pk__in=ids("candidate")).select_related("project").only("number", "project__slug")
    ):
        found["candidate", candidate.pk] = (str(candidate), candidate.get_absolute_url())
    for run in Run.objects.filter(pk__in=ids("run")).select_related("project").only("pk", "project__slug"):
        found["run", run.pk] = (str(run), f"{run.project.get_absolute_url()}runs/{run.pk}/")
    for project in Project.objects.filter(pk__in=ids("project")):
        found["project", project.pk] = (project.slug, project.get_absolute_url())
    for version in BaselineVersion.objects.filter(pk__in=ids("baselineversion")).select_related("project"):
        found["baselineversion", version.pk] = (
            str(version),
            f"{version.project.get_absolute_url()}baseline/#v{version.number}",
        )
    return found
