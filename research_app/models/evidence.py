"""Evidence: the frozen comparison of a patch set with its base."""

import hashlib
import json
from typing import Any

from django.db import models
from django.utils import timezone

from research_app.evidence.digits import Gain
from research_app.evidence.documents import part_of, rows_of
from research_app.models.patch_set import PatchSet


class Verdict(models.TextChoices):
    """What the evidence says; health first."""

    INVALID = "invalid", "invalid"
    DROP = "drop", "drop"
    MORE_RUNS_NEEDED = "more_runs_needed", "more runs needed"
    SOLID = "solid", "solid"
    WORSE = "worse", "worse"  # harm: the interval of the effect lies below 0
    INCONCLUSIVE = "inconclusive", "inconclusive"


class Evidence(models.Model):
    """Runs, effect, interval, health and verdict at one scale, frozen, with a content hash that votes and landings name."""

    patch_set = models.ForeignKey(PatchSet, on_delete=models.PROTECT, related_name="evidence")
    scale = models.CharField(max_length=10, default="S")
    policy_version = models.PositiveIntegerField()
    verdict = models.CharField(max_length=20, choices=Verdict.choices)
    reason = models.TextField(help_text="Why this verdict, in a sentence")
    # All scores in the metric's unit. Effect is positive where the candidate is better.
    effect = models.FloatField(null=True, blank=True)
    standard_error = models.FloatField(null=True, blank=True)
    low = models.FloatField(null=True, blank=True, help_text="95% interval of the effect")
    high = models.FloatField(null=True, blank=True)
    sigma = models.FloatField(null=True, blank=True)
    baseline_mean = models.FloatField(null=True, blank=True)
    candidate_mean = models.FloatField(null=True, blank=True)
    baseline_n = models.PositiveSmallIntegerField(default=0)
    candidate_n = models.PositiveSmallIntegerField(default=0)
    numbers = models.JSONField(default=dict, help_text="Everything else: runs with scores, data and code hashes, health")
    # For lists, which do not read the numbers; taken from them when it is saved.
    failed_guards = models.JSONField(default=list, help_text="What it makes worse than the margins allow, a sentence each")
    quarantined = models.BooleanField(
        default=False, help_text="A question about its health that only a person can clear: approving it needs a reason"
    )
    content_hash = models.CharField(max_length=64)
    frozen_at = models.DateTimeField(default=timezone.now)

    SEALED = (
        "patch_set_id", "scale", "policy_version", "verdict", "reason", "effect", "standard_error", "low", "high", "sigma",
        "baseline_mean", "candidate_mean", "baseline_n", "candidate_n", "numbers", "content_hash", "frozen_at",
    )  # fmt: skip

    class Meta:
        constraints = [models.UniqueConstraint(fields=["patch_set", "content_hash"], name="evidence_once")]

    def __str__(self) -> str:
        return f"evidence {self.content_hash[:12]}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save it with what lists show of its numbers."""
        self.failed_guards = [failed["sentence"] for failed in rows_of(self.numbers, "failed_guards", "sentence")]
        self.quarantined = part_of(self.numbers, "health").get("state") == "quarantined"
        super().save(*args, **kwargs)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95% interval of the effect; None where the effect is hidden or unknown."""
        if self.low is None or self.high is None or self.verdict == Verdict.INVALID:
            return None
        return self.low, self.high

    @property
    def gain(self) -> Gain | None:
        """The effect as people read it, positive where the candidate is better; None where it is hidden or unknown."""
        if self.effect is None or self.verdict == Verdict.INVALID:
            return None
        return Gain(self.effect, self.standard_error, self.low, self.high)

    def content(self) -> dict[str, Any]:
        """What the hash covers: everything but keys and the time of freezing."""
        return {
            "diff_hash": self.patch_set.diff_hash,
            "base_commit": self.patch_set.base_commit,
            "tree": self.patch_set.tree,
            "scale": self.scale,
            "policy_version": self.policy_version,
            "verdict": str(self.verdict),
            "reason": self.reason,
            "effect": self.effect,
            "standard_error": self.standard_error,
            "interval": [self.low, self.high],
            "sigma": self.sigma,
            "baseline_mean": self.baseline_mean,
            "candidate_mean": self.candidate_mean,
            "numbers": self.numbers,
        }

    def compute_hash(self) -> str:
        """SHA-256 over the canonical JSON of the content."""
        return hashlib.sha256(json.dumps(self.content(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()
