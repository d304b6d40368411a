"""Ablations: several changes switched on and off together, run through the loop, to see what each brings beside which."""

from django.db import models
from django.utils import timezone

from research_app.evidence import ablation
from research_app.models.baseline import BaselineVersion
from research_app.models.candidate import Candidate
from research_app.models.documents.typed_column import TypedColumn
from research_app.models.lease import Leased
from research_app.models.project import Project


class AblationState(models.TextChoices):
    """Where an ablation stands."""

    RUNNING = "running", "running"
    FINISHED = "finished", "finished"
    FAILED = "failed", "failed"
    STOPPED = "stopped", "stopped"


class Ablation(Leased):
    """Trees with some of the landed and approved candidates switched on, on one version of the baseline."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="ablations")
    version = models.ForeignKey(BaselineVersion, on_delete=models.PROTECT, related_name="ablations")
    candidates = models.ManyToManyField(Candidate, related_name="ablations")
    folded = models.BooleanField(default=True, help_text="Each row's mirror image runs too")
    state = models.CharField(max_length=10, choices=AblationState.choices, default=AblationState.RUNNING)
    reason = models.TextField(blank=True, help_text="Why it is in this state, in a sentence")
    rounds = models.PositiveSmallIntegerField(default=0, help_text="How many rounds of runs were asked for")
    result: "models.JSONField[object, object]" = models.JSONField(
        default=dict, help_text="evidence.ablation.Report, and counts of runs"
    )
    report = TypedColumn("result", ablation.read, ablation.written)
    asked_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"ablation {self.pk}"

    @property
    def report_kept(self) -> bool:
        """Whether it ended with a report, readable or of an older version."""
        return bool(self.result)

    def get_absolute_url(self) -> str:
        return f"/projects/{self.project.slug}/stacks/{self.pk}/"


class DesignPoint(models.Model):
    """One design point: the tree with some of the changes on and the others off."""

    check_of = models.ForeignKey(Ablation, on_delete=models.CASCADE, related_name="cells")
    row = models.PositiveSmallIntegerField()
    on: "models.JSONField[list[int], list[int]]" = models.JSONField(
        default=list, help_text="Numbers of the candidates that are switched on"
    )
    commit = models.CharField(max_length=40)
    fresh = models.BooleanField(
        default=False, help_text="Its runs decide what is advised, and had no part in choosing what is looked at again"
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["check_of", "row"], name="stack_row_once")]
        ordering = ["check_of", "row"]

    def __str__(self) -> str:
        return f"row {self.row + 1} of {self.check_of}"
