"""What a person put off: a decision that waits for them and is not to be shown before a time of their choice."""

from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.utils import timezone

from research_app.models.candidate import Candidate


class Snooze(models.Model):
    """One person's “later” on one candidate. It ends at its time, or before that when the candidate moves to another stage."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="snoozes")
    candidate = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="snoozes")
    stage = models.CharField(max_length=20, help_text="Of the candidate, when it was put off")
    evidence = models.BigIntegerField(null=True, help_text="Key of its evidence then: a new verdict wakes it")
    until = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["person", "candidate"], name="snooze_once")]

    def __str__(self) -> str:
        return f"{self.person_id} puts candidate {self.candidate_id} off until {self.until:%Y-%m-%d %H:%M}"


def put_off(person: AbstractBaseUser | AnonymousUser, candidate: Candidate, until: datetime) -> Snooze:
    """Hide a candidate from this person's inbox until then, or until it moves on. Replaces an earlier one."""
    kept = {"stage": candidate.stage, "evidence": candidate.evidence_id, "until": until}
    return Snooze.objects.update_or_create(person_id=person.pk, candidate=candidate, defaults=kept)[0]


def put_off_by(person: AbstractBaseUser | AnonymousUser) -> "models.QuerySet[Snooze]":
    """What is still put off now, for `pk__in` of candidates: `.values("candidate")`."""
    unmoved = models.Q(stage=models.F("candidate__stage")) & (
        models.Q(evidence=models.F("candidate__evidence")) | models.Q(evidence=None, candidate__evidence=None)
    )
    return Snooze.objects.filter(unmoved, person_id=person.pk, until__gt=timezone.now())
