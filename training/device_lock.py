"""Locks of this machine's GPUs, kept by the kernel: a run begins when the processes of the run before it have gone.

The database says which run has which device. When a run is cancelled or its lease runs out, its device is free there at
once, and its processes may need a moment to end. A worker holds the lock of each device until nothing of its run is left; when
the worker is killed, the kernel lets go of it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from training.devices import kind_of, masks_of

EVERY = 0.05  # seconds between two tries


class StillHeld(TimeoutError):
    """The run before this one has not let go of the device: another attempt, or another device, may be better."""


class DeviceLocks:
    """The locks of one run's GPUs. A context manager; on other devices it does nothing. Raises StillHeld on entry.

    `together`: other runs may have the device too. `wait` seconds are the longest that it waits, less when `stop` says so.
    """

    def __init__(
        self, folder: Path, device: str, *, together: bool = False, wait: float = 30.0, stop: Callable[[], bool] = lambda: False
    ) -> None:
        self.folder, self.wait, self.stop = folder, wait, stop
        self.masks = sorted(masks_of(device)) if kind_of(device) == "cuda" else []
        self.how = fcntl.LOCK_SH if together else fcntl.LOCK_EX
        self.held: list[int] = []

    def __enter__(self) -> Self:
        until = time.monotonic() + self.wait
        try:
            for mask in self.masks:
                self._lock(mask, until)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        while self.held:
            os.close(self.held.pop())

    def _lock(self, mask: str, until: float) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = mask.replace("/", "_")
        self.held.append(os.open(self.folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        while True:
            try:
                fcntl.flock(self.held[-1], self.how | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > until or self.stop():
                    raise StillHeld(f"the run before this one has not let go of device {mask}") from None
                time.sleep(EVERY)
