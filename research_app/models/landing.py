"""The landing queue."""

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from research_app.models.baseline import BaselineVersion
from research_app.models.candidate import Candidate
from research_app.models.lease import Leased
from research_app.models.patch_set import PatchSet
from research_app.models.project import Project


class LandingState(models.TextChoices):
    """Where an entry of the queue stands."""

    QUEUED = "queued", "queued"
    REJUDGING = "rejudging", "judged again on the new baseline"
    BATCHED = "batched", "judged together with others"
    LANDED = "landed", "landed"
    RETURNED = "returned", "returned"


ACTIVE = (LandingState.QUEUED, LandingState.REJUDGING, LandingState.BATCHED)


class LandingQuerySet(models.QuerySet["Landing"]):
    def active(self) -> Self:
        """Entries that still want to land, in order."""
        return self.filter(state__in=ACTIVE).order_by("pk")


class Landing(Leased):
    """One approved candidate on its way to the baseline. The order of the queue is the order of the ids."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="landings")
    candidate = models.ForeignKey(Candidate, on_delete=models.PROTECT, related_name="landings")
    patch_set = models.ForeignKey(PatchSet, on_delete=models.PROTECT, related_name="landings")
    state = models.CharField(max_length=10, choices=LandingState.choices, default=LandingState.QUEUED)
    reason = models.TextField(blank=True, help_text="What it waits for, or why it left the queue")
    commit = models.CharField(max_length=40, blank=True)
    version = models.ForeignKey(
        BaselineVersion,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="landings",
        help_text="What it made; a batch makes one version together",
    )
    batch = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="batched",
        help_text="The landing of the stack that this entry is judged and landed with",
    )
    most_together = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Size limit of its next batch, halved by each batch that failed"
    )
    trouble = models.TextField(
        blank=True, help_text="What keeps the queue from writing, with what to do; not the entry's fault"
    )
    not_before = models.DateTimeField(
        null=True, blank=True, help_text="When it is tried again, where something outside held it up for long"
    )
    contradictions = models.TextField(blank=True, help_text="What was found later that speaks against its gain")
    clashes_with = models.ManyToManyField(
        Candidate, related_name="in_the_way_of", blank=True, help_text="Whose landings altered the same lines before it"
    )
    queued_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = LandingQuerySet.as_manager()

    SEALED = (  # when it has landed
        "project_id", "candidate_id", "patch_set_id", "state", "commit", "version_id", "batch_id", "queued_at", "ended_at",
    )  # fmt: skip

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["candidate"], condition=~Q(state=LandingState.RETURNED), name="candidate_lands_once"
            )
        ]
        indexes = [models.Index(fields=["project", "state", "id"], name="landing_queue")]  # head of the queue

    def __str__(self) -> str:
        return f"landing of {self.candidate}"
