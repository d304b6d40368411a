"""Leases: how a row is worked on by one worker at a time, and how a worker that lost its row is kept from writing.

A claim adds one to the fencing token and sets `lease_until`, in one short statement. Every outcome is written with
`WHERE id AND fence_token`; if that touches no row, the lease was lost and the outcome is discarded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Event as Signal
from threading import Thread
from typing import Any, ClassVar

from django.conf import settings
from django.db import connection, models
from django.db.models import F, Q
from django.utils import timezone

LEASE = timedelta(seconds=settings.LEASE_SECONDS)
MAX_ATTEMPTS = 3


def unclaimed() -> Q:
    """Rows that nobody holds now."""
    return Q(lease_until=None) | Q(lease_until__lt=timezone.now())


class LeaseLost(Exception):
    """The row was taken over, cancelled or moved on since it was claimed: discard the work."""


@dataclass(frozen=True)
class Lease:
    """Proof of a claim: the row and the fencing token that writes must name."""

    model: type["Leased"]
    pk: int
    token: int

    @property
    def row(self) -> "models.QuerySet[Any]":
        """The claimed row, and no row once the lease is lost. One statement per use."""
        return self.model._default_manager.filter(pk=self.pk, fence_token=self.token, lease_until__isnull=False)

    def write(self, **fields: Any) -> None:
        """Write fields of the claimed row. Raises LeaseLost where it is no longer ours."""
        if not self.row.update(**fields):
            raise LeaseLost(f"{self.model.__name__} {self.pk}: token {self.token} is no longer current")

    def renew(self) -> bool:
        """Extend the lease from now; False when it was lost."""
        return bool(self.row.update(lease_until=timezone.now() + LEASE))

    def release(self) -> None:
        """Give the row back, its work done; nothing happens where it was lost."""
        self.row.update(lease_until=None, leased_by="", attempts=0, last_error="")

    def fail(self, error: BaseException) -> None:
        """Give the row back for another attempt and keep what went wrong."""
        self.row.update(lease_until=None, leased_by="", last_error=f"{type(error).__name__}: {error}"[:2000])

    @contextmanager
    def heartbeat(self) -> Iterator[Signal]:
        """Renew every quarter of the lease in a thread of its own; the yielded signal is set once the lease is lost."""
        lost, done = Signal(), Signal()

        def beat() -> None:
            try:
                while not done.wait(LEASE.total_seconds() / 4):
                    if not self.renew():
                        lost.set()
                        return
            finally:
                connection.close()  # each thread has a connection of its own

        thread = Thread(target=beat, name=f"heartbeat-{self.model.__name__}-{self.pk}", daemon=True)
        thread.start()
        try:
            yield lost
        finally:
            done.set()
            thread.join()


class Leased(models.Model):
    """A row that workers claim."""

    fence_token = models.PositiveBigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    leased_by = models.CharField(max_length=200, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    last_error = models.TextField(blank=True, help_text="What stopped the last attempt, for the person who looks after it")

    _default_manager: ClassVar[Any]

    class Meta:
        abstract = True

    @classmethod
    def claim(cls, pk: int, worker: str, *conditions: Q, **fields: Any) -> Lease | None:
        """Claim one row if nobody holds it and the conditions are true; None otherwise. Costs two statements."""
        now, free = timezone.now(), unclaimed()
        token = cls._default_manager.filter(free, *conditions, pk=pk).values_list("fence_token", flat=True).first()
        if token is None:
            return None
        taken = cls._default_manager.filter(free, *conditions, pk=pk, fence_token=token).update(
            fence_token=F("fence_token") + 1,
            lease_until=now + LEASE,
            leased_by=worker[:200],
            attempts=F("attempts") + 1,
            **fields,
        )
        return Lease(cls, pk, token + 1) if taken else None
