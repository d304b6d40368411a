"""Patch sets: the immutable revisions of a candidate."""

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from agent.touched import touched_in
from research_app.models.baseline import BaselineVersion
from research_app.models.candidate import Candidate
from research_app.models.documents.changed_file import ChangedFile
from research_app.models.documents.finding import KeptFinding
from research_app.models.documents.moved_constants import Moves, moves_read
from research_app.models.documents.typed_column import TypedColumn, rows_in

if TYPE_CHECKING:
    from research_app.models.evidence import Evidence


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
    resolved_hash = models.CharField(max_length=64, blank=True, help_text="The same with names and constants resolved")
    moved: "models.JSONField[object, object]" = models.JSONField(
        default=dict, help_text="{constant: [from, to]} where nothing else differs; empty: structural"
    )
    files: "models.JSONField[object, object]" = models.JSONField(default=list, help_text="[{path, kind, added, removed}]")
    flags: "models.JSONField[object, object]" = models.JSONField(
        default=list, help_text="Risky edits: [{detector, level, sentence, path, line}]"
    )
    author = models.CharField(max_length=100, blank=True, help_text="Who made it; empty: the candidate's author")
    submitted_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT)
    message = models.TextField(blank=True, help_text="What a revision changes, in its author's words: claimed, not measured")
    description: "models.JSONField[dict[str, str], dict[str, str]]" = models.JSONField(
        default=dict, help_text="{title, hypothesis, category, expected_effect} as its author described it when it was made"
    )
    touched = models.TextField(blank=True, help_text="Constants that it changes, one a line, a line end before and after each")
    rebased = models.BooleanField(default=False, help_text="Made by Signoff: the same diff on a newer baseline")
    created_at = models.DateTimeField(default=timezone.now)

    moves: TypedColumn[Moves] = TypedColumn("moved", moves_read, dict)
    changed_files = rows_in("files", ChangedFile)
    risky_edits = rows_in("flags", KeptFinding)

    failed_at_rungs: "list[Evidence]"  # where a query asked for it (candidate.failed_at_rungs)

    SEALED = (  # what is derived from the diff may be derived anew
        "candidate_id", "number", "base_id", "base_commit", "commit", "tree", "diff", "diff_hash", "files", "flags", "author",
        "submitted_by_id", "message", "rebased", "created_at",
    )  # fmt: skip

    class Meta:
        constraints = [models.UniqueConstraint(fields=["candidate", "number"], name="patch_set_number_once")]
        indexes = [models.Index(fields=["base", "syntax_hash"], name="patch_set_duplicates")]  # loop/check.py
        ordering = ["candidate", "number"]

    def __str__(self) -> str:
        return f"{self.candidate}/{self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Made once; what it touches is read off its diff then."""
        if self._state.adding:
            self.touched = "".join(f"\n{name}" for name in touched_in(self.diff)) + "\n"
        super().save(*args, **kwargs)

    @property
    def added(self) -> int:
        """Lines added over all files."""
        return sum(file.added for file in self.changed_files)

    @property
    def removed(self) -> int:
        """Lines removed over all files."""
        return sum(file.removed for file in self.changed_files)
