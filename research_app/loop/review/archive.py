"""Archive: a person puts a discarded candidate away, so that lists leave it out. It can be taken out again as it was."""

from django.db import transaction
from django.utils import timezone

from research_app.models import Candidate, Event
from research_app.models.candidate import DISCARDED
from research_app.models.event_kinds import EventKind


class ArchiveRefused(Exception):
    """The candidate stays where it is; the message says why and what to do."""


def archive(candidate: Candidate, actor: str) -> None:
    """Put a discarded candidate away. Raises ArchiveRefused where somebody or a machine still has to do with it."""
    author = candidate.author_to_answer
    if author and author.get_username() != actor:
        who = author.get_username()
        raise ArchiveRefused(f"{candidate} waits for {who} to answer it with another patch set; only {who} can put it away.")
    with transaction.atomic():
        here = Candidate.objects.filter(pk=candidate.pk, stage__in=DISCARDED, needs_attention="", archived_at=None)
        if here.filter(stage=candidate.stage).update(archived_at=timezone.now()):
            Event.objects.record(EventKind.CANDIDATE_ARCHIVED, candidate, actor, candidate.project)
            return
    now = Candidate.objects.get(pk=candidate.pk)
    if now.archived_at:
        raise ArchiveRefused(f"{now} is archived already.")
    if now.needs_attention:
        raise ArchiveRefused(f"{now} needs attention first.")
    raise ArchiveRefused(f"{now} is {now.get_stage_display()}: only what was discarded can be put away.")


def unarchive(candidate: Candidate, actor: str) -> None:
    """Take a candidate out again, as it was. Raises ArchiveRefused where it was not put away."""
    with transaction.atomic():
        if not Candidate.objects.filter(pk=candidate.pk, archived_at__isnull=False).update(archived_at=None):
            raise ArchiveRefused(f"{candidate} is not archived.")
        Event.objects.record(EventKind.CANDIDATE_UNARCHIVED, candidate, actor, candidate.project)
