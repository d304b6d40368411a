"""The fleet: what trains."""

from datetime import timedelta
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from training.sandbox.confinement import Level

SEEN_WITHIN = timedelta(seconds=30)


class DeviceQuerySet(models.QuerySet["Device"]):
    def online(self) -> Self:
        """Devices whose worker was heard of lately."""
        return self.filter(seen_at__gt=timezone.now() - SEEN_WITHIN)

    def serving(self, queue: str) -> Self:
        """Devices whose worker takes runs from this queue."""
        return self.filter(Q(queue=queue) | Q(queue="", kind=queue.removeprefix("train.")))


class Device(models.Model):
    """One core group or GPU with the worker that trains on it."""

    name = models.CharField(max_length=200, unique=True, help_text="Host and queue, for example box/train.cpu.0")
    kind = models.CharField(max_length=20, help_text="cpu or cuda")
    index = models.PositiveSmallIntegerField(default=0)
    count = models.PositiveSmallIntegerField(default=1, help_text="Accelerators that its worker trains one run on")
    mask = models.TextField(blank=True, help_text="What CUDA_VISIBLE_DEVICES names its accelerators by, with commas")
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
        told = {"kind": kind, "index": index, "seen_at": timezone.now(), **known}
        return cls.objects.update_or_create(name=name, defaults=told)[0]

    def serves(self, queue: str) -> bool:
        """Whether its worker takes runs from this queue, as `DeviceQuerySet.serving` asks for it."""
        return self.queue == queue or (not self.queue and self.kind == queue.removeprefix("train."))

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

    def leased(self, count: int = 1) -> str:
        """The first `count` of its accelerators as a run leases them, see training/devices.py: cpu, cuda:4, cuda:4,5."""
        masks = self.mask.split(",") if self.mask else [str(self.index + number) for number in range(self.count)]
        return self.kind if self.kind != "cuda" and count == 1 else f"{self.kind}:{','.join(masks[:count])}"
