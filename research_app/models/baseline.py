"""Versions of the baseline: one per landing, each with its reference runs."""

from django.db import models
from django.utils import timezone

from research_app.models.project import Project


class BaselineVersion(models.Model):
    """The tip of the baseline branch from one landing to the next. Number 0 is what the project began with."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="baseline_versions")
    number = models.PositiveIntegerField()
    commit = models.CharField(max_length=40)
    tree = models.CharField(max_length=40)
    moved_outside = models.BooleanField(default=False, help_text="The branch was moved by hand, not by a landing")
    dropped: "models.JSONField[list[str], list[str]]" = models.JSONField(
        default=list, help_text="Candidates whose landing is no longer part of it, where it was moved"
    )
    created_at = models.DateTimeField(default=timezone.now)

    SEALED = ("project_id", "number", "commit", "tree", "moved_outside", "dropped", "created_at")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="baseline_number_once"),
            # By hand the branch can go back to where it was before.
            models.UniqueConstraint(
                fields=["project", "commit"], condition=models.Q(moved_outside=False), name="baseline_commit_once"
            ),
        ]
        ordering = ["project", "number"]

    def __str__(self) -> str:
        return f"{self.project.slug} baseline {self.number}"
