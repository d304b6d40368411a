"""The devices of one run, as they are leased ("cpu", "cuda:4", "cuda:4,5", "cuda:MIG-…", "mps") and as the run sees them.

What stands after the colon is what CUDA_VISIBLE_DEVICES names the devices by on this machine: numbers in the order of the PCI
buses, or UUIDs. A run is shown these alone, and calls them cuda:0, cuda:1, …
"""

from __future__ import annotations

import re
from pathlib import Path

KINDS = ("cpu", "cuda", "mps")
MASK = re.compile(r"[0-9]{1,4}|(?:GPU|MIG)-[0-9A-Za-z-]{4,80}(?:/[0-9]{1,3}/[0-9]{1,3})?")
"""One device of an NVIDIA machine: its number, its UUID, or that of a slice (older drivers write MIG-GPU-…/1/0)."""

DRIVER = Path("/dev/nvidiactl")


def kind_of(device: str) -> str:
    """cpu, cuda or mps."""
    return device.partition(":")[0]


def masks_of(device: str) -> list[str]:
    """What the leased devices are called on this machine, one by one."""
    return [mask for mask in device.partition(":")[2].split(",") if mask]


def several(device: str) -> bool:
    """Whether a run gets more than one device: then its own launcher starts a process for each."""
    return "," in device


def one_of(device: str) -> str:
    """The first of a run's devices, as it is leased."""
    return device.partition(",")[0] if kind_of(device) == "cuda" else kind_of(device)


def seen_as(device: str) -> str:
    """The device as the run calls it: the only one that it sees; of several, its launcher gives each process one."""
    kind = kind_of(device)
    return f"{kind}:0" if kind == "cuda" and not several(device) else kind


def visibility(device: str) -> dict[str, str]:
    """The variables that show a process the leased GPUs and no other; beside GPUs, a run on a CPU is shown none."""
    if kind_of(device) != "cuda":
        return {"CUDA_VISIBLE_DEVICES": ""} if DRIVER.exists() or several(device) else {}
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(masks_of(device) or ["0"])}
