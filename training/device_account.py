"""The account of a run's GPUs: how long they were busy, what energy they took and what memory was held, by the driver (NVML).

A lease gives a device to one run, so that what the device did meanwhile is what the run did. Nothing is installed for it: the
driver brings the library. Where it is missing, or a device does not know a figure, that is not in the facts.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from typing import Any, Self

LIBRARY = "libnvidia-ml.so.1"


class _Utilisation(ctypes.Structure):
    _fields_ = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]  # per cent of the last sample of the driver's


class _Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class DeviceAccount:
    """Watches the devices of one run ("cpu", "cuda:0", "cuda:0,1"). A context manager; on a CPU it measures nothing."""

    def __init__(self, device: str, load: Callable[[str], Any] = ctypes.CDLL) -> None:
        self.handles: list[ctypes.c_void_p] = []
        self.busy, self.looked, self.most_memory = 0.0, time.monotonic(), 0
        self.nvml: Any = None
        if device.startswith("cuda"):
            self._open(indices(device), load)
        self.energy_before = self._energy()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.nvml is not None:
            self.nvml.nvmlShutdown()

    def look(self, now: float | None = None) -> None:
        """Take how busy the devices are, for the time since the last look."""
        now = time.monotonic() if now is None else now
        since, self.looked = now - self.looked, now
        used = 0
        for handle in self.handles:
            busy, memory = _Utilisation(), _Memory()
            if self.nvml.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(busy)) == 0:
                self.busy += since * busy.gpu / 100
            if self.nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) == 0:
                used += memory.used
        self.most_memory = max(self.most_memory, used)

    def facts(self) -> dict[str, float | int]:
        """Busy seconds of all devices together, joules, and the most memory that was held; nothing where nobody counted."""
        if not self.handles:
            return {}
        facts: dict[str, float | int] = {"device_busy_seconds": round(self.busy, 3), "device_memory_bytes": self.most_memory}
        after = self._energy()
        if after is not None and self.energy_before is not None:
            facts["device_energy_joules"] = round((after - self.energy_before) / 1000, 3)
        return facts

    def _open(self, numbers: list[int], load: Callable[[str], Any]) -> None:
        try:
            self.nvml = load(LIBRARY)
        except OSError:
            return  # no driver here: the run itself will say so
        if self.nvml.nvmlInit_v2() != 0:
            self.nvml = None
            return
        for number in numbers:
            handle = ctypes.c_void_p()
            if self.nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(number), ctypes.byref(handle)) == 0:
                self.handles.append(handle)

    def _energy(self) -> int | None:
        """Millijoules since the driver was loaded, of all devices; None where one does not count them."""
        total = 0
        for handle in self.handles:
            energy = ctypes.c_ulonglong()
            if self.nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(energy)) != 0:
                return None
            total += energy.value
        return total if self.handles else None


def indices(device: str) -> list[int]:
    """The driver's numbers of devices that PyTorch calls so, in the order of their buses: `cuda:0,1` is 0 and 1."""
    visible = [part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip()]
    asked = [int(part) for part in device.partition(":")[2].split(",") if part.isdigit()] or [0]
    if visible and all(part.isdigit() for part in visible):
        return [int(visible[number]) for number in asked if number < len(visible)]
    return asked
