"""The devices of this machine, found without PyTorch: importing that takes seconds and, on a GPU, memory."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

KINDS = ("cpu", "cuda")
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
    two with a core, `cuda*8` for one worker with eight GPUs, which takes the runs of rungs that need so many. Raises
    UnknownDevice.
    """
    found = {"cuda": gpus(), "cpu": [cpu_model()] * cpu_workers()}
    if asked := os.environ.get("SIGNOFF_DEVICES"):
        devices: list[LocalDevice] = []
        for part in asked.split(","):
            devices += _asked_for(part.strip(), found, sum(each.count for each in devices if each.kind == "cuda"))
        return devices
    kind = "cuda" if found["cuda"] else "cpu"
    return [LocalDevice(kind, index, description) for index, description in enumerate(found[kind])]


def name_of(kind: str, index: int) -> str:
    """What a device of this machine is called; empty where it is not known."""
    names = gpus() if kind == "cuda" else [cpu_model()] * (index + 1)
    return names[index] if index < len(names) else ""


def _asked_for(part: str, found: dict[str, list[str]], taken: int) -> list[LocalDevice]:
    """The devices of one part of SIGNOFF_DEVICES, after so many GPUs that parts before it took."""
    kind, sign, number = part.partition("*" if "*" in part else ":")
    if kind not in KINDS or (sign and not number.isdigit()) or (sign == "*" and (kind == "cpu" or int(number) < 2)):
        raise UnknownDevice(
            f"SIGNOFF_DEVICES holds {part!r}. Write for example SIGNOFF_DEVICES=cuda:4,cpu:2 (kinds: cpu, cuda), or cuda*8 "
            "for one worker with eight GPUs."
        )
    here = found[kind]
    count = int(number) if sign else len(here) - (taken if kind == "cuda" else 0)
    if kind == "cuda" and taken + count > len(here):
        raise UnknownDevice(f"SIGNOFF_DEVICES asks for {taken + count} CUDA devices; this machine shows {len(here)}.")
    if sign == "*":
        return [LocalDevice(kind, taken, f"{count} × {here[taken]}", count)]
    if kind == "cuda":
        return [LocalDevice(kind, index, here[index]) for index in range(taken, taken + count)]
    return [LocalDevice(kind, index, here[index] if index < len(here) else cpu_model()) for index in range(count)]


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
