"""A person's word that one candidate may use more than the envelope allows, with the reason."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from research_app.models.candidate import Candidate

WIDEST = 20.0


class Widening(models.Model):
    """How many times the baseline's processor time, memory and time a candidate's runs may use. The newest one counts."""

    candidate = models.ForeignKey(Candidate, on_delete=models.PROTECT, related_name="widenings")
    times = models.FloatField(validators=[MinValueValidator(1.0), MaxValueValidator(WIDEST)])
    reason = models.TextField()
    widened_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    SEALED = ("candidate_id", "times", "reason", "widened_by_id", "created_at")

    def __str__(self) -> str:
        return f"widening {self.pk}"
