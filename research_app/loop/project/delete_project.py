"""Delete: a project in which nothing was measured or decided yet, a misconfigured one as a rule. Its events stay."""

import shutil

from django.db import transaction
from django.db.models import Model, QuerySet
from django.utils import timezone

from research_app.loop.runs import cancel
from research_app.models import (
    BaselineVersion,
    Candidate,
    Comment,
    Event,
    ExternalMove,
    ImportedHistory,
    ImportedResult,
    Note,
    PatchSet,
    ProgramVersion,
    Project,
    Round,
    Run,
    Thread,
    TrialState,
    Turn,
)
from research_app.models.event import UNSEALED
from research_app.models.event_kinds import EventKind
from research_app.models.run import keys_of_run
from research_app.models.seal import key_of

CHUNK = 5000  # keys in one event


class DeletionRefused(Exception):
    """The project stays; the message says why and what to do."""


def delete_project(project: Project, actor: str) -> None:
    """Remove a project with its repository. Raises DeletionRefused where something was measured, voted, landed or paid for."""
    with transaction.atomic():
        refuse_if_kept(project)
        cancel(project.runs.all(), f"The project was deleted by {actor}.")  # workers that train for it notice, and stop
    rows = rows_of(project)
    with transaction.atomic():
        if not Project.objects.select_for_update().filter(pk=project.pk).exists():
            raise DeletionRefused(f"{project.slug} was deleted in the meantime.")
        refuse_if_kept(project)  # a run may have ended, or somebody voted, in the meantime
        keys = [key for row in rows for key in keys_of(row)] + [key_of(Project, project.pk)]
        for start in range(0, len(keys), CHUNK):
            more = {UNSEALED: keys[start : start + CHUNK]}
            Event.objects.record(EventKind.PROJECT_DELETED, project, actor, project, slug=project.slug, **more)
        project.candidates.update(patch_set=None, evidence=None, duplicate_of=None)
        project.trials.update(project=None, state=TrialState.DRAFT)  # its repository may be brought again
        for row in rows:
            row.delete()
        freed = f"{project.slug[:30]}-deleted-{project.pk}"
        Project.objects.filter(pk=project.pk).update(slug=freed, deleted_at=timezone.now())
    shutil.rmtree(project.folder, ignore_errors=True)


def refuse_if_kept(project: Project) -> None:
    """Raises DeletionRefused where something would be lost."""
    if why := kept_for(project):
        raise DeletionRefused(f"{project.slug} {why}: that is part of what happened here and stays. Archive it instead.")


def kept_for(project: Project) -> str:
    """What of a project must not be lost, in words that follow its name; empty where there is nothing."""
    facts = {
        "has runs with a score": project.runs.filter(score__isnull=False),
        "has landings": project.landings.all(),
        "has votes": project.candidates.filter(reviews__isnull=False),
        "has conversations that were paid for": project.conversations.all(),
    }
    return next((words for words, rows in facts.items() if rows.exists()), "")


def rows_of(project: Project) -> list[QuerySet[Model]]:
    """Everything that hangs on a project in which nothing was decided, in an order in which it can be removed."""
    candidates = project.candidates.all()
    return [
        ImportedResult.objects.filter(history__project=project),
        ImportedHistory.objects.filter(project=project),
        Run.objects.filter(project=project),
        project.ablations.all(),
        Comment.objects.filter(thread__candidate__in=candidates),
        Thread.objects.filter(candidate__in=candidates),
        Turn.objects.filter(project=project),
        Note.objects.filter(project=project),
        PatchSet.objects.filter(candidate__in=candidates),
        Candidate.objects.filter(project=project),
        Round.objects.filter(project=project),
        ProgramVersion.objects.filter(project=project),
        ExternalMove.objects.filter(project=project),
        BaselineVersion.objects.filter(project=project),
    ]


def keys_of(rows: QuerySet[Model]) -> list[str]:
    """What events call these rows, of the kinds that events vouch for."""
    if not hasattr(rows.model, "SEALED"):
        return []
    keys = list(rows.values_list("pk", flat=True))
    if rows.model is Run:
        return [key for pk in keys for key in keys_of_run(pk)]
    return [key_of(rows.model, pk) for pk in keys]
