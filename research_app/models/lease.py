"""Leases: how a row is worked on by one worker at a time, and how a worker that lost its row is kept from writing.

A claim adds one to the fencing token and sets `lease_until`, in one short statement. Every outcome is written with
`WHERE id AND fence_token`; if that touches no row, the lease was lost and the outcome is discarded.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Event as Signal
from threading import Thread
from typing import Any, ClassVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, models
from django.db.models import F, Q
from django.utils import timezone

from training.failure import in_words

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=settings.LEASE_SECONDS)
MAX_ATTEMPTS = 3
PAUSES = (5, 15, 60)
"""Seconds until the next try after the first, second … failed attempt; the last one stays."""

FREE: dict[str, Any] = {"lease_until": None, "leased_by": ""}
"""What a row holds that nobody works on."""

DATABASE_AWAY = (OperationalError, InterfaceError)
"""What the database raises while it cannot be reached or is too busy: the same statement may go well later."""


def unclaimed() -> Q:
    """Rows that nobody holds now."""
    return Q(lease_until=None) | Q(lease_until__lt=timezone.now())


def due() -> Q:
    """Rows whose last attempt did not just fail: after one they rest for a while."""
    return Q(retry_at=None) | Q(retry_at__lte=timezone.now())


def pause_after(attempts: int) -> timedelta:
    """How long to wait after so many attempts that failed."""
    return timedelta(seconds=PAUSES[min(max(attempts, 1), len(PAUSES)) - 1])


class Lost(Signal):
    """Set once a lease is lost. `why` says so where it could not be renewed; empty: somebody else has the row."""

    why = ""


class LeaseLost(Exception):
    """The row was taken over, cancelled or moved on since it was claimed: discard the work."""


def take_from_worker(rows: "models.QuerySet[Any]", **fields: Any) -> int:
    """Free leased rows and write fields, whoever works on them; that worker can write nothing more. Returns how many."""
    return rows.update(**FREE, fence_token=F("fence_token") + 1, **fields)


@dataclass(frozen=True)
class Lease:
    """Proof of a claim: the row and the fencing token that writes must name."""

    model: type["Leased"]
    pk: int
    token: int

    @property
    def row(self) -> "models.QuerySet[Any]":
        """The claimed row, and no row once the lease is lost. One statement per use."""
        rows: models.QuerySet[Any] = self.model._default_manager.all()
        return rows.filter(pk=self.pk, fence_token=self.token, lease_until__isnull=False)

    def write(self, **fields: Any) -> None:
        """Write fields of the claimed row. Raises LeaseLost where it is no longer ours."""
        if not self.row.update(**fields):
            raise LeaseLost(f"{self.model.__name__} {self.pk}: token {self.token} is no longer current")

    def close(self, **fields: Any) -> None:
        """Record the outcome and release the lease, in one statement. Raises LeaseLost where it is no longer ours."""
        self.write(**fields, **FREE)

    def renew(self) -> bool:
        """Extend the lease from now; False when it was lost."""
        return bool(self.row.update(lease_until=timezone.now() + LEASE))

    def release(self) -> None:
        """Give the row back, its work done; nothing happens where it was lost."""
        self.row.update(**FREE, attempts=0, last_error="", retry_at=None)

    def fail(self, error: BaseException | str) -> None:
        """Give the row back for another attempt, after a pause that grows, and keep what went wrong (two statements)."""
        message = error if isinstance(error, str) else in_words(error)
        until = timezone.now() + pause_after(self.row.values_list("attempts", flat=True).first() or 1)
        self.row.update(**FREE, last_error=message[:2000], retry_at=until)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """One attempt: what goes wrong within gives the row back for another one, with the error on it, and is raised."""
        try:
            yield
        except LeaseLost:
            raise
        except Exception as error:
            self.fail(error)
            raise

    @contextmanager
    def heartbeat(self) -> Iterator[Lost]:
        """Renew every quarter of the lease in a thread of its own; the yielded signal is set once the lease is lost.

        A lease that cannot be renewed is lost: at once, or, while the database is away, before it runs out.
        """
        lost, done = Lost(), Signal()
        name = f"heartbeat-{self.model.__name__}-{self.pk}"
        thread = Thread(target=self._beat, args=(lost, done), name=name, daemon=True)
        thread.start()
        try:
            yield lost
        finally:
            done.set()
            thread.join()

    def _beat(self, lost: Lost, done: Signal) -> None:
        """Renew until it is done or lost."""
        renewed = time.monotonic()
        try:
            while not done.wait(LEASE.total_seconds() / 4):
                try:
                    if not self.renew():
                        lost.set()
                        return
                    renewed = time.monotonic()
                except Exception as error:
                    left = LEASE.total_seconds() * 3 / 4 - (time.monotonic() - renewed)
                    if isinstance(error, DATABASE_AWAY) and left > 0:
                        logger.warning("%s could not be renewed yet: %s", self, error)
                        connection.close()
                        continue
                    logger.exception("%s could not be renewed and is lost", self)
                    lost.why = f"its lease could not be renewed: {in_words(error)}"
                    lost.set()
                    return
        finally:
            connection.close()  # each thread has a connection of its own


class Leased(models.Model):
    """A row that workers claim."""

    fence_token = models.PositiveBigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    leased_by = models.CharField(max_length=200, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    retry_at = models.DateTimeField(null=True, blank=True, help_text="Not before: the last attempt failed")
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
            retry_at=None,
            **fields,
        )
        return Lease(cls, pk, token + 1) if taken else None
