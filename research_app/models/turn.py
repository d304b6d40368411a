"""Turns: one call of one proposer for a round. Several may be under way at once, each held by a worker of its own."""

from typing import Self

from django.db import models
from django.utils import timezone

from research_app.models.baseline import BaselineVersion
from research_app.models.candidate import Candidate
from research_app.models.lease import Leased
from research_app.models.project import Project, Round


class TurnState(models.TextChoices):
    """Whether a proposer is at work, and its outcome."""

    WORKING = "working", "at work"
    PROPOSED = "proposed", "proposed a candidate"
    WAITING = "waiting", "waits for its service"  # its conversation goes on by itself after a pause
    DECLINED = "declined", "found nothing worth a run"
    EMPTY = "empty", "has nothing to propose"
    FAILED = "failed", "failed"


class TurnQuerySet(models.QuerySet["Turn"]):
    def under_way(self) -> Self:
        """Turns whose proposer is at work, or was when its worker died."""
        return self.filter(state=TurnState.WORKING)

    def waiting(self) -> Self:
        """Turns whose conversation goes on by itself, once what passes has passed."""
        return self.filter(state=TurnState.WAITING)


class Turn(Leased):
    """Whose turn it is, what it was asked for and by which draw of the bandit, and its outcome."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="turns")
    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="turns")
    number = models.PositiveIntegerField(help_text="Counts within the project; the seed of everything that is drawn in it")
    proposer = models.CharField(max_length=100)
    mode = models.CharField(max_length=10, help_text="What was wanted: explore, exploit, combine or simplify")
    category = models.CharField(max_length=20, blank=True, help_text="What the bandit drew")
    base = models.ForeignKey(BaselineVersion, on_delete=models.PROTECT, related_name="turns")
    state = models.CharField(max_length=10, choices=TurnState.choices, default=TurnState.WORKING)
    candidate = models.OneToOneField(Candidate, null=True, blank=True, on_delete=models.PROTECT, related_name="turn")
    note = models.TextField(blank=True, help_text="Why nothing came of it, in a sentence")
    opened_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = TurnQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="turn_number_once")]
        indexes = [models.Index(fields=["round", "state"], name="turns_under_way")]  # loop/propose.py

    def __str__(self) -> str:
        return f"turn {self.number} of {self.proposer}"
