"""Archive: a project that is put away. It keeps everything; nothing in it begins any more until it is brought back."""

from django.db import transaction
from django.utils import timezone

from research_app.loop.propose.propose import resume
from research_app.models import Event, Message, Project
from research_app.models.event_kinds import EventKind

WAS_PAUSED = "paused before"  # in the data of the event
MOST_WOKEN = 100  # of its runs, at once; the reconciler wakes the others


class ArchivedProject(ValueError):
    """It is archived, or cannot be; the message says what to do."""


def archive_project(project: Project, actor: str) -> None:
    """Put a project away: what trains now ends, what waits goes on waiting. Raises ArchivedProject."""
    with transaction.atomic():
        row = Project.objects.select_for_update().get(pk=project.pk)
        if row.archived_at:
            raise ArchivedProject(f"{row.slug} is archived already.")
        if under_way := row.landings.active().count():
            waiting = f"{under_way} of its changes are in the landing queue"
            raise ArchivedProject(f"{waiting}: let them land, or take them out first.")
        Project.objects.filter(pk=row.pk).update(archived_at=timezone.now(), paused=True)
        Event.objects.record(EventKind.PROJECT_ARCHIVED, row, actor, row, **({WAS_PAUSED: True} if row.paused else {}))


def bring_back(project: Project, actor: str) -> None:
    """Let a project go on where it was: one that was paused before stays so. Raises ArchivedProject."""
    with transaction.atomic():
        archived = Event.objects.about(project).filter(kind=EventKind.PROJECT_ARCHIVED).last()
        if not Project.objects.filter(pk=project.pk).exclude(archived_at=None).update(archived_at=None):
            raise ArchivedProject(f"{project.slug} is not archived.")
        Event.objects.record(EventKind.PROJECT_BROUGHT_BACK, project, actor, project)
        if not (archived and archived.data.get(WAS_PAUSED)):
            resume(project, actor)
        for pk, queue in project.runs.queued().order_by("pk").values_list("pk", "queue")[:MOST_WOKEN]:
            Message.objects.enqueue("train", pk, queue)
