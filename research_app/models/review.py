"""Reviews: researchers' votes at a gate."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from research_app.models.candidate import Candidate
from research_app.models.patch_set import PatchSet


class Gate(models.IntegerChoices):
    """The two places where only a person goes on."""

    SHORTLIST = 1, "gate 1: approve the scale-up"
    BASELINE = 2, "gate 2: approve for the baseline"


class Decision(models.TextChoices):
    """What a reviewer says."""

    APPROVE = "approve", "approved"
    REJECT = "reject", "rejected"
    CHANGES = "changes", "changes requested"


class ReviewQuerySet(models.QuerySet["Review"]):
    def standing(self) -> "ReviewQuerySet":
        """Votes that were not voided."""
        return self.filter(voided_at=None)


class Review(models.Model):
    """One vote, bound to what the reviewer saw (invariant 4)."""

    candidate = models.ForeignKey(Candidate, on_delete=models.PROTECT, related_name="reviews")
    patch_set = models.ForeignKey(PatchSet, on_delete=models.PROTECT, related_name="reviews")
    gate = models.PositiveSmallIntegerField(choices=Gate.choices)
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="reviews")
    decision = models.CharField(max_length=10, choices=Decision.choices)
    reason = models.TextField(blank=True)
    against_verdict = models.BooleanField(default=False)
    diff_hash = models.CharField(max_length=64)
    base_commit = models.CharField(max_length=40)
    evidence_hash = models.CharField(max_length=64)
    policy_version = models.PositiveIntegerField()
    created_at = models.DateTimeField(default=timezone.now)
    voided_at = models.DateTimeField(null=True, blank=True)
    void_reason = models.TextField(blank=True)

    objects = ReviewQuerySet.as_manager()

    SEALED = (  # that it was voided is told by events of its own
        "candidate_id", "patch_set_id", "gate", "reviewer_id", "decision", "reason", "against_verdict", "diff_hash",
        "base_commit", "evidence_hash", "policy_version", "created_at",
    )  # fmt: skip

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["candidate", "gate", "reviewer"], condition=Q(voided_at=None), name="one_standing_vote_each"
            ),
            models.CheckConstraint(condition=~Q(decision="reject") | ~Q(reason=""), name="rejection_has_a_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.reviewer} {self.get_decision_display()} {self.candidate}"
