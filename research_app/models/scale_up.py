"""Scale-ups: a candidate that a person sent up the ladder, with what was approved to be spent."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from research_app.models.candidate import Candidate
from research_app.models.documents.approved_rung import ApprovedRung
from research_app.models.documents.typed_column import rows_in
from research_app.models.patch_set import PatchSet
from research_app.models.project import Project


def seeds_of(count: int) -> range:
    """The seeds of both arms of a rung."""
    return range(1, count + 1)


class ScaleUpState(models.TextChoices):
    """Where a scale-up stands."""

    RUNNING = "running", "scaling up"
    PASSED = "passed", "transfers"
    FAILED = "failed", "does not transfer"
    UNSETTLED = "unsettled", "not settled"  # what was measured cannot be read as time saved
    STOPPED = "stopped", "stopped"


class ScaleUpQuerySet(models.QuerySet["ScaleUp"]):
    def running(self) -> Self:
        """Scale-ups that still want runs or a verdict."""
        return self.filter(state=ScaleUpState.RUNNING)


class ScaleUp(models.Model):
    """One patch set on its way up some rungs, one after the other; the first rung that it does not pass ends it."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="scale_ups")
    candidate = models.ForeignKey(Candidate, on_delete=models.PROTECT, related_name="scale_ups")
    patch_set = models.ForeignKey(PatchSet, on_delete=models.PROTECT, related_name="scale_ups")
    rungs: "models.JSONField[object, object]" = models.JSONField(
        help_text="[{rung, seeds, runs, hours, at_most, money}], in order: what was approved"
    )
    rung = models.CharField(max_length=10, help_text="The rung that it is on, or ended on")
    state = models.CharField(max_length=10, choices=ScaleUpState.choices, default=ScaleUpState.RUNNING)
    reason = models.TextField(blank=True, help_text="Why it is in this state, in a sentence")
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="scale_ups")
    approved_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.CharField(max_length=200, blank=True, help_text="Who stopped it, where somebody did")

    approved_rungs = rows_in("rungs", ApprovedRung)

    objects = ScaleUpQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["candidate"], condition=Q(state=ScaleUpState.RUNNING), name="one_running_scale_up_each"
            )
        ]
        indexes = [models.Index(fields=["state", "patch_set"], name="scale_up_running")]  # after every run of a rung

    def __str__(self) -> str:
        return f"scale-up of {self.candidate}"

    @property
    def step(self) -> ApprovedRung:
        """What was approved for the rung that it is on."""
        return next(step for step in self.approved_rungs if step.rung == self.rung)

    @property
    def seeds(self) -> range:
        """The seeds of the candidate at its rung: the same as those of the baseline, so that data and order are shared."""
        return seeds_of(self.step.seeds)

    @property
    def following(self) -> str | None:
        """The next rung that was approved, if there is one."""
        names = [step.rung for step in self.approved_rungs]
        after = names[names.index(self.rung) + 1 :]
        return after[0] if after else None
