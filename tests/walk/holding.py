"""Stops services of an installation for a moment, as a busy machine does, so that what is brief can be looked at."""

import os
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.installation import Installation

LOOP = ("orchestrate", "reconciler", "train.")  # services without which no candidate moves on
TRIES = 50


class Hold:
    """`with hold("orchestrate"):` stops its process inside the block; without a name all of the loop. Any thread may."""

    def __init__(self, signoff: Installation) -> None:
        self.signoff, self.lock = signoff, threading.Lock()
        self.held: Counter[int] = Counter()  # pid → blocks that hold it

    @contextmanager
    def __call__(self, *names: str) -> Iterator[None]:
        wanted = [pid for name, pid in self.signoff.services.items() if name.startswith(names or LOOP)]
        with self.lock:
            self.stop([pid for pid in wanted if not self.held[pid]])
            self.held.update(wanted)
        try:
            yield
        finally:
            with self.lock:
                self.held.subtract(wanted)
                for pid in wanted:
                    if not self.held[pid]:
                        send(pid, signal.SIGCONT)

    def stop(self, pids: list[int]) -> None:
        """Stop them at a moment in which none of them keeps the database from others."""
        for _ in range(TRIES):
            for pid in pids:
                send(pid, signal.SIGSTOP)
            if writable(self.signoff.home / "signoff.sqlite3"):
                return
            for pid in pids:
                send(pid, signal.SIGCONT)
            time.sleep(0.02)
        raise TimeoutError("the services write all the time: they cannot be held")


def writable(path: Path) -> bool:
    """Whether somebody else could write now."""
    connection = sqlite3.connect(path, timeout=0.5, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return True


def send(pid: int, number: signal.Signals) -> bool:
    """Signal a process; False where it is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
