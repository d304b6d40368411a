"""Patch sets: the immutable revisions of a candidate."""

from django.db import models
from django.utils import timezone

from research_app.models.baseline import BaselineVersion
from research_app.models.candidate import Candidate


class PatchSet(models.Model):
    """One revision: base commit, commit, tree and the hash of its diff. Never changed after it was made."""

    candidate = models.ForeignKey(Candidate, on_delete=models.PROTECT, related_name="patch_sets")
    number = models.PositiveIntegerField()
    base = models.ForeignKey(BaselineVersion, on_delete=models.PROTECT, related_name="patch_sets")
    base_commit = models.CharField(max_length=40)
    commit = models.CharField(max_length=40)
    tree = models.CharField(max_length=40)
    diff = models.TextField()
    diff_hash = models.CharField(max_length=64)
    syntax_hash = models.CharField(max_length=64, help_text="Hash of the normalised syntax tree: finds duplicates")
    files = models.JSONField(default=list, help_text="[{path, kind, added, removed}]")
    flags = models.JSONField(default=list, help_text="Risky edits: [{detector, level, sentence, path, line}]")
    rebased = models.BooleanField(default=False, help_text="Made by Signoff: the same diff on a newer baseline")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["candidate", "number"], name="patch_set_number_once")]
        indexes = [models.Index(fields=["base", "syntax_hash"], name="patch_set_duplicates")]  # loop/check.py
        ordering = ["candidate", "number"]

    def __str__(self) -> str:
        return f"{self.candidate}/{self.number}"

    @property
    def added(self) -> int:
        """Lines added over all files."""
        return sum(file["added"] for file in self.files)

    @property
    def removed(self) -> int:
        """Lines removed over all files."""
        return sum(file["removed"] for file in self.files)
