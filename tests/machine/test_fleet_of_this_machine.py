"""Which devices a machine has, without asking PyTorch."""

import os
from pathlib import Path

import pytest

from research_app.machine import fleet
from tests.nvml_samples import some_gpus
from training.nvml import Gpu, seen_through


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIGNOFF_DEVICES", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(fleet, "gpus", list)


def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "gpus", lambda: some_gpus(2))


def names() -> list[str]:
    return [device.worker for device in fleet.local_devices()]


GIB = 1 << 30


@pytest.mark.parametrize(
    ("allowed", "granted", "memory", "workers"),
    [
        (3, "max 100000", 64 * GIB, 3),  # all that the affinity allows
        (8, "250000 100000", 64 * GIB, 2),  # a container grants two and a half
        (8, "50000 100000", 64 * GIB, 1),  # half a core carries one all the same
        (2, "800000 100000", 64 * GIB, 2),
        (8, "max 100000", 4 * fleet.MEMORY_PER_CPU_WORKER + 1, 4),
        (8, "max 100000", fleet.MEMORY_PER_CPU_WORKER // 2, 1),
    ],
)
def test_without_a_gpu_there_is_one_worker_for_each_core_that_we_may_use_as_far_as_memory_goes(
    allowed: int, granted: str, memory: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(allowed)))
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": memory}.__getitem__)
    read_text = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, *rest: granted if path == Path("/sys/fs/cgroup/cpu.max") else read_text(path, *rest)
    )
    assert names() == [f"train.cpu.{core}" for core in range(workers)]


def test_with_gpus_there_is_one_worker_for_each_gpu_and_none_for_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    two_gpus(monkeypatch)
    assert names() == ["train.cuda.0", "train.cuda.1"]
    assert {device.queues for device in fleet.local_devices()} == {"train.cuda,scale_up"}, "one by one, or both together"


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    two_gpus(monkeypatch)
    monkeypatch.setenv("SIGNOFF_DEVICES", "cuda:1, cpu:2")
    assert names() == ["train.cuda.0", "train.cpu.0", "train.cpu.1"]


@pytest.mark.parametrize("asked", ["tpu", "cpu:many", "cuda:1"])
def test_what_is_not_there_is_refused(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_DEVICES", asked)
    with pytest.raises(fleet.UnknownDevice, match="SIGNOFF_DEVICES"):
        fleet.local_devices()


@pytest.mark.parametrize(
    ("visible", "seen"),
    [(None, ["A", "B"]), ("1", ["B"]), ("", []), ("-1", []), ("GPU-5f0a", ["GPU-5f0a"]), ("1,0", ["B", "A"])],
)
def test_gpus_hidden_by_cuda_visible_devices_are_not_counted(visible: str | None, seen: list[str]) -> None:
    assert [gpu.name for gpu in seen_through(visible, [Gpu("0", "0", "A"), Gpu("1", "1", "B")])] == seen


def test_the_drivers_list_names_each_gpu(tmp_path: Path) -> None:
    for bus in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / bus).mkdir()
        (tmp_path / bus / "information").write_text(f"Model: \t\t NVIDIA H200\nIRQ: \t\t 44\nGPU UUID: \t GPU-{bus}\n")
    found = fleet.gpus_of_driver(tmp_path)
    assert [(gpu.mask, gpu.name, gpu.uuid) for gpu in found] == [
        ("0", "NVIDIA H200", "GPU-0000:01:00.0"), ("1", "NVIDIA H200", "GPU-0000:02:00.0")
    ]  # fmt: skip
