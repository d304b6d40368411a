"""The account of a run's GPUs: how long they were busy, what energy they took and what memory it held, by the driver (NVML).

A lease gives a device to one run, so that what the device did meanwhile is what the run did. Memory is that of the run's own
processes where the driver tells processes apart, else what was added since the run began. Where the driver is missing, or a
device does not know a figure, that is not in the facts.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Collection
from typing import Self

from research_app.evidence.digits import number
from training.devices import kind_of, masks_of
from training.nvml import Handle, Load, Nvml

GIB = 1 << 30


class DeviceAccount:
    """Watches the devices of one run ("cpu", "cuda:4", "cuda:4,5"). A context manager; on a CPU it measures nothing."""

    def __init__(self, device: str, load: Load = ctypes.CDLL, *, shares: bool = False) -> None:
        self.shares = shares  # whether others were lent its device too: then what was added to it need not be the run's
        self.beside = False  # whether processes of others were seen on it
        self.handles: list[Handle] = []
        self.busy: float | None = 0.0
        self.looked = time.monotonic()
        self.memory, self.most_memory = [0], 0  # bytes: by device now, and of all of them at most
        self.nvml: Nvml | None = None
        if kind_of(device) == "cuda":
            self._open(masks_of(device), load)
        self.before = [self._nvml.memory(handle)[0] for handle in self.handles]
        self.energy_before = self._energy()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.nvml is not None:
            self.nvml.__exit__(*error)

    def look(self, pids: Collection[int] = (), now: float | None = None) -> None:
        """Take how busy the devices are, for the time since the last look, and what these processes hold of their memory."""
        now = time.monotonic() if now is None else now
        since, self.looked = now - self.looked, now
        for handle in self.handles:
            share = self._nvml.busy(handle)
            self.busy = None if share is None or self.busy is None else self.busy + since * share
        self.memory = [self._held(*each, pids) for each in zip(self.handles, self.before, strict=True)]
        self.most_memory = max(self.most_memory, sum(self.memory))

    def _held(self, handle: Handle, before: int, pids: Collection[int]) -> int:
        """Bytes that a run holds of one device."""
        known = self._nvml.processes(handle) if pids else None
        if known:
            own = [known[pid] for pid in pids if pid in known]
            self.beside = self.beside or len(own) < len(known)
            if own or self.shares:
                return sum(own)
        return 0 if self.shares else max(0, self._nvml.memory(handle)[0] - before)

    def beyond(self, limit: int) -> str:
        """What is too much of a limit in bytes for each device, for a sentence that begins with "it"; empty for nothing."""
        held = max(self.memory, default=0)
        if not limit or held <= limit:
            return ""
        return f"held {number(held / GIB)} GiB of its device's memory, and its project file allows {number(limit / GIB)} GiB"

    def facts(self) -> dict[str, float | int]:
        """Busy seconds of all devices together, joules, and the most memory that was held; nothing where nobody counted."""
        if not self.handles:
            return {}
        facts: dict[str, float | int] = {"device_memory_bytes": self.most_memory} if self.most_memory or not self.shares else {}
        if self.shares or self.beside:  # what the device did was not this run's alone
            return facts | {"device_shared": 1}
        if self.busy is not None:
            facts["device_busy_seconds"] = round(self.busy, 3)
        after = self._energy()
        if after is not None and self.energy_before is not None:
            facts["device_energy_joules"] = round((after - self.energy_before) / 1000, 3)
        return facts

    @property
    def _nvml(self) -> Nvml:
        assert self.nvml is not None
        return self.nvml

    def _open(self, masks: list[str], load: Load) -> None:
        try:
            self.nvml = Nvml(load).__enter__()
        except OSError:
            return  # no driver here: the run itself will say so
        self.handles = [handle for mask in masks if (handle := self._nvml.handle(mask)) is not None]

    def _energy(self) -> int | None:
        """Millijoules since the driver was loaded, of all devices; None where one does not count them."""
        counted = [self._nvml.energy(handle) for handle in self.handles]
        return sum(each for each in counted if each is not None) if counted and None not in counted else None
