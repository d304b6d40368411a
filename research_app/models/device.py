"""The fleet: what trains."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from training.nvml import Gpu
from training.sandbox.confinement import Level

SEEN_WITHIN = timedelta(seconds=30)


TOGETHER = "scale_up"
"""The queue of runs that need several devices at once."""


class DeviceQuerySet(models.QuerySet["Device"]):
    def online(self) -> Self:
        """Devices whose worker was heard of lately."""
        return self.filter(seen_at__gt=timezone.now() - SEEN_WITHIN)

    def serving(self, queue: str) -> Self:
        """Devices whose worker takes runs from this queue."""
        served = Q(queue=queue) | Q(queue="", kind=queue.removeprefix("train."))
        return self.filter(served | Q(queue="", count__gt=1) if queue == TOGETHER else served)

    def busy(self) -> Self:
        """Devices that a run or a trial has now."""
        from research_app.models.run import Run
        from research_app.models.trial import Trial

        running = Run.objects.training()
        further = Run.further_devices.through.objects.filter(run__in=running).values("device")
        tried = Trial.devices.through.objects.filter(trial__lease_until__gt=timezone.now()).values("device")
        leading = running.filter(device__isnull=False).values("device")
        return self.filter(Q(pk__in=leading) | Q(pk__in=further) | Q(pk__in=tried))


class Device(models.Model):
    """One core or GPU, or a slice of one, that runs are trained on."""

    name = models.CharField(max_length=200, unique=True, help_text="Host and device, for example box/cuda.3")
    kind = models.CharField(max_length=20, help_text="cpu, cuda or mps")
    index = models.PositiveSmallIntegerField(default=0)
    count = models.PositiveSmallIntegerField(default=1, help_text="How many, itself among them, one run may have together")
    mask = models.CharField(max_length=100, blank=True, help_text="What CUDA_VISIBLE_DEVICES names it by")
    memory_bytes = models.PositiveBigIntegerField(default=0, help_text="Its own memory; 0: not known")
    queue = models.CharField(max_length=60, blank=True, help_text="What its worker takes runs from; empty: train.<kind>")
    description = models.CharField(max_length=200, blank=True)
    sandbox_level = models.CharField(max_length=10, default="none")
    sandbox_advice = models.TextField(blank=True, help_text="Why no better sandbox holds on its machine, and the fix")
    refusal = models.TextField(blank=True, help_text="Why its worker takes no work, with the fix; empty when it does")
    seen_at = models.DateTimeField(default=timezone.now)

    objects = DeviceQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name

    @classmethod
    def report(cls, name: str, kind: str, index: int, **known: str | int) -> "Device":
        """The device's row, seen now, with what is known of it; made on first report."""
        columns = {"kind": kind, "index": index, "seen_at": timezone.now(), **known}
        return cls.objects.update_or_create(name=name, defaults=columns)[0]

    @classmethod
    def report_all(cls, host: str, kind: str, known: Sequence[Gpu], **common: str | int) -> list["Device"]:
        """The rows of a host's devices, seen now (two statements where nothing of them has changed)."""
        columns = {
            f"{host}/{kind}.{gpu.label}": common
            | {"mask": gpu.mask if kind == "cuda" else "", "description": gpu.name[:200], "memory_bytes": gpu.memory}
            for gpu in known
        }
        rows = {row.name: row for row in cls.objects.filter(name__in=columns)}
        for name, fields in columns.items():
            row = rows.get(name)
            if row is None or any(getattr(row, field) != value for field, value in fields.items()):
                number = name.rpartition(".")[2]
                rows[name] = cls.report(name, kind, int(number) if number.isdigit() else 0, **fields)
        cls.objects.filter(name__in=columns).update(seen_at=timezone.now())
        return [rows[name] for name in columns]

    def serves(self, queue: str) -> bool:
        """Whether its worker takes runs from this queue, as `DeviceQuerySet.serving` asks for it."""
        if self.queue:
            return self.queue == queue
        return self.kind == queue.removeprefix("train.") or (queue == TOGETHER and self.count > 1)

    def accepts(self, minimum: str) -> bool:
        """Whether its sandbox is at least as good as a project demands."""
        return Level(self.sandbox_level).at_least(Level(minimum))

    def refuse(self, why: str) -> None:
        """Say why it takes no work, or with an empty reason that it does. Writes only a change."""
        if self.refusal != why:
            Device.objects.filter(pk=self.pk).update(refusal=why)
            self.refusal = why

    @property
    def online(self) -> bool:
        """True while its worker reports."""
        return self.seen_at > timezone.now() - SEEN_WITHIN

    @property
    def number(self) -> str:
        """What the machine calls it, for CUDA_VISIBLE_DEVICES."""
        return self.mask or str(self.index)


def leased(devices: Sequence[Device]) -> str:
    """Devices as a run leases them, see training/devices.py: cpu, cuda:4, cuda:4,5."""
    kind = devices[0].kind
    if kind != "cuda" and len(devices) == 1:
        return kind
    return f"{kind}:{','.join(device.number for device in devices)}"
