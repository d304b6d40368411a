"""Catches what is brief: stops the loop while something is at a stage that lasts only until a machine goes on."""

import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.walk.stages import ENDS
from tests.walk.state import Database

if TYPE_CHECKING:
    from tests.walk.walk import Walk

EVERY = 0.1  # seconds between two looks


class Catch:
    """Looks in a thread of its own, so that nothing passes while pages are opened on a busy machine."""

    def __init__(self, walk: "Walk") -> None:
        self.walk = walk
        self.caught: queue.Queue[tuple[str, threading.Event]] = queue.Queue()

    def watch(self) -> None:
        """Until the walk is over."""
        database = Database(self.walk.signoff.home)
        while not self.walk.over.wait(EVERY):
            now = database.snapshot()
            for name in self.walk.plan.ends:
                if ENDS[name].brief and not self.walk.covered(name) and ENDS[name].where(now):
                    self.hold(name, database)

    def hold(self, name: str, database: Database) -> None:
        """Stop the loop until the walk opened what is at a stage; nothing where it has gone on."""
        try:
            with self.walk.hold():
                if ENDS[name].where(database.snapshot()):
                    opened = threading.Event()
                    self.caught.put((name, opened))
                    while not opened.wait(EVERY) and not self.walk.over.is_set():
                        pass
        except TimeoutError:
            return  # the loop writes just now: it is tried again

    def let_go(self, cover: Callable[[str], object]) -> None:
        """Open what was caught since the last time, and let the loop go on. From the walk's own thread."""
        while not self.caught.empty():
            name, opened = self.caught.get()
            try:
                cover(name)
            finally:
                opened.set()
