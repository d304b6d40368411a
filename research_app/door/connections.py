"""Connections: each has a deadline for every step, and there are never more than the process can hold.

uvicorn closes a connection that idles between two requests and no other: one that never asks, or asks a byte a minute, would
stay for good. This protocol adds what is missing, and drops the longest-waiting connections where there are too many.
"""

from __future__ import annotations

import asyncio
import ipaddress
import resource
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

from research_app.environment_values import Network

HEAD_SECONDS = 10.0  # from the first moment, or the first byte of a later request, to the whole head of a request
BODY_SECONDS = 20.0  # for a body, and a second more for each BODY_RATE bytes of it
BODY_RATE = 16 * 1024
READ_SECONDS = 30.0  # how long a client may leave what we answer unread
MOST_WAITING = 64  # connections of one address that have not asked yet
MOST_OF_ADDRESS = 256  # connections of one address, unless it is that of a proxy
MOST = 2000  # connections of all
SPARE_FILES = 256  # descriptors for the database, git and static files
EVERY = 1.0  # seconds between two looks at a body


def is_proxy(address: str, proxies: Sequence[Network]) -> bool:
    """Whether an address is one of those that speak for others."""
    try:
        return bool(proxies) and any(ipaddress.ip_address(address) in network for network in proxies)
    except ValueError:
        return False


class Register:
    """All connections of this process, in the order in which they began to wait."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self.proxies: Sequence[Network] = ()
        self.waiting: dict[GuardedProtocol, None] = {}  # those without a whole request, longest first
        self.all: set[GuardedProtocol] = set()
        self.of_address: Counter[str] = Counter()
        self.dropped = 0

    def enter(self, connection: GuardedProtocol) -> None:
        """A new connection; whoever waited longest goes where there are too many."""
        self.all.add(connection)
        self.of_address[connection.address] += 1
        self.waiting[connection] = None
        if not is_proxy(connection.address, self.proxies):
            mine = [other for other in self.waiting if other.address == connection.address]
            if len(mine) > MOST_WAITING:
                self.drop(mine[0])
            if self.of_address[connection.address] > MOST_OF_ADDRESS:
                self.drop(connection)
        if len(self.all) > self.most:
            self.drop(next(iter(self.waiting)))

    def leave(self, connection: GuardedProtocol) -> None:
        """It is closed."""
        self.waiting.pop(connection, None)
        if connection in self.all:
            self.all.discard(connection)
            self.of_address[connection.address] -= 1
            if self.of_address[connection.address] <= 0:
                del self.of_address[connection.address]

    def drop(self, connection: GuardedProtocol) -> None:
        """Close one without a word."""
        self.dropped += 1
        self.leave(connection)
        connection.transport.abort()

    def asks(self, connection: GuardedProtocol) -> None:
        """It has sent a whole request head: it waits no longer."""
        self.waiting.pop(connection, None)

    def waits(self, connection: GuardedProtocol) -> None:
        """It has been answered: it waits again."""
        if connection in self.all:
            self.waiting.setdefault(connection, None)


register = Register()


def make_room() -> int:
    """Raise the limit of open files as far as it goes, and hold no more connections than that has room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + SPARE_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST + SPARE_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    register.most = min(MOST, max(64, soft - SPARE_FILES))
    return register.most


class GuardedProtocol(H11Protocol):
    """uvicorn's protocol with deadlines. One object for each connection."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.address = ""
        self.head_timer: asyncio.TimerHandle | None = None
        self.body_timer: asyncio.TimerHandle | None = None
        self.read_timer: asyncio.TimerHandle | None = None
        self.body_began = 0.0
        self.body_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.address = self.client[0] if self.client else ""
        register.enter(self)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        register.leave(self)
        for timer in (self.head_timer, self.body_timer, self.read_timer):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.body_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._at_work():
            self._head_is_there()
        elif self.head_timer is None:
            self._expect_head()  # the first bytes of another request

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            register.waits(self)
            if self._at_work():  # the next request was there already
                self._head_is_there()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.read_timer is None:
            self.read_timer = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.read_timer:
            self.read_timer.cancel()
            self.read_timer = None

    def _at_work(self) -> bool:
        """Whether a request is being read or answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _expect_head(self) -> None:
        self.head_timer = self.loop.call_later(HEAD_SECONDS, self._too_late)

    def _head_is_there(self) -> None:
        register.asks(self)
        if self.head_timer:
            self.head_timer.cancel()
            self.head_timer = None
        if self.body_timer is None and self.cycle.more_body:
            self.body_began, self.body_bytes = self.loop.time(), 0
            self.body_timer = self.loop.call_later(EVERY, self._look_at_body)

    def _look_at_body(self) -> None:
        """A body must come at a rate that no honest client falls below; what we do not read yet ourselves is not its fault."""
        self.body_timer = None
        if not self._at_work() or not self.cycle.more_body:
            return
        if self.flow.read_paused:
            self.body_began += EVERY
        elif self.loop.time() - self.body_began > BODY_SECONDS + self.body_bytes / BODY_RATE:
            self._too_late()
            return
        self.body_timer = self.loop.call_later(EVERY, self._look_at_body)

    def _too_late(self) -> None:
        """It took too long. Half of a request gets no answer: whoever sends a byte a minute does not read one either."""
        self.transport.abort()
