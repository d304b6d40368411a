"""Imported histories: what somebody else's loop reported. Claims, kept apart from candidates: nothing here was measured."""

import hashlib
from typing import Self

from django.db import models
from django.utils import timezone

from research_app.models.candidate import Candidate
from research_app.models.project import Project
from research_app.models.seal import canonical_json, plain


class ReportedOutcome(models.TextChoices):
    """What the other loop did with an experiment."""

    BASELINE = "baseline", "baseline"
    KEEP = "keep", "keep"
    DISCARD = "discard", "discard"
    CRASH = "crash", "crash"


class ImportedHistory(models.Model):
    """One results table, with the branch beside it where there was one. A name stands for one growing table."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="imported_histories")
    name = models.CharField(max_length=100, help_text="What the project calls it; another import under it adds rows")
    file = models.CharField(max_length=200, help_text="Name of the results file")
    file_digest = models.CharField(max_length=64, help_text="SHA-256 of the results file as it was read last")
    source = models.CharField(max_length=500, blank=True, help_text="Repository it was read beside; empty: results alone")
    branch = models.CharField(max_length=200, blank=True)
    tip = models.CharField(max_length=40, blank=True, help_text="The branch's newest commit at the last import")
    metric = models.CharField(max_length=100, help_text="Column of the reported score")
    lower_is_better = models.BooleanField(default=True)
    rows_digest = models.CharField(max_length=64, help_text="SHA-256 over all its results, for `manage.py audit verify`")
    imported_by = models.CharField(max_length=200)
    imported_at = models.DateTimeField(default=timezone.now)

    SEALED = (
        "project_id", "name", "file", "file_digest", "source", "branch", "tip", "metric", "lower_is_better", "rows_digest",
        "imported_by", "imported_at",
    )  # fmt: skip

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="imported_history_once")]
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return f"{self.project.get_absolute_url()}imported/{self.pk}/"

    @property
    def sign(self) -> float:
        """+1 where lower scores are better, -1 where higher ones are: gain = sign × (incumbent − score)."""
        return 1.0 if self.lower_is_better else -1.0

    def digest_of_rows(self) -> str:
        """SHA-256 over what its results hold now, in order (one query)."""
        digest = hashlib.sha256()
        for row in self.results.order_by("number").values(*ImportedResult.CONTENT).iterator(chunk_size=500):
            digest.update(canonical_json(plain(row)).encode("utf-8", "backslashreplace") + b"\n")
        return digest.hexdigest()


class ImportedResultQuerySet(models.QuerySet["ImportedResult"]):
    def for_list(self) -> Self:
        """In their order, without what a list does not show."""
        return self.defer("diff", "message", "extra").order_by("number")


class ImportedResult(models.Model):
    """One row of a results table. `reported` is what the code printed by itself, on one seed as a rule: a claim."""

    history = models.ForeignKey(ImportedHistory, on_delete=models.PROTECT, related_name="results")
    number = models.PositiveIntegerField(help_text="Place in the table, from 1")
    outcome = models.CharField(max_length=10, choices=ReportedOutcome.choices)
    reported = models.FloatField(null=True, blank=True, help_text="The reported score; empty where there is none")
    description = models.TextField(blank=True)
    extra: "models.JSONField[dict[str, str], dict[str, str]]" = models.JSONField(
        default=dict, help_text="Every other column of the row, as text"
    )
    commit = models.CharField(max_length=64, blank=True, help_text="As the table has it")
    full_commit = models.CharField(max_length=40, blank=True, help_text="The commit that was found for it")
    author = models.CharField(max_length=200, blank=True, help_text="As the commit says: anybody can write anything there")
    message = models.TextField(blank=True)
    at = models.DateTimeField(null=True, blank=True, help_text="As the commit or the table says")
    diff = models.TextField(blank=True, help_text="What it changed since the commit that was kept before it")
    added = models.PositiveIntegerField(default=0)
    removed = models.PositiveIntegerField(default=0)
    why_no_diff = models.CharField(max_length=300, blank=True)
    contradictions: "models.JSONField[list[str], list[str]]" = models.JSONField(
        default=list, help_text="Where its words and its code disagree, a sentence each"
    )
    candidate = models.ForeignKey(
        Candidate, null=True, blank=True, on_delete=models.PROTECT, related_name="imported_results",
        help_text="The ordinary candidate with which it is judged again",
    )  # fmt: skip

    objects = ImportedResultQuerySet.as_manager()

    CONTENT = (
        "number", "outcome", "reported", "description", "extra", "commit", "full_commit", "author", "message", "at", "diff",
        "why_no_diff", "contradictions",
    )  # fmt: skip

    class Meta:
        constraints = [models.UniqueConstraint(fields=["history", "number"], name="imported_result_once")]
        ordering = ["history", "number"]

    def __str__(self) -> str:
        return f"{self.history.name} #{self.number}"

    def get_absolute_url(self) -> str:
        return f"{self.history.get_absolute_url()}{self.number}/"
