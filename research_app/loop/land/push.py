"""Push: bring what landed to the project's remote, behind a lease on what was seen there. The landing stands in any case."""

import logging
import os
import signal
from contextlib import suppress
from datetime import timedelta

import psutil
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from research_app.loop.train.train import stopping
from research_app.models import BaselineVersion, Event, Message, Project, Push, PushState
from research_app.models.event_kinds import EventKind
from research_app.models.lease import unclaimed
from research_app.repository import RejectedError, RepositoryError

logger = logging.getLogger(__name__)

QUEUE = "push"
PAUSES = (10, 30, 120, 600, 1800, 3600)
"""Seconds until the next try after the first, second … failure; the last one stays."""


def ask_for_push(version: BaselineVersion) -> None:
    """Ask for one version to be pushed, where the project has a remote. In a transaction."""
    if version.project.file.landing.remote:
        Push.objects.get_or_create(version=version, defaults={"project": version.project})
        Message.objects.enqueue("push", version.project_id, QUEUE)


def push(project_id: int, worker: str) -> None:
    """Push the newest version that is due; with it, those before it have arrived too."""
    if stopping.is_set():
        return  # the reconciler asks again
    due = Push.objects.due().filter(project_id=project_id).last()
    lease = Push.claim(due.pk, worker, ~Q(state=PushState.PUSHED)) if due else None
    if due is None or lease is None:
        return
    row = Push.objects.select_related("project", "version").get(pk=due.pk)
    project, settings = row.project, row.project.file.landing
    with lease.heartbeat():
        try:
            branch = settings.remote_branch or project.file.baseline.branch
            project.repository.push(settings.remote, branch, row.version.commit)
        except (RepositoryError, OSError) as problem:
            if stopping.is_set():  # we gave it up, and nobody is to blame
                lease.release()
                return
            logger.warning("%s: %s", row, problem)
            failed = {"failures": row.failures + 1, "next_at": timezone.now() + pause_after(row.failures)}
            state = PushState.REJECTED if isinstance(problem, RejectedError) else PushState.WAITING
            with transaction.atomic():
                lease.close(state=state, reason=str(problem), **failed)
                if row.reason != str(problem):
                    Event.objects.record(EventKind.PUSH_FAILED, row.version, "signoff", project, why=str(problem))
            return
    with transaction.atomic():
        now = timezone.now()
        lease.close(state=PushState.PUSHED, reason="", pushed_at=now)
        earlier = Push.objects.filter(project=project, version__number__lt=row.version.number).exclude(state=PushState.PUSHED)
        earlier.update(state=PushState.PUSHED, reason=f"Arrived with baseline {row.version.number}.", pushed_at=now)
        Event.objects.record(EventKind.PUSHED, row.version, "signoff", project, commit=row.version.commit)


def kill_pushes() -> None:
    """End the git processes of this worker that talk to remotes: the worker wants to stop, and a remote may never answer."""
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if child.name() == "git" and {"push", "ls-remote"} & set(child.cmdline()):
                os.killpg(child.pid, signal.SIGKILL)


def pause_after(failures: int) -> timedelta:
    """How long to wait after one more failure."""
    return timedelta(seconds=PAUSES[min(failures, len(PAUSES) - 1)])


def push_now(project: Project, actor: str) -> None:
    """A person says that the remote is mended: try again at once."""
    with transaction.atomic():
        waiting = Push.objects.filter(project=project).exclude(state=PushState.PUSHED)
        if waiting.update(next_at=timezone.now()):
            Event.objects.record(EventKind.PUSH_ASKED_FOR, project, actor, project)
            Message.objects.enqueue("push", project.pk, QUEUE)


def wake_pushes() -> None:
    """Projects with a push whose time has come and that nobody does."""
    for project_id in set(Push.objects.due().filter(unclaimed()).values_list("project_id", flat=True)):
        Message.objects.wake("push", project_id, QUEUE)
