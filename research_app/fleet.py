"""The devices of this machine, found without PyTorch: importing that takes seconds and, on a GPU, memory."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from research_app import environment

KINDS = ("cpu", "cuda")
MOST_WORKERS_A_CORE = 4  # more than one a core is for trying things out
_PART = re.compile(r"([^\s:*]+)\s*(?:([:*])\s*([0-9]+))?")
MEMORY_PER_CPU_WORKER = 1024**3  # bytes; a training process of the default target takes about half of that


class UnknownDevice(ValueError):
    """`SIGNOFF_DEVICES` names something that is not a device; the message says what it may hold."""


@dataclass(frozen=True)
class LocalDevice:
    """One core or GPU of this machine, or several GPUs together, with a training worker of its own."""

    kind: str
    index: int
    description: str
    count: int = 1  # several are one worker for runs that need so many at once

    @property
    def queue(self) -> str:
        """The queue that its worker serves, and the worker's name without its number."""
        return f"train.{self.kind}" if self.count == 1 else "scale_up"

    @property
    def worker(self) -> str:
        """Name of its worker on this machine."""
        return f"{self.queue}.{self.index}"

    @property
    def numbers(self) -> str:
        """For SIGNOFF_DEVICE: cuda:3, or cuda:4,5,6,7."""
        return f"{self.kind}:{','.join(str(self.index + i) for i in range(self.count))}"


def local_devices() -> list[LocalDevice]:
    """The devices to train on: every GPU, or where there is none as many single-threaded workers as cores.

    `SIGNOFF_DEVICES` in the environment says otherwise: `SIGNOFF_DEVICES=cuda:4,cpu:2` for four workers with one GPU each and
    two with a core, `cuda*8` for one worker with eight GPUs, which takes the runs of rungs that need so many. A kind alone
    means all of it that is left. Raises UnknownDevice.
    """
    found = {"cuda": gpus(), "cpu": [cpu_model()] * cpu_workers()}
    parts = [part.strip().lower() for part in environment.text("SIGNOFF_DEVICES").split(",")]
    devices: list[LocalDevice] = []
    for part in filter(None, parts):
        devices += _asked_for(part, found, {kind: sum(d.count for d in devices if d.kind == kind) for kind in KINDS})
    if devices:
        return devices
    kind = "cuda" if found["cuda"] else "cpu"
    return [LocalDevice(kind, index, description) for index, description in enumerate(found[kind])]


def own_device() -> tuple[str, list[int]]:
    """Kind and numbers of the device of this worker, from `SIGNOFF_DEVICE`: cpu:0, or cuda:0,1,2,3 for several GPUs.

    Raises BadEnvironment.
    """
    given = environment.text("SIGNOFF_DEVICE", "cpu:0").lower()
    match = re.fullmatch(r"(cpu|cuda)(?::([0-9]{1,4}(?:,[0-9]{1,4})*))?", given)
    numbers = [int(number) for number in match[2].split(",")] if match and match[2] else [0]
    if not match or len(set(numbers)) < len(numbers):
        raise environment.refused("SIGNOFF_DEVICE", "write cpu:0, cuda:3, or cuda:4,5,6,7 for a worker with several GPUs.")
    return match[1], numbers


def name_of(kind: str, index: int) -> str:
    """What a device of this machine is called; empty where it is not known."""
    names = gpus() if kind == "cuda" else [cpu_model()] * (index + 1)
    return names[index] if index < len(names) else ""


def _asked_for(part: str, found: Mapping[str, Sequence[str]], taken: Mapping[str, int]) -> list[LocalDevice]:
    """The devices of one part of SIGNOFF_DEVICES, after those that parts before it took."""
    match = _PART.fullmatch(part)
    kind, sign, number = match.groups("") if match else ("", "", "")
    if kind not in KINDS or len(number) > 4:
        raise _unknown(part, f"Kinds are {' and '.join(KINDS)}, with how many of them after a colon.")
    if sign == "*" and (kind == "cpu" or int(number) < 2):
        raise _unknown(part, "A star joins two or more GPUs for one worker.")
    here, before = found[kind], taken[kind]
    count = int(number) if sign else len(here) - before
    if sign and count < 1:
        raise _unknown(
            part, f"The number is how many, not which: {kind}:1 is one worker. CUDA_VISIBLE_DEVICES chooses among GPUs."
        )
    most = len(here) if kind == "cuda" else MOST_WORKERS_A_CORE * len(here)
    if count < 1 or before + count > most:
        shows = f"{len(here)} CUDA device{'s'[: len(here) != 1]}" if kind == "cuda" else f"room for {most} CPU workers at most"
        raise UnknownDevice(f"SIGNOFF_DEVICES asks for {before + max(count, 1)} of the kind {kind}; this machine has {shows}.")
    if sign == "*":
        return [LocalDevice(kind, before, f"{count} × {here[before]}", count)]
    return [LocalDevice(kind, index, here[min(index, len(here) - 1)]) for index in range(before, before + count)]


def _unknown(part: str, why: str) -> UnknownDevice:
    return UnknownDevice(
        f"SIGNOFF_DEVICES holds {part!r}. {why} Write for example SIGNOFF_DEVICES=cuda:4,cpu:2 for four GPUs and two cores, or "
        "cuda*8 for one worker with eight GPUs."
    )


def cores() -> int:
    """Cores that this process may use: its affinity, and the share that a container grants."""
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return allowed
    return allowed if quota == "max" else max(1, min(allowed, int(quota) // int(period)))


def cpu_workers() -> int:
    """How many CPU workers this machine carries: one a core, as far as its memory goes."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(cores(), memory // MEMORY_PER_CPU_WORKER))


def cpu_model() -> str:
    """What the processor calls itself."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Hardware", "Model"):
            return value.strip()
    return os.uname().machine


def gpus() -> list[str]:
    """Names of the NVIDIA GPUs that PyTorch will see, in its order."""
    return visible(gpus_of_driver() or gpus_of_nvidia_smi())


def visible(names: list[str]) -> list[str]:
    """Those of a machine's GPUs that `CUDA_VISIBLE_DEVICES` leaves."""
    asked = os.environ.get("CUDA_VISIBLE_DEVICES")
    if asked is None:
        return names
    chosen = [item.strip() for item in asked.split(",") if item.strip() not in ("", "-1")]
    return [names[int(item)] if item.isdigit() and int(item) < len(names) else item for item in chosen][: len(names)]


def gpus_of_driver(folder: Path = Path("/proc/driver/nvidia/gpus")) -> list[str]:
    """What the kernel driver lists; instant, and in a container only what it was given."""
    names = []
    for path in sorted(folder.glob("*/information")):
        fields = dict(line.partition(":")[::2] for line in path.read_text().splitlines())
        names.append(fields.get("Model", "NVIDIA GPU").strip())
    return names


def gpus_of_nvidia_smi() -> list[str]:
    """For machines that hide the driver's folder, such as WSL."""
    if not (tool := shutil.which("nvidia-smi")):
        return []
    try:
        listed = subprocess.run(
            [tool, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=15, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []  # the tool without a driver: no device
    return [line.strip() for line in listed.stdout.splitlines() if line.strip()]
