"""The fleet: what trains."""

from datetime import timedelta
from typing import Self

from django.db import models
from django.utils import timezone

SEEN_WITHIN = timedelta(seconds=30)


class DeviceQuerySet(models.QuerySet["Device"]):
    def online(self) -> Self:
        """Devices whose worker was heard of lately."""
        return self.filter(seen_at__gt=timezone.now() - SEEN_WITHIN)


class Device(models.Model):
    """One core group or GPU with the worker that trains on it."""

    name = models.CharField(max_length=200, unique=True, help_text="Host and queue, for example box/train.cpu.0")
    kind = models.CharField(max_length=20, help_text="cpu or cuda")
    index = models.PositiveSmallIntegerField(default=0)
    description = models.CharField(max_length=200, blank=True)
    sandbox_level = models.CharField(max_length=10, default="none")
    refusal = models.TextField(blank=True, help_text="Why its worker takes no work, with the fix; empty when it does")
    seen_at = models.DateTimeField(default=timezone.now)

    objects = DeviceQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name

    @classmethod
    def report(cls, name: str, kind: str, index: int) -> "Device":
        """The device's row, seen now; made on first report."""
        return cls.objects.update_or_create(name=name, defaults={"kind": kind, "index": index, "seen_at": timezone.now()})[0]

    @property
    def online(self) -> bool:
        """True while its worker reports."""
        return self.seen_at > timezone.now() - SEEN_WITHIN

    @property
    def torch_name(self) -> str:
        """What PyTorch calls it."""
        return "cpu" if self.kind == "cpu" else f"{self.kind}:{self.index}"
