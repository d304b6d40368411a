"""Runs: one training of one tree with one seed on one device; and their series and logs."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Self

import numpy as np
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from numpy.typing import NDArray

from research_app.models.baseline import BaselineVersion
from research_app.models.device import Device
from research_app.models.device_time import total_device_seconds
from research_app.models.documents.run_summary import RunSummary, figures_read
from research_app.models.documents.typed_column import TypedColumn
from research_app.models.lease import Lease, Leased, due
from research_app.models.patch_set import PatchSet
from research_app.models.project import Project
from research_app.models.purpose import Priority, Purpose
from research_app.models.seal import Sealed
from research_app.models.stack import DesignPoint
from research_app.project_file.ladder import SMALLEST
from training.spec import LARGEST_SCORE, Outcome

Array = NDArray[np.float64]
PACKED = "<f8"
LOOKED_AT = 20  # runs that wait, for one that a device may train
OF_LAST = 20
"""Of so many runs that begin one after another, the screening share is kept and one at least is the oldest that waits."""
SHARED = (Priority.SCALE_UP, Priority.REPLICATE)
SHARING = (Purpose.SCALE_UP, Purpose.REPLICATE, Purpose.SCREEN)
"""A project's screening share is one of these, and is taken from the others: from nothing that a decision waits for."""


class State(models.TextChoices):
    """Whether a run has begun and ended."""

    QUEUED = "queued", "queued"
    RUNNING = "running", "running"
    FINISHED = "finished", "finished"
    STUCK = "stuck", "needs attention"  # failed after repeated loss of its worker or trouble on the machine


class RunQuerySet(models.QuerySet["Run"]):
    def queued_for(self, *queues: str) -> Self:
        """Runs that wait for a device of these queues, most valuable first. Uses the index run_dispatch."""
        waiting = self.queued().filter(due(), queue__in=queues, project__archived_at=None)
        return waiting.order_by("priority", "pk")

    def unfinished(self) -> Self:
        """Runs that wait, train or are stuck: few, by an index that has no others in it."""
        return self.filter(finished_at__isnull=True)

    def queued(self) -> Self:
        """Runs that wait for a device."""
        return self.unfinished().filter(state=State.QUEUED)

    def training(self) -> Self:
        """Runs that a device has now."""
        return self.unfinished().filter(state=State.RUNNING)

    def on_devices(self, devices: Iterable[int]) -> Self:
        """Runs that have, or had, one of these devices."""
        pks = list(devices)
        further = Run.further_devices.through.objects.filter(device__in=pks).values("run")
        return self.filter(Q(device__in=pks) | Q(pk__in=further))

    def fairly(self) -> Self:
        """The same runs, screenings before replications and scale-ups while they are below their share of the last runs."""
        head = self.select_related("project").first()
        if head is None or head.priority not in SHARED:
            return self
        last = Run.objects.last_begun().filter(project=head.project_id, purpose__in=SHARING)[:OF_LAST]
        purposes = list(last.values_list("purpose", flat=True))
        share = purposes.count(Purpose.SCREEN) / len(purposes) if purposes else 1.0
        try:
            wanted = head.project.file.policy.screening_share
        except ValueError:  # see Run.why_not
            return self
        if share >= wanted:
            return self
        return self.order_by(models.Case(models.When(purpose=Purpose.SCREEN, then=0), default=1), "priority", "pk")

    def last_begun(self) -> Self:
        """Runs that have begun, the newest first; of one project or queue, an index has them in this order."""
        return self.filter(started_at__isnull=False).order_by("-started_at")

    def of_baseline(self, scale: str = SMALLEST) -> Self:
        """Runs of the baseline's own tree at one rung of the ladder: no candidate's change and no ablation's."""
        return self.filter(patch_set=None, cell=None, scale=scale)

    def completed(self) -> Self:
        """Runs with a score."""
        return self.filter(outcome=Outcome.completed)

    def unselected(self) -> Self:
        """Runs of the baseline, and those of candidates that were asked for whatever the ones before them scored."""
        return self.exclude(purpose__in=(Purpose.SCREEN, Purpose.REPLICATE))

    def scored(self) -> Self:
        """Completed runs whose score can enter a mean: beyond LARGEST_SCORE a run diverged, whatever its row says."""
        return self.completed().filter(score__gte=-LARGEST_SCORE, score__lte=LARGEST_SCORE)

    def device_seconds(self) -> float:
        """Device time of all of them together: lost attempts and all devices counted, up to now (one query)."""
        return float(self.aggregate(taken=total_device_seconds())["taken"])


class Run(Leased):
    """One training: what, with which seed, where, and its outcome. Series and log stand in tables of their own."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="runs")
    baseline = models.ForeignKey(BaselineVersion, on_delete=models.PROTECT, related_name="runs")
    patch_set = models.ForeignKey(PatchSet, null=True, blank=True, on_delete=models.PROTECT, related_name="runs")
    cell = models.ForeignKey(DesignPoint, null=True, blank=True, on_delete=models.PROTECT, related_name="runs")
    purpose = models.CharField(max_length=10, choices=Purpose.choices)
    priority = models.PositiveSmallIntegerField()
    queue = models.CharField(max_length=60)
    commit = models.CharField(max_length=40, help_text="The tree that is trained")
    scale = models.CharField(max_length=10, default=SMALLEST, help_text="Rung of the project's ladder")
    devices = models.PositiveSmallIntegerField(default=1, help_text="How many accelerators it needs at once")
    seed = models.PositiveIntegerField()
    budget_share = models.FloatField(default=1.0, help_text="Share of the project's budget; others than 1 make the loss curve")

    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    outcome = models.CharField(max_length=20, blank=True, choices=[(o.value, o.value.replace("_", " ")) for o in Outcome])
    reason = models.TextField(blank=True)
    failed_step = models.CharField(max_length=60, blank=True, help_text="The step of Signoff's own that failed on it, if any")
    score = models.FloatField(null=True, blank=True)
    score_by_source: "models.JSONField[object, object]" = models.JSONField(default=dict)
    hidden_score = models.FloatField(null=True, blank=True, help_text="On the hidden shard; confirming runs alone")
    self_reported = models.BooleanField(default=False)
    facts: "models.JSONField[object, object]" = models.JSONField(
        default=dict, help_text="Measured: parameters, steps, tokens, FLOPs, peak memory …"
    )
    device = models.ForeignKey(Device, null=True, blank=True, on_delete=models.SET_NULL, related_name="runs")
    further_devices = models.ManyToManyField(
        Device, blank=True, related_name="shared_runs", help_text="The others, where it has several"
    )
    sandbox_level = models.CharField(max_length=10, blank=True)
    exit_code = models.IntegerField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    train_seconds = models.FloatField(null=True, blank=True)
    progress = models.FloatField(default=0.0, help_text="Share of the budget used, 0 to 1")
    resumed_at = models.FloatField(default=0.0, help_text="Share of the budget that this attempt began with")
    earlier_seconds = models.FloatField(default=0.0, help_text="Seconds that attempts before this one trained")

    objects = RunQuerySet.as_manager()
    summary = TypedColumn("facts", RunSummary.read, RunSummary.written)
    source_scores = TypedColumn("score_by_source", figures_read, dict)

    SEALED = (  # when it has ended; what it is for may change later, see judge_confirmation
        "project_id", "baseline_id", "patch_set_id", "cell_id", "commit", "scale", "devices", "seed", "budget_share", "outcome",
        "reason", "score", "score_by_source", "hidden_score", "self_reported", "facts", "sandbox_level", "exit_code",
        "started_at", "finished_at", "train_seconds",
    )  # fmt: skip

    class Meta:
        constraints = [
            # One run per tree, seed and purpose: a step that is repeated cannot double work.
            models.UniqueConstraint(
                fields=["patch_set", "scale", "seed"], condition=Q(patch_set__isnull=False), name="candidate_seed_once"
            ),
            models.UniqueConstraint(
                fields=["baseline", "scale", "seed", "budget_share"],
                condition=Q(patch_set__isnull=True, cell__isnull=True),
                name="baseline_seed_once",
            ),
            models.UniqueConstraint(
                fields=["cell", "scale", "seed"], condition=Q(cell__isnull=False), name="stack_cell_seed_once"
            ),
        ]
        indexes = [
            models.Index(fields=["queue", "state", "priority", "id"], name="run_dispatch"),  # a device's next run
            models.Index(fields=["queue", "-started_at"], name="run_begun"),  # whether the oldest is overdue
            models.Index(fields=["project", "-started_at"], name="run_begun_of_project"),  # the screening share
            models.Index(fields=["project", "state"], name="run_live"),  # live runs on the project page
            models.Index(
                fields=["project", "-finished_at"], name="run_ended"
            ),  # what changed since, for figures kept in memory
            # What waits and trains: the planner takes it where a query says finished_at IS NULL.
            models.Index(fields=["state", "project"], condition=Q(finished_at__isnull=True), name="run_unfinished"),
            models.Index(fields=["finished_at"], condition=~Q(failed_step=""), name="run_failed_step"),  # the inbox
        ]

    def __str__(self) -> str:
        return f"run {self.pk}"

    @classmethod
    def claim_next(cls, queue: str, device: Device) -> Lease | None:
        """Take the most valuable queued run of a queue that a device alone may train; None when there is none."""
        from research_app.models.pool import DevicePool

        return DevicePool.of(queue, device).claim()

    @staticmethod
    def began_anew(pk: int) -> None:
        """Forget the points of an attempt that was lost, or of a run that ended and is made anew."""
        SeriesChunk.objects.filter(run_id=pk).delete()
        Series.objects.filter(run_id=pk).delete()

    @property
    def leased_devices(self) -> list[Device]:
        """All that it trains on, or trained on last, in the order in which it counts them (one query)."""
        first = [self.device] if self.device else []
        return [*first, *self.further_devices.order_by("pk")]

    def why_not(self, device: Device) -> str:
        """Why a device cannot train it, with the fix; empty where it can."""
        try:
            minimum = sandbox_for(self)
        except (ValueError, KeyError):  # its project's file cannot be read any more: it is taken, and says so
            minimum = "none"
        if not device.accepts(minimum):
            has = f"this machine has {device.sandbox_level}"
            return f"Project {self.project.slug} needs the sandbox level {minimum}, {has}. {device.sandbox_advice}"
        if self.devices > device.count:
            needs = f"{self.project.slug} at {self.scale} needs {self.devices} devices at once"
            return f"{needs}, this worker has {device.count}. docs/explanation/ladder.md says how to start a larger one."
        return ""

    def is_overdue(self, queues: Sequence[str] = ()) -> bool:
        """Whether none of the last runs of its queues that began was older than it, the oldest that waits (one query)."""
        last = Run.objects.last_begun().filter(queue__in=queues or (self.queue,)).values_list("pk", flat=True)[: OF_LAST - 1]
        begun = list(last)
        return len(begun) == OF_LAST - 1 and min(begun) > self.pk

    @property
    def device_seconds(self) -> float:
        """Device time that it has taken up to now: lost attempts and all its devices counted, as in models/device_time.py."""
        return (self.earlier_seconds + self.attempt_seconds) * self.devices

    @property
    def attempt_seconds(self) -> float:
        """How long this attempt trained, or has so far; 0 for a run that waits or that a worker failed on."""
        if self.train_seconds is not None:
            return self.train_seconds
        if self.state != State.RUNNING or self.started_at is None:
            return 0.0
        return max(0.0, (timezone.now() - self.started_at).total_seconds())

    @property
    def left(self) -> timedelta | None:
        """Time left at the pace of this attempt; None before a pace can be told."""
        done = self.progress - self.resumed_at
        if self.state != State.RUNNING or self.started_at is None or done < 0.02:
            return None
        return (timezone.now() - self.started_at) * ((1 - self.progress) / done)

    @property
    def name(self) -> str:
        """What pages call it: the group it belongs to and its seed."""
        group = str(self.patch_set) if self.patch_set_id else f"baseline {self.baseline.number}"
        return f"{group} seed {self.seed}"


def is_usable(score: float | None) -> bool:
    """Whether a score can enter a mean: it is there, and not beyond LARGEST_SCORE."""
    return score is not None and abs(score) <= LARGEST_SCORE


def sandbox_for(run: Run) -> str:
    """The sandbox level that a run needs: a run on several devices talks over a network, of which only `strong` has its own."""
    minimum = run.project.file.sandbox.minimum
    return "strong" if run.devices > 1 and minimum != "none" else minimum


class SeriesChunk(models.Model):
    """A batch of points of one run, as it arrived: at most one row a second while it runs, rows of Series afterwards."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="series_chunks")
    sequence = models.PositiveIntegerField()
    points: "models.JSONField[object, object]" = models.JSONField(help_text="{series: [[steps], [values]]}")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "sequence"], name="series_chunk_once")]

    def __str__(self) -> str:
        return f"points {self.sequence} of run {self.run_id}"

    @classmethod
    def append(cls, lease: Lease, sequence: int, points: Mapping[str, Any], progress: float) -> None:
        """Write one batch under the run's lease. Raises LeaseLost."""
        with transaction.atomic():
            lease.write(progress=progress)
            cls.objects.create(run_id=lease.pk, sequence=sequence, points=points)

    @classmethod
    def compact(cls, run_id: int) -> None:
        """Replace the chunks of a run that ended by its series. Inside the caller's transaction."""
        chunks = cls.objects.filter(run_id=run_id)
        merged = merge(chunks.order_by("sequence").values_list("points", flat=True))
        Series.objects.filter(run_id=run_id).delete()
        Series.objects.bulk_create(Series.of(run_id, name, steps, values) for name, (steps, values) in merged.items())
        chunks.delete()


class Series(models.Model):
    """One logged curve of a run that ended, as two packed arrays: a chart reads the one that it draws and no other."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="series")
    name = models.CharField(max_length=64)
    steps = models.BinaryField(help_text="Little-endian 64-bit floats")
    values = models.BinaryField(help_text="Little-endian 64-bit floats, one for each step")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "name"], name="series_once")]

    def __str__(self) -> str:
        return f"{self.name} of run {self.run_id}"

    @classmethod
    def of(cls, run_id: int, name: str, steps: Sequence[float], values: Sequence[float]) -> Self:
        """Unsaved, from plain numbers."""
        packed = [np.asarray(numbers, dtype=PACKED).tobytes() for numbers in (steps, values)]
        return cls(run_id=run_id, name=name, steps=packed[0], values=packed[1])


def merge(chunks: Iterable[Mapping[str, Sequence[Sequence[float]]]]) -> dict[str, list[list[float]]]:
    """Join batches of points: {series: [[steps], [values]]}."""
    merged: dict[str, list[list[float]]] = {}
    for chunk in chunks:
        for name, (steps, values) in chunk.items():
            all_steps, all_values = merged.setdefault(name, [[], []])
            all_steps.extend(steps)
            all_values.extend(values)
    return merged


def series_of(run_ids: Sequence[int]) -> dict[int, dict[str, list[list[float]]]]:
    """All series of some runs: {run: {series: [[steps], [values]]}}. Two queries."""
    return {
        run_id: {name: [steps.tolist(), values.tolist()] for name, (steps, values) in logged.items()}
        for run_id, logged in arrays_of(run_ids).items()
    }


def arrays_of(run_ids: Sequence[int], names: Iterable[str] | None = None) -> dict[int, dict[str, tuple[Array, Array]]]:
    """Series of some runs, all or those of these names: {run: {series: (steps, values)}}. Two queries."""
    arrays: dict[int, dict[str, tuple[Array, Array]]] = {run_id: {} for run_id in run_ids}
    chunks: dict[int, list[Any]] = {}
    rows = SeriesChunk.objects.filter(run_id__in=run_ids).order_by("run_id", "sequence")
    for run_id, points in rows.values_list("run_id", "points"):
        chunks.setdefault(run_id, []).append(points)
    for run_id, parts in chunks.items():
        for name, (steps, values) in merge(parts).items():
            arrays[run_id][name] = np.asarray(steps, dtype=PACKED), np.asarray(values, dtype=PACKED)
    packed = Series.objects.filter(run_id__in=run_ids)
    if names is not None:
        packed = packed.filter(name__in=list(names))
    for run_id, name, *columns in packed.values_list("run_id", "name", "steps", "values").iterator():
        at, logged = (np.frombuffer(column, dtype=PACKED) for column in columns)
        arrays[run_id][name] = at, logged
    return arrays


def curves_sealed(run_id: int) -> Sealed:
    """The curves of a run that ended, under one key. One query."""
    rows = Series.objects.filter(run_id=run_id).values_list("name", "steps", "values")
    return Sealed(f"curves {run_id}", {name: [bytes(steps), bytes(values)] for name, steps, values in rows})


def keys_of_run(run_id: int) -> list[str]:
    """What an event calls a run, its log and its curves."""
    return [f"run {run_id}", f"runlog {run_id}", f"curves {run_id}"]


class RunLog(models.Model):
    """What a run printed, bounded, control characters stripped."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, primary_key=True, related_name="log")
    text = models.TextField()

    SEALED = ("text",)

    def __str__(self) -> str:
        return f"log of run {self.run_id}"
