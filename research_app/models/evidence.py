"""Evidence: the frozen comparison of a patch set with its base."""

import hashlib
import json
from typing import Any, Self

from django.db import models
from django.utils import timezone

from research_app.evidence.digits import Gain
from research_app.evidence.evidence_document import ConfirmationRecord, EvidenceDocument, SavingsRecord, TransferRecord
from research_app.models.documents.typed_column import document_in
from research_app.models.patch_set import PatchSet
from research_app.models.project import Project
from research_app.project_file.ladder import SMALLEST


class Verdict(models.TextChoices):
    """What the evidence says; health first."""

    INVALID = "invalid", "invalid"
    DROP = "drop", "drop"
    MORE_RUNS_NEEDED = "more_runs_needed", "more runs needed"
    SOLID = "solid", "solid"
    WORSE = "worse", "worse"  # harm: the interval of the effect lies below 0
    INCONCLUSIVE = "inconclusive", "inconclusive"


class EvidenceQuerySet(models.QuerySet["Evidence"]):
    def of_project(self, project: Project) -> Self:
        """All evidence of a project's candidates."""
        return self.filter(patch_set__candidate__project=project)

    def confirmations(self) -> list[ConfirmationRecord]:
        """The newest confirmation of each candidate that health does not hide (one query)."""
        rows = self.filter(numbers__has_key="confirmation").exclude(verdict=Verdict.INVALID).order_by("pk")
        newest = dict(rows.values_list("patch_set__candidate", "numbers__confirmation"))
        return [read for stored in newest.values() if (read := ConfirmationRecord.read(stored))]

    def transfers(self) -> list[tuple[TransferRecord | None, SavingsRecord | None]]:
        """What was found on each rung above the smallest, with the time saved there: the newest of each patch set and rung that
        health does not hide, oldest first (one query)."""
        rows = self.filter(numbers__has_key="transfer").exclude(scale=SMALLEST).exclude(verdict=Verdict.INVALID).order_by("pk")
        parts = rows.values_list("patch_set", "scale", "numbers__transfer", "numbers__savings")
        newest = {(patch_set, scale): (transfer, savings) for patch_set, scale, transfer, savings in parts}
        return [(TransferRecord.read(transfer), SavingsRecord.read(savings)) for transfer, savings in newest.values()]


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
    numbers: "models.JSONField[object, object]" = models.JSONField(
        default=dict, help_text="Everything else: runs with scores, data and code hashes, health"
    )
    # For lists, which do not read the numbers; taken from them when it is saved.
    failed_guards: "models.JSONField[list[str], list[str]]" = models.JSONField(
        default=list, help_text="What it makes worse than the margins allow, a sentence each"
    )
    quarantined = models.BooleanField(
        default=False, help_text="A question about its health that only a person can clear: approving it needs a reason"
    )
    content_hash = models.CharField(max_length=64)
    frozen_at = models.DateTimeField(default=timezone.now)

    document = document_in("numbers", EvidenceDocument)

    objects = EvidenceQuerySet.as_manager()

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
        document = EvidenceDocument.read(self.numbers)
        self.failed_guards = [failed.sentence for failed in document.failed_guards]
        self.quarantined = document.state == "quarantined"
        super().save(*args, **kwargs)

    @property
    def has_document(self) -> bool:
        """Whether its numbers are a document at all: anything else was not written by this program."""
        return isinstance(self.numbers, dict)

    def take_over(self, known: "Evidence") -> None:
        """Hold what other evidence of the same two trees holds, byte for byte, and its hash. Unsaved."""
        kept = known.numbers if isinstance(known.numbers, dict) else {}
        self.numbers = kept | {"taken_from": known.content_hash}
        self.content_hash = self.compute_hash()

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
