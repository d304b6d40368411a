"""A simulated NVIDIA driver: NVML as far as it is called, with GPUs that have a load, a power, memory and processes."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from training.nvml import LIBRARY, TOO_SMALL, UNKNOWN, Gpu

GIB = 1 << 30
MISSING, NOT_SUPPORTED = 6, 3  # NVML_ERROR_NOT_FOUND, NVML_ERROR_NOT_SUPPORTED


@dataclass
class Simulated:
    """One GPU or one slice of one."""

    name: str = "NVIDIA H200"
    uuid: str = ""
    total: int = 141 * GIB
    used: int = 0
    processes: dict[int, int] | None = None  # None: the driver does not tell them apart
    slices: list[Simulated] = field(default_factory=list)
    divided: bool = False


class Driver:
    """The library with its devices, all under one load, on a clock of their own."""

    def __init__(self, load: int = 80, watts: float = 300.0, energy: bool = True, used: int = 5 * GIB, gpus: int = 8) -> None:
        self.load, self.watts, self.energy = load, watts, energy
        self.devices = [Simulated(uuid=f"GPU-{i:08x}-0000-4000-8000-000000000000") for i in range(gpus)]
        self.used_later = used
        self.seconds = 0.0
        self.opened: list[str] = []
        self.closed = 0
        self.known: list[Simulated] = []

    def nvmlInit_v2(self) -> int:
        return 0

    def nvmlShutdown(self) -> int:
        self.closed += 1
        return 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = len(self.devices)
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, number: ctypes.c_uint, handle: Any) -> int:
        if number.value >= len(self.devices):
            return MISSING
        return self._give(self.devices[number.value], handle, str(number.value))

    def nvmlDeviceGetHandleByUUID(self, uuid: ctypes.c_char_p, handle: Any) -> int:
        asked = (uuid.value or b"").decode()
        for whole in self.devices:
            for device in (whole, *whole.slices):
                if device.uuid == asked:
                    return self._give(device, handle, asked)
        return MISSING

    def nvmlDeviceGetMigMode(self, handle: Any, current: Any, pending: Any) -> int:
        current._obj.value = pending._obj.value = bool(self._at(handle).slices) or self._at(handle).divided
        return 0

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Any, count: Any) -> int:
        count._obj.value = 7
        return 0

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, place: ctypes.c_uint, part: Any) -> int:
        slices = self._at(handle).slices
        return self._give(slices[place.value], part, "slice") if place.value < len(slices) else MISSING

    def nvmlDeviceGetName(self, handle: Any, text: Any, _: Any) -> int:
        text.value = self._at(handle).name.encode()
        return 0

    def nvmlDeviceGetUUID(self, handle: Any, text: Any, _: Any) -> int:
        text.value = self._at(handle).uuid.encode()
        return 0

    def nvmlDeviceGetUtilizationRates(self, handle: Any, busy: Any) -> int:
        busy._obj.gpu = self.load
        return NOT_SUPPORTED if self._at(handle).uuid.startswith("MIG-") else 0

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:
        device = self._at(handle)
        memory._obj.used = device.used + (self.used_later if self.seconds else 0)
        memory._obj.total = device.total
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, _: Any, energy: Any) -> int:
        energy._obj.value = int(self.seconds * self.watts * 1000)
        return 0 if self.energy else NOT_SUPPORTED

    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle: Any, count: Any, infos: Any) -> int:
        held = self._at(handle).processes
        if held is not None and len(held) > count._obj.value:
            count._obj.value = len(held)
            return TOO_SMALL
        count._obj.value = 1 if held is None else len(held)
        for info, (pid, used) in zip(infos, ({1: UNKNOWN} if held is None else held).items(), strict=False):
            info.pid, info.used = pid, used
        return 0

    def _give(self, device: Simulated, handle: Any, named: str) -> int:
        self.opened.append(named)
        self.known.append(device)
        handle._obj.value = len(self.known)
        return 0

    def _at(self, handle: Any) -> Simulated:
        return self.known[handle.value - 1]


def some_gpus(count: int, name: str = "NVIDIA H200") -> list[Gpu]:
    """What a machine with so many GPUs is found to have."""
    return [Gpu(str(i), str(i), name, f"GPU-{i:08x}", 141 * GIB) for i in range(count)]


def simulated_library(folder: Path, gpus: int = 8) -> dict[str, str]:
    """Build the simulated driver's library into a folder; the variables with which other processes find it."""
    if not (compiler := shutil.which("cc")):
        pytest.skip("no C compiler here, which the simulated driver is built with")
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).with_name("simulated_nvml.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(folder / LIBRARY), str(source)], check=True)
    return {"LD_LIBRARY_PATH": str(folder), "SIMULATED_GPUS": str(gpus)}
