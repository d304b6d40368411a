"""A project: one training code base under research."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from research_app.evidence.errors import EvidenceError
from research_app.evidence.noise import Noise
from research_app.evidence.pooling import Repeats, pool_guarded
from research_app.project_file.gates_section import GatePolicy, Gates
from research_app.project_file.ladder import SMALLEST
from research_app.project_file.project_file import ProjectFile
from research_app.project_file.section import STORED
from research_app.repository import Repository

if TYPE_CHECKING:
    from research_app.models.baseline import BaselineVersion

SLUG = RegexValidator(r"^[a-z0-9][a-z0-9-]{0,48}\Z", "A project name has lower-case letters, digits and hyphens, at most 49.")


class ProjectManager(models.Manager["Project"]):
    """Projects that were not deleted: of the others, the row stays alone, because events name it."""

    def get_queryset(self) -> "models.QuerySet[Project]":
        return super().get_queryset().filter(deleted_at=None)


class Project(models.Model):
    """A git repository, how to train it, what may be edited, the metric, the budget."""

    slug = models.CharField(max_length=49, unique=True, validators=[SLUG])
    source = models.CharField(max_length=500, blank=True, help_text="Path or URL it was copied from; empty: default target")
    config: "models.JSONField[object, object]" = models.JSONField(
        help_text="The validated project file, see research_app/project_file/project_file.py"
    )
    data_hash = models.CharField(
        max_length=64, blank=True, help_text="Content hash of the corpus; empty: the code brings its own data"
    )
    paused = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)
    policy_version = models.PositiveIntegerField(default=1)
    former_gates: "models.JSONField[dict[str, object], dict[str, object]]" = models.JSONField(
        default=dict, blank=True, help_text="Gate policies of earlier versions, by their version"
    )
    last_number = models.PositiveIntegerField(default=0, help_text="Number of the newest candidate")
    archived_at = models.DateTimeField(null=True, blank=True, help_text="When it was put away: nothing in it begins any more")
    deleted_at = models.DateTimeField(null=True, blank=True, help_text="When it was deleted, with all that hung on it")

    objects = ProjectManager()

    SEALED = ("slug", "source", "config", "data_hash", "policy_version", "former_gates")

    def __str__(self) -> str:
        return self.slug

    def get_absolute_url(self) -> str:
        return f"/projects/{self.slug}/"

    @property
    def file(self) -> ProjectFile:
        """The project's settings, typed."""
        return ProjectFile.model_validate(self.config, context=STORED)

    def gate_policy(self, gate: int, version: int | None = None) -> GatePolicy:
        """Who decides at a gate, now or in an earlier version of the policy: what was decided under that stays decided."""
        if version is None or version == self.policy_version:
            return self.file.gate.of(gate)
        return Gates.model_validate(self.former_gates.get(str(version), {})).of(gate)

    @property
    def folder(self) -> Path:
        """Where the bare repository and the corpus of this project lie."""
        return Path(settings.HOME) / "projects" / self.slug

    @property
    def corpus(self) -> Path | None:
        """The shards that its runs read and are scored on; None where the code brings its own data."""
        return Path(settings.HOME) / "corpus" / self.data_hash if self.data_hash else None

    @property
    def repository(self) -> Repository:
        """The bare repository, with its baseline branch."""
        return Repository(self.folder / "repository.git", self.file.baseline.branch)

    @property
    def queue(self) -> str:
        """Queue of the devices that train this project."""
        return f"train.{self.file.train.device}"

    @property
    def sign(self) -> float:
        """+1 where lower scores are better, -1 where higher ones are: effect = sign × (baseline − candidate)."""
        return 1.0 if self.file.metric.direction == "lower" else -1.0

    @property
    def self_reported(self) -> bool:
        """True where the code prints its own score, which is marked wherever the score stands."""
        return not self.file.metric.scored

    def noise(self, scale: str = SMALLEST, *, but: Collection[int] = (), judging: int | None = None) -> Noise | None:
        """Sigma of the score over seeds, from every group of repeated runs; None before there is any (one query).

        Of candidates only runs that no look has selected count: whether there is a second run of a screening depends on the
        first, so that these scatter too much. What is being judged must not set its own standard: `but` are keys of runs,
        `judging` the key of a candidate, that are left out.
        """
        try:
            return pool_guarded(self._repeats(scale, but, judging))
        except EvidenceError:
            return None

    def why_no_noise(self, scale: str = SMALLEST) -> str:
        """Why sigma cannot be measured at a rung; empty where it can (one query)."""
        try:
            pool_guarded(self._repeats(scale))
        except EvidenceError as error:
            return str(error)
        return ""

    def _repeats(self, scale: str, but: Collection[int] = (), judging: int | None = None) -> list[Repeats]:
        """The scores of every group of repeated runs."""
        groups: dict[tuple[int, int | None], Repeats] = {}
        rows = self.runs.scored().filter(scale=scale, budget_share=1.0, cell=None).unselected()
        rows = rows.exclude(pk__in=but) if but else rows
        names = ("baseline_id", "patch_set_id", "patch_set__candidate_id", "patch_set__candidate__number", "score")
        for baseline, patch_set, candidate, number, score in rows.order_by("pk").values_list(*names):
            if candidate is None or candidate != judging:
                name = "baseline" if number is None else f"C-{number}"
                group = groups.setdefault((baseline, patch_set), Repeats(name, [], anchor=patch_set is None))
                group.scores.append(float(score or 0.0))
        return list(groups.values())

    def tip(self) -> "BaselineVersion":
        """The newest baseline version as the database knows it (one query)."""
        return self.baseline_versions.latest("number")


class RoundQuerySet(models.QuerySet["Round"]):
    def open(self) -> Self:
        """Rounds that still want candidates, bounded ones first: somebody waits for those."""
        here = self.filter(closed_at=None, project__paused=False)
        moved = models.Q(project__external_moves__state="waiting")  # see loop/moved.py
        return here.exclude(moved).order_by(models.F("wanted").asc(nulls_last=True), "pk")


class Round(models.Model):
    """A number of experiments asked for in one go; without a number it goes on until it is closed."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="rounds")
    proposers: "models.JSONField[list[str], list[str]]" = models.JSONField(
        default=list, help_text="Names of proposers, taken in turn"
    )
    wanted = models.PositiveIntegerField(null=True, blank=True)
    opened_at = models.DateTimeField(default=timezone.now)
    opened_by = models.CharField(max_length=200)
    closed_at = models.DateTimeField(null=True, blank=True)
    note = models.CharField(
        max_length=500, blank=True, help_text="What the proposer said last, where it had nothing to propose"
    )

    objects = RoundQuerySet.as_manager()

    def __str__(self) -> str:
        return f"round {self.pk}"
