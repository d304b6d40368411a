"""benchmarks/gpu.sh is ready for a machine with a GPU: it says clearly where there is none, and all of it runs on a core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu
from research_app.home import CODE
from tests.nvml_samples import GIB, simulated_library, some_gpus
from training.spec import Point


def script(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    passed = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR") if key in os.environ}
    return subprocess.run(
        ["bash", str(CODE / "benchmarks" / "gpu.sh"), str(folder / "report")],
        env={**passed, "PYTHON": sys.executable, **environment}, cwd=folder, capture_output=True, text=True, timeout=500,
    )  # fmt: skip


def test_without_a_gpu_it_says_so_and_measures_nothing(tmp_path: Path) -> None:
    ended = script(tmp_path)
    assert ended.returncode == 2 and ended.stderr.startswith("No NVIDIA GPU is here: its driver's library")
    assert not (tmp_path / "report").exists() and "Traceback" not in ended.stderr


def test_with_a_gpu_that_this_torch_cannot_use_it_says_that(tmp_path: Path) -> None:
    ended = script(tmp_path, **simulated_library(tmp_path / "driver"))
    assert ended.returncode == 2 and "NVIDIA H200 is here, and this torch (" in ended.stderr
    hidden = script(tmp_path, CUDA_VISIBLE_DEVICES="", **simulated_library(tmp_path / "driver"))
    assert hidden.returncode == 2 and "names none that CUDA_VISIBLE_DEVICES leaves" in hidden.stderr


@pytest.mark.one_in(4)
@pytest.mark.slow
def test_all_of_it_runs_on_a_core(tmp_path: Path) -> None:
    ended = script(tmp_path, SIMULATE="yes")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = {part["name"]: part for part in json.loads((tmp_path / "report" / "report.json").read_text())}
    assert list(told) == ["masks", "tokens per second", "scoring", "driver", "two at once", "autoresearch"]
    assert {part["held"] for name, part in told.items() if name != "autoresearch"} == {None}, "nothing of a GPU is claimed"
    assert told["tokens per second"]["figures"]["plain"] > 0 and told["two at once"]["figures"]["alone"] > 0
    assert told["autoresearch"]["held"] is True and "val_bpb" in told["autoresearch"]["found"]


def test_speed_is_that_of_the_second_half() -> None:
    compiled = [Point(0, {"seconds": 20.0, "tokens": 100}), Point(1, {"seconds": 29.0, "tokens": 200})]
    late = [Point(i, {"seconds": 30.0 + i, "tokens": 1000.0 * i}) for i in range(2, 12)]
    assert gpu.speed([*compiled, *late]) == pytest.approx(11_000 / 12, rel=0.2)
    with pytest.raises(RuntimeError, match="only 1 points"):
        gpu.speed([Point(0, {"seconds": 1.0, "tokens": 1.0})])


def beside(busy: float, memory: int, energy: float) -> gpu.Beside:
    made = gpu.Beside(some_gpus(1)[0])
    made.busy, made.memory, made.energy = [busy] * 300, [memory] * 300, energy
    made.times = [0.2 * at for at in range(len(made.busy))]
    return made


def test_the_runners_figures_of_the_driver_are_held_against_those_taken_beside_it() -> None:
    facts = {"device_busy_seconds": 57.0, "device_memory_bytes": 10 * GIB, "device_energy_joules": 30_000.0}
    parts = {part.name: part.held for part in gpu.figures_of_the_driver(facts, 60.0, beside(0.96, 10 * GIB, 31_000.0), True)}
    assert parts == {
        "utilisation": True, "driver: busy seconds": True, "driver: memory, GiB": True, "driver: energy, J": True
    }  # fmt: skip
    parts = {part.name: part.held for part in gpu.figures_of_the_driver(facts, 60.0, beside(0.5, 20 * GIB, 31_000.0), True)}
    assert [name for name, held in parts.items() if not held] == ["utilisation", "driver: busy seconds", "driver: memory, GiB"]


def test_a_part_that_breaks_did_not_hold_and_the_others_go_on() -> None:
    def breaks(rig: gpu.Rig) -> list[gpu.Part]:
        raise RuntimeError("out of memory")

    assert gpu.tried(breaks, None)[0] == gpu.Part("breaks", False, "RuntimeError: out of memory")  # type: ignore[arg-type]


def test_sizes_fit_the_gpu_and_ten_minutes() -> None:
    assert gpu.Sizes.of(some_gpus(1)[0]).settings == {"SIGNOFF_GROWTH": "16.0", "SIGNOFF_BATCH": "64"}
    sizes = gpu.Sizes.of(some_gpus(1)[0])
    assert sizes.seconds / 3 + 2 * sizes.seconds + 2 * sizes.beside + 60 < 400, "and 200 s for starts and compilation"
    assert "timeout --kill-after=10 600" in (CODE / "benchmarks" / "gpu.sh").read_text()


def test_scoring_after_the_training_is_no_idle_gpu() -> None:
    seen = beside(1.0, 10 * GIB, 31_000.0)
    seen.busy += [0.0] * len(seen.busy)  # as long as the training
    seen.times = [0.2 * at for at in range(len(seen.busy))]
    training = 0.2 * len(seen.busy) / 2
    facts = {"device_busy_seconds": training, "device_memory_bytes": 10 * GIB, "device_energy_joules": 31_000.0}
    parts = {part.name: part.held for part in gpu.figures_of_the_driver(facts, training, seen, True)}
    assert parts["utilisation"] is True
