"""Notes to the agents: what researchers want them to know, of a project or of one candidate."""

from typing import Self

from django.conf import settings
from django.db import models
from django.utils import timezone

from research_app.models.candidate import Candidate
from research_app.models.project import Project


class NoteQuerySet(models.QuerySet["Note"]):
    def standing(self) -> Self:
        """Notes that nobody took back, oldest first."""
        return self.filter(withdrawn_at=None).order_by("pk")


class Note(models.Model):
    """One note. It reaches every conversation that begins, or is asked for changes, while it stands."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="notes")
    candidate = models.ForeignKey(Candidate, null=True, blank=True, on_delete=models.PROTECT, related_name="notes")
    text = models.TextField()
    written_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    objects = NoteQuerySet.as_manager()

    SEALED = ("project_id", "candidate_id", "text", "written_by_id", "created_at")

    def __str__(self) -> str:
        return f"note {self.pk}"
