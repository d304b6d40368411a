"""A bound on everything that talks to the outside: connecting, each answer, and all of it together.

A time-out of a socket bounds one answer only: a host that answers by drips, or a name service that does not answer, would
hold a worker for as long as it likes.
"""

import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0  # for each step of a conversation
TOTAL_SECONDS = 20.0  # from the first look at the name service to the last answer


class Deadline:
    """Hangs up every guarded connection when its time is over. Use as a context manager."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = TOTAL_SECONDS if seconds is None else seconds
        self._ends = time.monotonic() + self.seconds
        self._timer = threading.Timer(self.seconds, self.hang_up)
        self._timer.daemon = True
        self._guarded: list[socket.socket] = []
        self._lock = threading.Lock()
        self.passed = False

    def __enter__(self) -> Self:
        self._timer.start()
        _running.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._timer.cancel()
        _running.discard(self)
        with self._lock:
            for each in self._guarded:
                each.close()
            self._guarded.clear()

    def step(self, most: float) -> float:
        """Seconds that the next step may take: at most `most`, and no more than is left. Raises TimeoutError at the end."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"it took longer than {self.seconds:.0f} s")
        return min(most, left)

    def connect(self, addresses: Sequence[str], port: int) -> socket.socket:
        """A guarded connection to the first of these network addresses that answers. Raises OSError."""
        problem: OSError = OSError("there is no address")
        for address in addresses:
            try:
                connected = socket.create_connection((address, port), self.step(CONNECT_SECONDS))
            except OSError as error:
                problem = error
                continue
            connected.settimeout(self.step(ANSWER_SECONDS))
            self._guard(connected)
            return connected
        raise problem

    def _guard(self, connected: socket.socket) -> None:
        """Keep a second handle: wrapping a socket in TLS takes the first one away, and hanging up works through either."""
        with self._lock:
            self._guarded.append(connected.dup())

    def hang_up(self) -> None:
        """Its time is over."""
        self.passed = True
        with self._lock:
            for each in self._guarded:
                with suppress(OSError):  # it ended by itself meanwhile
                    each.shutdown(socket.SHUT_RDWR)


_running: set[Deadline] = set()


def hang_up_all() -> None:
    """Let everything that is under way in this process end now, as at its deadline: the process wants to stop."""
    for each in tuple(_running):
        each.hang_up()


def lookup(host: str, port: int, seconds: float = CONNECT_SECONDS) -> list[str]:
    """The network addresses of a host, each once. Raises OSError, also where the name service takes longer than `seconds`.

    The system's resolver cannot be interrupted, so it is asked in a thread that is left behind when it hangs.
    """
    answers: SimpleQueue[list[str] | OSError] = SimpleQueue()

    def ask() -> None:
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put(list(dict.fromkeys(str(entry[4][0]) for entry in addresses)))
        except OSError as error:
            answers.put(error)
        except UnicodeError as error:
            answers.put(OSError(str(error)))

    threading.Thread(target=ask, name="name-service", daemon=True).start()
    try:
        addresses = answers.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"the name service did not answer within {seconds:.0f} s") from None
    if isinstance(addresses, OSError):
        raise addresses
    return addresses
