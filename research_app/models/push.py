"""Pushes: bringing a landing to the project's remote. A push that fails never touches the landing."""

from typing import Self

from django.db import models
from django.utils import timezone

from research_app.models.baseline import BaselineVersion
from research_app.models.lease import Leased
from research_app.models.project import Project


class PushState(models.TextChoices):
    """Where a push stands."""

    WAITING = "waiting", "waiting to be pushed"
    PUSHED = "pushed", "pushed"
    REJECTED = "rejected", "rejected by the remote"


class PushQuerySet(models.QuerySet["Push"]):
    def due(self) -> Self:
        """Pushes whose time has come, oldest version first."""
        return self.exclude(state=PushState.PUSHED).filter(next_at__lte=timezone.now()).order_by("version__number")


class Push(Leased):
    """One version of the baseline on its way to the remote; tried again with growing pauses while the remote is down."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="pushes")
    version = models.OneToOneField(BaselineVersion, on_delete=models.PROTECT, related_name="push")
    state = models.CharField(max_length=10, choices=PushState.choices, default=PushState.WAITING)
    reason = models.TextField(blank=True, help_text="What the remote said last, with what to do")
    failures = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    pushed_at = models.DateTimeField(null=True, blank=True)

    objects = PushQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["state", "next_at"], name="push_due")]  # the reconciler's question

    def __str__(self) -> str:
        return f"push of {self.version}"
