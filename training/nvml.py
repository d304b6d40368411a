"""The NVIDIA driver's own library (NVML), as far as it is asked here: which GPUs there are, and what they and processes use.

Nothing is installed for it: the driver brings the library. A number is the GPU's place in the order of the PCI buses, the one
that nvidia-smi shows and that CUDA counts by with CUDA_DEVICE_ORDER=PCI_BUS_ID.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

LIBRARY = "libnvidia-ml.so.1"
NAME_SIZE = UUID_SIZE = 96  # bytes: NVML_DEVICE_NAME_V2_BUFFER_SIZE, NVML_DEVICE_UUID_V2_BUFFER_SIZE
TOO_SMALL = 7  # NVML_ERROR_INSUFFICIENT_SIZE
UNKNOWN = (1 << 64) - 1  # NVML_VALUE_NOT_AVAILABLE
PROCESSES_AT_LEAST = 64

Handle = ctypes.c_void_p
Load = Callable[[str], Any]


class _Utilisation(ctypes.Structure):
    _fields_ = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]  # per cent of the last sample of the driver's


class _Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class ProcessInfo(ctypes.Structure):
    """nvmlProcessInfo_t of the third version of the call."""

    _fields_ = [
        ("pid", ctypes.c_uint),
        ("used", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    ]


@dataclass(frozen=True)
class Gpu:
    """A GPU, or one MIG slice of it, that CUDA can be told to show alone."""

    mask: str  # what CUDA_VISIBLE_DEVICES names it by: its number, or its UUID
    label: str  # in names of workers: 3, or 3.1 for the second slice of GPU 3
    name: str = "NVIDIA GPU"
    uuid: str = ""
    memory: int = 0  # bytes; 0: not known

    @property
    def is_slice(self) -> bool:
        """Whether it is a MIG slice: CUDA shows a process one of these at most."""
        return self.mask.startswith("MIG-")


class Nvml:
    """The library while it is in use. A context manager; raises OSError on entry where there is no driver."""

    def __init__(self, load: Load = ctypes.CDLL) -> None:
        self.load = load
        self.library: Any = None

    def __enter__(self) -> Self:
        self.library = self.load(LIBRARY)
        if self.library.nvmlInit_v2() != 0:
            raise OSError(f"{LIBRARY} is there, and its driver does not answer")
        return self

    def __exit__(self, *error: object) -> None:
        self.library.nvmlShutdown()

    def gpus(self) -> list[Gpu]:
        """All GPUs in the driver's order, each slice of those that are divided by MIG in the place of the whole."""
        count = ctypes.c_uint()
        self.library.nvmlDeviceGetCount_v2(ctypes.byref(count))
        gpus: list[Gpu] = []
        for number in range(count.value):
            if handle := self.handle(str(number)):
                gpus += self._slices(handle, number) if self._is_divided(handle) else [self._whole(handle, number)]
        return gpus

    def _whole(self, handle: Handle, number: int) -> Gpu:
        return Gpu(str(number), str(number), self.name(handle), self.uuid(handle), self.memory(handle)[1])

    def _is_divided(self, handle: Handle) -> bool:
        """Whether MIG is on: then CUDA shows slices alone, also where none was made yet."""
        current, pending = ctypes.c_uint(), ctypes.c_uint()
        refused = self.library.nvmlDeviceGetMigMode(handle, ctypes.byref(current), ctypes.byref(pending))
        return not refused and bool(current.value)

    def _slices(self, handle: Handle, number: int) -> list[Gpu]:
        most = ctypes.c_uint()
        self.library.nvmlDeviceGetMaxMigDeviceCount(handle, ctypes.byref(most))
        slices = []
        for place in range(most.value):
            part = Handle()
            if self.library.nvmlDeviceGetMigDeviceHandleByIndex(handle, ctypes.c_uint(place), ctypes.byref(part)) == 0:
                uuid = self.uuid(part)
                slices.append(Gpu(uuid, f"{number}.{place}", self.name(part), uuid, self.memory(part)[1]))
        return slices

    def handle(self, mask: str) -> Handle | None:
        """The device that CUDA_VISIBLE_DEVICES names so; None where there is none."""
        handle = Handle()
        if mask.isdigit():
            refused = self.library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(mask)), ctypes.byref(handle))
        else:
            refused = self.library.nvmlDeviceGetHandleByUUID(ctypes.c_char_p(mask.encode()), ctypes.byref(handle))
        return handle if refused == 0 else None

    def name(self, handle: Handle) -> str:
        """What the device calls itself."""
        return self._text(self.library.nvmlDeviceGetName, handle, NAME_SIZE) or "NVIDIA GPU"

    def uuid(self, handle: Handle) -> str:
        """GPU-… or MIG-…; empty where the driver does not say."""
        return self._text(self.library.nvmlDeviceGetUUID, handle, UUID_SIZE)

    def memory(self, handle: Handle) -> tuple[int, int]:
        """Bytes that are used, the driver's own among them, and bytes in all; zeros where the driver does not say."""
        memory = _Memory()
        refused = self.library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
        return (0, 0) if refused else (memory.used, memory.total)

    def busy(self, handle: Handle) -> float | None:
        """Share of the last sample in which a kernel ran, 0 to 1; None for a slice, of which the driver does not tell it."""
        busy = _Utilisation()
        refused = self.library.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(busy))
        return None if refused else busy.gpu / 100

    def energy(self, handle: Handle) -> int | None:
        """Millijoules since the driver was loaded; None where the device does not count them."""
        energy = ctypes.c_ulonglong()
        refused = self.library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(energy))
        return None if refused else energy.value

    def processes(self, handle: Handle) -> dict[int, int] | None:
        """Bytes of the device's memory by the process that holds them; None where the driver does not tell these apart."""
        room = PROCESSES_AT_LEAST
        while True:
            count, infos = ctypes.c_uint(room), (ProcessInfo * room)()
            refused = self.library.nvmlDeviceGetComputeRunningProcesses_v3(handle, ctypes.byref(count), infos)
            if refused != TOO_SMALL:
                break
            room = max(2 * room, count.value)
        listed = [] if refused else infos[: count.value]
        if refused or any(info.used == UNKNOWN for info in listed):
            return None
        return {info.pid: info.used for info in listed}

    def _text(self, ask: Callable[..., int], handle: Handle, size: int) -> str:
        answer = ctypes.create_string_buffer(size)
        return "" if ask(handle, answer, ctypes.c_uint(size)) else answer.value.decode(errors="replace")


def gpus_of_nvml(load: Load = ctypes.CDLL) -> list[Gpu]:
    """All that the driver's library knows; none where there is no driver."""
    try:
        with Nvml(load) as nvml:
            return nvml.gpus()
    except (OSError, AttributeError):  # an old driver has not all of these functions
        return []


def seen_through(mask: str | None, all_gpus: list[Gpu]) -> list[Gpu]:
    """Those of a machine's GPUs that a CUDA_VISIBLE_DEVICES leaves, in its order; each is named as that names it.

    As CUDA reads it: what comes after an entry that names nothing is hidden, and a UUID may be cut short.
    """
    if mask is None:
        return all_gpus
    gpus: list[Gpu] = []
    for entry in (part.strip() for part in mask.split(",")):
        gpu = _named(entry, all_gpus)
        if gpu is None or any(gpu.mask == other.mask for other in gpus):
            break
        gpus.append(gpu)
    return gpus


def _named(entry: str, all_gpus: list[Gpu]) -> Gpu | None:
    """The GPU that an entry of CUDA_VISIBLE_DEVICES means. A UUID of which the driver tells us nothing is taken at its word."""
    if entry.isascii() and entry.isdigit():
        return next((gpu for gpu in all_gpus if gpu.mask == str(int(entry))), None)
    if not entry.startswith(("GPU-", "MIG-")):
        return None
    known = [gpu for gpu in all_gpus if gpu.uuid]
    alike = [gpu for gpu in known if gpu.uuid.startswith(entry)]
    if len(alike) == 1:
        return Gpu(alike[0].uuid, alike[0].label, alike[0].name, alike[0].uuid, alike[0].memory)
    return None if known else Gpu(entry, entry, entry, entry)
