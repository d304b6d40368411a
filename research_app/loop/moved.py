"""Moved: a baseline branch that somebody moved by hand, outside Signoff, becomes a version of its own, and people are told."""

import logging

from django.db import transaction

from research_app.loop.runs import ensure_bank
from research_app.loop.undone import moved_away, note_moved
from research_app.models import BaselineVersion, Event, Landing, LandingState, Project
from research_app.repository import RepositoryError

logger = logging.getLogger(__name__)


def adopt(project: Project, tip: str) -> BaselineVersion:
    """The baseline version of this tip. A tip that no landing made was moved by hand: it becomes a version, marked so."""
    newest = project.tip()
    if newest.commit == tip:
        return newest
    dropped = landings_missing_from(project, tip)
    back = [landing for landing in moved_away(project) if project.repository.contains(tip, landing.commit)]
    names = [str(landing.candidate) for landing in dropped]
    tree = project.repository.tree_of(tip)
    with transaction.atomic():
        newest = Project.objects.select_for_update().get(pk=project.pk).tip()
        if newest.commit == tip:
            return newest
        version = BaselineVersion.objects.create(
            project=project, number=newest.number + 1, commit=tip, tree=tree, moved_outside=True, dropped=names
        )
        told = {"commit": tip, "from": newest.commit, "landings_dropped": names}
        Event.objects.seal([version], "baseline moved outside Signoff", version, "git", project, **told)
        note_moved(version, dropped, back)
        ensure_bank(version, project.file.baseline.runs)
    return version


def landings_missing_from(project: Project, tip: str) -> list[Landing]:
    """The landings that the newest version holds and this tip does not: newest first, until one is still there."""
    missing: list[Landing] = []
    newest = project.tip()
    landed = Landing.objects.filter(project=project, state=LandingState.LANDED, batch=None).order_by("-pk")
    for landing in landed.select_related("candidate", "version"):
        if project.repository.contains(tip, landing.commit):
            break
        if project.repository.contains(newest.commit, landing.commit):
            missing.append(landing)
    return missing


def notice_moved_branches() -> None:
    """Look at every project's branch. What a landing of ours has moved and not yet written down is left to that landing."""
    for project in Project.objects.all():
        if Landing.objects.active().filter(project=project).exclude(commit="").exists():
            continue
        try:
            tip = project.repository.tip()
            if not Landing.objects.filter(project=project, commit=tip, state__in=(LandingState.QUEUED,)).exists():
                adopt(project, tip)
        except RepositoryError:
            logger.exception("The baseline of %s cannot be read", project)
