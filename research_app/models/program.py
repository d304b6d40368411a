"""Versions of a project's program: the researchers' instructions to the agents."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from research_app.models.project import Project


class ProgramVersion(models.Model):
    """The program as a person left it. Agents get the newest version; without any, the repository's own file."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="program_versions")
    number = models.PositiveIntegerField()
    text = models.TextField()
    note = models.CharField(max_length=300, blank=True, help_text="Why it was changed")
    written_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    SEALED = ("project_id", "number", "text", "note", "written_by_id", "created_at")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="program_number_once")]
        ordering = ["project", "-number"]

    def __str__(self) -> str:
        return f"program version {self.number} of {self.project.slug}"
