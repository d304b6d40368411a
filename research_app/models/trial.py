"""A repository on its way to being a project: looked at, tried on a device, created; each step is done by a worker."""

from typing import Self

from django.conf import settings
from django.db import models
from django.utils import timezone

from research_app.models.device import Device
from research_app.models.lease import Leased
from research_app.models.project import Project

LOG_LIMIT = 32_000  # characters of what is shown while it is tried: the end of it


class TrialState(models.TextChoices):
    """What happens to it now, or who is to do something."""

    LOOKING = "looking", "being looked at"  # a worker copies the repository and writes the project file
    DRAFT = "draft", "yours to look through"
    WAITING = "waiting", "waiting for a device"
    TRYING = "trying", "being tried"
    CREATING = "creating", "being created"
    CREATED = "created", "created"


AT_WORK = (TrialState.LOOKING, TrialState.WAITING, TrialState.TRYING, TrialState.CREATING)
"""States in which a worker is to do the next thing."""


class TrialQuerySet(models.QuerySet["Trial"]):
    def on_devices(self) -> Self:
        """Trials that a worker or a command holds devices for now: of one that was lost, the lease runs out."""
        return self.filter(lease_until__gt=timezone.now(), devices__isnull=False).distinct()

    def device_seconds(self) -> float:
        """What all of them took, in seconds (one query)."""
        return float(self.aggregate(taken=models.Sum("device_seconds", default=0.0))["taken"])


class Trial(Leased):
    """One repository with its project file, what trying it said, and the project that came of it."""

    source = models.CharField(max_length=500, help_text="Folder or address of the repository")
    branch = models.CharField(max_length=100, blank=True, help_text="Empty: the one that the repository shows first")
    slug = models.CharField(max_length=60, blank=True, help_text="What the project is to be called")
    file = models.TextField(blank=True, help_text="The project file as it stands")
    state = models.CharField(max_length=10, choices=TrialState.choices, default=TrialState.LOOKING)
    reason = models.TextField(blank=True, help_text="Why the last step did not go well")
    log = models.TextField(blank=True)
    report: "models.JSONField[object, object]" = models.JSONField(
        default=dict, help_text="What trying it came to; empty before"
    )
    tried_file = models.TextField(blank=True, help_text="The file that the report is about")
    wants_stop = models.BooleanField(default=False, help_text="A person asked to stop trying it")
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty: a command",
    )
    devices = models.ManyToManyField(Device, related_name="trials", blank=True, help_text="What it is tried on now")
    device_seconds = models.FloatField(default=0.0, help_text="What trying it took in all, times devices")
    project = models.ForeignKey(Project, null=True, blank=True, on_delete=models.SET_NULL, related_name="trials")
    created_at = models.DateTimeField(default=timezone.now)
    changed_at = models.DateTimeField(default=timezone.now)

    objects = TrialQuerySet.as_manager()

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"trial {self.pk}"

    @property
    def actor(self) -> str:
        """Who asked for it, as events name people."""
        return self.asked_by.get_username() if self.asked_by else "command line"

    @property
    def at_work(self) -> bool:
        """Whether a worker is to do the next thing."""
        return self.state in AT_WORK

    @property
    def shows_this_file(self) -> bool:
        """Whether the report is about the file as it stands."""
        return bool(self.report) and self.file == self.tried_file
