"""The devices of this machine, found without PyTorch: importing that takes seconds and, on a GPU, memory."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from django.conf import settings

from research_app import environment
from training.devices import KINDS
from training.nvml import Gpu, gpus_of_nvml, seen_through

APPLE = "Apple GPU"
TOGETHER = "scale_up"  # the queue of runs that need several devices at once
MOST_WORKERS_A_CORE = 4  # more than one a core is for trying things out
_PART = re.compile(r"([^\s:*]+)\s*(?:([:*])\s*([0-9]+))?")
MEMORY_PER_CPU_WORKER = 1024**3  # bytes; a training process of the default target takes about half of that


class UnknownDevice(ValueError):
    """`SIGNOFF_DEVICES` names something that is not a device; the message says what it may hold."""


@dataclass(frozen=True)
class LocalDevice:
    """A training worker of this machine: of one core, or of the pool of GPUs, from which it takes what each run needs."""

    kind: str
    label: str  # the device's own number on this machine, or what stands for it in names
    description: str
    pool: tuple[str, ...] = ()  # of GPUs: all that this machine lends, as CUDA_VISIBLE_DEVICES names them

    @property
    def queues(self) -> str:
        """The queues that its worker serves: that of runs on one device, and in a pool that of runs on several."""
        return f"train.{self.kind},{TOGETHER}" if len(self.pool) > 1 else f"train.{self.kind}"

    @property
    def worker(self) -> str:
        """Name of its worker on this machine."""
        return f"train.{self.kind}.{self.label}"

    @property
    def numbers(self) -> str:
        """For SIGNOFF_DEVICE: cpu:0, cuda:3, cuda:4,5,6,7 or cuda:MIG-…"""
        return f"{self.kind}:{','.join(self.pool or (self.label,))}"


def local_devices() -> list[LocalDevice]:
    """The workers that train here: one for every GPU, or where there is none as many single-threaded ones as cores.

    `SIGNOFF_DEVICES` in the environment says otherwise: `SIGNOFF_DEVICES=cuda:4,cpu:2` for a pool of four GPUs and two workers
    with a core. A pool lends its GPUs one by one or several together; `cuda*8` asks for one of at least eight. A kind alone
    means all of it that is left. Raises UnknownDevice, BadEnvironment.
    """
    devices = {"cuda": gpus(), "cpu": cpus(), "mps": apple_gpus()}
    given = environment.read().SIGNOFF_DEVICES.lower().split(",")
    parts = [_read(part.strip()) for part in given if part.strip()]
    counts = dict.fromkeys((kind for kind, _, _ in parts), 0)
    together = 0
    for kind, sign, number in sorted(parts, key=lambda part: part[1] == "*"):  # a star speaks of the same GPUs
        count = _count_of(kind, sign, number, len(devices[kind]), counts[kind])
        together = max(together, count if sign == "*" else 0)
        counts[kind] = max(counts[kind], count) if sign == "*" else counts[kind] + count
    if not counts:
        kind = "cuda" if devices["cuda"] else "cpu"
        counts = {kind: len(devices[kind])}
    return [worker for kind, count in counts.items() for worker in _workers(kind, count, devices[kind], together)]


def runs_per_gpu() -> int:
    """How many runs may share one GPU, where their project files say what memory they take: `SIGNOFF_RUNS_PER_GPU`."""
    return int(settings.RUNS_PER_GPU)


def own_device() -> tuple[str, list[str]]:
    """Kind of this worker's device and what it is called on this machine, from `SIGNOFF_DEVICE`.

    cpu:0, cuda:0,1,2,3 for several GPUs, or cuda:GPU-… and cuda:MIG-… by UUID. Raises BadEnvironment, also where
    `CUDA_VISIBLE_DEVICES` hides the device.
    """
    given = environment.read().SIGNOFF_DEVICE or "cpu:0"
    kind, _, rest = given.partition(":")
    kind, masks = kind.lower(), rest.split(",") if rest else ["0"]
    _require_visible(kind, masks)
    return kind, masks


def _require_visible(kind: str, masks: Sequence[str]) -> None:
    mask = environment.read().CUDA_VISIBLE_DEVICES
    if kind != "cuda" or mask is None or all(name in mask.split(",") for name in masks):
        return
    seen = gpus()
    known = {name for gpu in seen for name in (gpu.mask, gpu.label, gpu.uuid)}
    if hidden := [name for name in masks if name not in known]:
        left = ", ".join(f"cuda:{gpu.mask}" for gpu in seen) or "no GPU"
        raise environment.refused(
            "SIGNOFF_DEVICE",
            f"CUDA_VISIBLE_DEVICES={mask} hides {hidden[0]} and leaves {left}. GPUs are called here by their own number.",
        )


def known_of(kind: str, masks: Sequence[str]) -> list[Gpu]:
    """What is known of some devices of this machine."""
    if kind != "cuda":
        return [Gpu(mask, mask, APPLE if kind == "mps" else cpu_model()) for mask in masks]
    seen = {name: gpu for gpu in gpus() for name in (gpu.uuid, gpu.label, gpu.mask)}
    return [replace(seen[mask], mask=mask) if mask in seen else Gpu(mask, mask, "") for mask in masks]


def _read(part: str) -> tuple[str, str, str]:
    """Kind, sign and number of one part of SIGNOFF_DEVICES. Raises UnknownDevice."""
    match = _PART.fullmatch(part)
    kind, sign, number = match.groups("") if match else ("", "", "")
    if kind not in KINDS or len(number) > 4:
        raise _unknown(part, f"Kinds are {', '.join(KINDS[:-1])} and {KINDS[-1]}, with how many of them after a colon.")
    if sign == "*" and (kind != "cuda" or int(number) < 2):
        raise _unknown(part, "A star joins two or more GPUs for one run.")
    if sign and int(number) < 1:
        raise _unknown(
            part, f"The number is how many, not which: {kind}:1 is one worker. CUDA_VISIBLE_DEVICES chooses among GPUs."
        )
    return kind, sign, number


def _count_of(kind: str, sign: str, number: str, here: int, before: int) -> int:
    """How many devices a part of SIGNOFF_DEVICES asks for, after those that parts before it took. Raises UnknownDevice."""
    most = MOST_WORKERS_A_CORE * here if kind == "cpu" else here
    count = int(number) if sign else here - before
    whole = max(before, count) if sign == "*" else before + max(count, 1)
    if whole > most:
        raise UnknownDevice(
            f"SIGNOFF_DEVICES asks for {whole} of the kind {kind}; this machine has {_what_there_is(kind, most)}."
        )
    return count


def _what_there_is(kind: str, most: int) -> str:
    if kind == "cuda":
        return f"{most} CUDA device{'s'[: most != 1]}"
    return f"room for {most} CPU workers at most" if kind == "cpu" else f"{most or 'no'} GPU of Apple's (MPS)"


def _workers(kind: str, count: int, here: Sequence[Gpu], together: int) -> list[LocalDevice]:
    """As many workers of a kind; of a pool of GPUs each may take any of these, and several together."""
    if kind != "cuda":
        labels = [str(number) for number in range(count)]
        return [LocalDevice(kind, label, here[min(int(label), len(here) - 1)].name) for label in labels]
    chosen = here[:count]
    if together and any(gpu.is_slice for gpu in chosen):
        raise UnknownDevice("SIGNOFF_DEVICES joins slices of GPUs (MIG), and CUDA shows a process one slice at most.")
    pool = tuple(gpu.mask for gpu in chosen)
    turns = [""] + [f"-{turn}" for turn in range(2, runs_per_gpu() + 1)]
    return [LocalDevice(kind, gpu.label + turn, gpu.name, pool) for turn in turns for gpu in chosen]


def _unknown(part: str, why: str) -> UnknownDevice:
    return UnknownDevice(
        f"SIGNOFF_DEVICES holds {part!r}. {why} Write for example SIGNOFF_DEVICES=cuda:4,cpu:2 for four GPUs and two cores, or "
        "cuda*8 for eight GPUs that one run may have together."
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


def cpus() -> list[Gpu]:
    """A place for each CPU worker that this machine carries."""
    return [Gpu(str(number), str(number), cpu_model()) for number in range(cpu_workers())]


def apple_gpus() -> list[Gpu]:
    """The GPU of a Mac with a processor of Apple's, which PyTorch calls mps; there is one."""
    is_one = platform.system() == "Darwin" and platform.machine() == "arm64"
    return [Gpu("0", "0", APPLE)] if is_one else []


def cpu_model() -> str:
    """What the processor calls itself."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Hardware", "Model"):
            return value.strip()
    return os.uname().machine


def gpus() -> list[Gpu]:
    """The NVIDIA GPUs, or slices of them, that CUDA will show here: those that `CUDA_VISIBLE_DEVICES` leaves."""
    mask = environment.read().CUDA_VISIBLE_DEVICES
    return seen_through(mask, gpus_of_nvml() or gpus_of_driver() or gpus_of_nvidia_smi())


def gpus_of_driver(folder: Path = Path("/proc/driver/nvidia/gpus")) -> list[Gpu]:
    """What the kernel driver lists, where its library cannot be asked; in a container only what it was given."""
    gpus = []
    for number, path in enumerate(sorted(folder.glob("*/information"))):
        fields = dict(line.partition(":")[::2] for line in path.read_text().splitlines())
        name, uuid = (fields.get(key, "").strip() for key in ("Model", "GPU UUID"))
        gpus.append(Gpu(str(number), str(number), name or "NVIDIA GPU", uuid))
    return gpus


def gpus_of_nvidia_smi() -> list[Gpu]:
    """For machines that hide the driver's folder, such as WSL."""
    if not (tool := shutil.which("nvidia-smi")):
        return []
    try:
        listed = subprocess.run(
            [tool, "--query-gpu=name,uuid", "--format=csv,noheader"], capture_output=True, text=True, timeout=15, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []  # the tool without a driver: no device
    lines = [line.rpartition(",") for line in listed.stdout.splitlines() if line.strip()]
    return [Gpu(str(i), str(i), name.strip(), uuid.strip()) for i, (name, _, uuid) in enumerate(lines)]
