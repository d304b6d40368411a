"""A circuit breaker for each place that messages go to: after some failures in a row nothing is sent there for a while.

An address fails by itself. The server behind addresses fails when several different ones cannot reach it, so that one
person's address never holds up others on the same server. When a pause is over, one message is let through to try.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from research_app.loop.notify.channel import CHANNELS
from research_app.models import Destination, NotificationSettings

FAILURES = 3
"""In a row until an address is paused; for a server, addresses that could not reach it in a row."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
TRIAL = timedelta(minutes=1)
"""How long one message may try a place whose pause is over, before another one does."""


@dataclass(frozen=True)
class Place:
    """Where one message goes: the rows of its address and, where there is one, of the server behind it."""

    address: Destination
    server: Destination | None

    @classmethod
    def of(cls, wishes: NotificationSettings, channel: str) -> "Place | None":
        """This person's; None where there is no address. At most four queries, two where it was used before."""
        rows = [_row(*each) for each in _names(wishes, channel)]
        return cls(rows[0], rows[1] if len(rows) > 1 else None) if rows else None

    @property
    def rows(self) -> list[Destination]:
        """The server first: where it is paused, its addresses are not even tried."""
        return [self.server, self.address] if self.server else [self.address]

    @property
    def paused(self) -> Destination | None:
        """The row that stands in the way now."""
        now = timezone.now()
        return next((row for row in self.rows if row.paused_until and row.paused_until > now), None)

    def closed_until(self) -> tuple[datetime, str] | None:
        """Until when nothing may be sent, and why; None where this message may go, if need be as the one that tries."""
        if row := self.paused:
            assert row.paused_until is not None
            return row.paused_until, f"{row.label} is paused: {row.last_error}"
        until = timezone.now() + TRIAL
        for row in self.rows:
            if row.paused_until and not row.take_trial(until):
                return until, f"{row.label} is being tried by another message."
        return None

    def succeeded(self) -> None:
        """It took a message: nothing is held against it any more."""
        for row in self.rows:
            _clear(row)

    def failed(self, error: str, *, unreachable: bool) -> None:
        """It did not. A server that said no was reached, which speaks for the server."""
        _count(self.address, error, by="")
        if self.server and unreachable:
            _count(self.server, error, by=self.address.key)
        elif self.server:
            _clear(self.server)


def destinations_of(wishes: NotificationSettings, channel: str) -> list[Destination]:
    """The rows of a person's address and of its server, as far as they were ever used (one query)."""
    keys = [_key(name) for name, _, _ in _names(wishes, channel)]
    return list(Destination.objects.filter(key__in=keys).order_by("server")) if keys else []


def _names(wishes: NotificationSettings, channel: str) -> list[tuple[str, str, bool]]:
    """Name, label for people, and whether it is a server: of the address, then of the server behind it."""
    sender = CHANNELS[channel]
    address = sender.address(wishes)
    if not address:
        return []
    label = f"{sender.label} of {wishes.user.get_username()}, {sender.masked(address)}"
    server = sender.server(address)
    return [(f"{channel} {address}", label, False), *([(f"server {server}", server, True)] if server else [])]


def _key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _row(name: str, label: str, server: bool) -> Destination:
    return Destination.objects.get_or_create(key=_key(name), defaults={"label": label[:300], "server": server})[0]


def _clear(row: Destination) -> None:
    fresh = {"failures": 0, "blamed": [], "paused_until": None, "succeeded_at": timezone.now()}
    Destination.objects.filter(pk=row.pk).update(**fresh)


def _count(row: Destination, error: str, by: str) -> None:
    """One more failure. `by` is the address that could not reach a server: each counts once until the server is paused."""
    with transaction.atomic():
        row = Destination.objects.select_for_update().get(pk=row.pk)
        row.last_error, row.failed_at = error[:500], timezone.now()
        if not by or row.failures >= FAILURES or by not in row.blamed:
            row.failures += 1
            row.blamed = [*row.blamed, by][-FAILURES:] if by else []
        if row.failures >= FAILURES:
            row.paused_until = timezone.now() + pause_after(row.failures)
        row.save()


def pause_after(failures: int) -> timedelta:
    """A minute after the third failure, doubled by each further one, an hour at most."""
    doublings = min(failures - FAILURES, 10)
    return min(FIRST_PAUSE * (1 << doublings), LONGEST_PAUSE)
