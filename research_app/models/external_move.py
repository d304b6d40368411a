"""Moves of a baseline branch that no landing made: seen, and then taken over by a person, or gone again."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from research_app.models.baseline import BaselineVersion
from research_app.models.documents.outside_commit import OutsideCommit
from research_app.models.documents.typed_column import rows_in
from research_app.models.project import Project


class MoveState(models.TextChoices):
    """The outcome of a move."""

    WAITING = "waiting", "waits for a person"
    ADOPTED = "adopted", "taken over"
    GONE = "gone", "the branch was moved on, or back"


class ExternalMoveQuerySet(models.QuerySet["ExternalMove"]):
    def waiting(self) -> Self:
        """Moves that nobody has taken over yet: at most one for a project."""
        return self.filter(state=MoveState.WAITING).order_by("pk")


class ExternalMove(models.Model):
    """A tip that the branch was found at. Until a person takes it over, nothing lands and no agent proposes."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="external_moves")
    before = models.ForeignKey(BaselineVersion, on_delete=models.PROTECT, related_name="moved_from")
    commit = models.CharField(max_length=40, help_text="Where the branch was found")
    commits: "models.JSONField[object, object]" = models.JSONField(
        default=list, help_text="[{commit, subject, author, at, claims}]: new there, newest first, bounded"
    )
    new_commits = rows_in("commits", OutsideCommit)
    added = models.PositiveIntegerField(default=0, help_text="How many commits are new")
    left = models.PositiveIntegerField(default=0, help_text="How many commits of the version before are not part of it")
    dropped: "models.JSONField[list[str], list[str]]" = models.JSONField(
        default=list, help_text="Candidates whose landing is no longer part of it"
    )
    seen_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=10, choices=MoveState.choices, default=MoveState.WAITING)
    version = models.ForeignKey(BaselineVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="external_moves")
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField(blank=True, help_text="Why it was taken over, or its outcome")

    objects = ExternalMoveQuerySet.as_manager()

    SEALED = ("project_id", "before_id", "commit", "commits", "added", "left", "dropped", "seen_at")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project"], condition=Q(state=MoveState.WAITING), name="one_move_waits")]

    def __str__(self) -> str:
        return f"{self.project.slug} at {self.commit[:12]}"

    def get_absolute_url(self) -> str:
        return f"{self.project.get_absolute_url()}baseline/moved/{self.pk}/"

    @property
    def more(self) -> int:
        """New commits that are not kept."""
        return self.added - len(self.new_commits)

    @property
    def forged(self) -> list[str]:
        """Candidates that its commits say they are landings of, although no landing of Signoff's made them."""
        return sorted({name for commit in self.new_commits for name in commit.claims})
