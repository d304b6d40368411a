"""A run is shown exactly the devices that it leased, whatever the worker itself may see."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest

from research_app import environment
from research_app.machine import fleet
from research_app.machine.services import trainer
from research_app.models import Device
from research_app.models.device import leased
from tests.nvml_samples import Driver, Simulated, some_gpus
from tests.training_samples import Rig, small_corpus
from training import devices
from training.command import command_line, run_environment
from training.nvml import Gpu, gpus_of_nvml, seen_through
from training.spec import Outcome

MIG = "MIG-3f2a1b00-0000-5000-8000-00000000000"
SLICES = [f"{MIG}1", f"{MIG}2"]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    folder = tmp_path_factory.mktemp("masks")
    return Rig(folder, small_corpus(folder / "data"))


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIGNOFF_DEVICES", "SIGNOFF_DEVICE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(devices, "DRIVER", Path("/"))  # this machine has a driver


@pytest.mark.parametrize(
    ("leased", "mask", "called"),
    [
        ("cpu", "", "cpu"),
        ("cpu:0,1", "", "cpu"),
        ("cuda:0", "0", "cuda:0"),
        ("cuda:3", "3", "cuda:0"),
        ("cuda:4,5", "4,5", "cuda"),
        (f"cuda:{SLICES[0]}", SLICES[0], "cuda:0"),
        ("cuda:GPU-00000003-0000-4000-8000-000000000000", "GPU-00000003-0000-4000-8000-000000000000", "cuda:0"),
        ("mps", "", "mps"),
    ],
)
def test_a_run_is_masked_to_its_lease_and_counts_from_zero(rig: Rig, leased: str, mask: str, called: str) -> None:
    spec = rig.spec(rig.folder, device=leased, command=("python", "train.py", "--device={device}"))
    seen = run_environment(spec)
    assert (seen["CUDA_VISIBLE_DEVICES"], seen["SIGNOFF_DEVICE"]) == (mask, called)
    assert command_line(spec)[-1] == f"--device={called}"
    assert ("CUDA_DEVICE_ORDER" in seen) == leased.startswith("cuda")


@pytest.mark.parametrize(("leased", "mask"), [("cuda:5", "5"), ("cuda:4,5,6,7", "4,5,6,7"), ("cpu", "")])
def test_a_real_run_prints_the_mask_of_its_lease_and_not_its_workers(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, leased: str, mask: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    source = (
        "import os\nprint('seen', repr(os.environ['CUDA_VISIBLE_DEVICES']), os.environ['SIGNOFF_DEVICE'])\nprint('score: 1')\n"
    )
    result = rig.run_script(source, device=leased)
    assert result.outcome is Outcome.completed, result.reason
    assert f"seen '{mask}'" in result.log


def test_no_variable_of_the_project_file_can_take_the_mask_away() -> None:
    from research_app.project_file.project_file import ProjectFileError, read_project_file

    with pytest.raises(ProjectFileError, match="CUDA_VISIBLE_DEVICES is set for every run by Signoff"):
        read_project_file('[train]\nenv = { CUDA_VISIBLE_DEVICES = "0,1" }\n')


@pytest.mark.parametrize(
    ("operator", "names", "masks"),
    [
        (None, [f"train.cuda.{i}" for i in range(8)], [str(i) for i in range(8)]),
        ("4,5,6,7", [f"train.cuda.{i}" for i in (4, 5, 6, 7)], ["4", "5", "6", "7"]),
        (" 6 , 2 ", ["train.cuda.6", "train.cuda.2"], ["6", "2"]),
        ("0,-1,1", ["train.cuda.0"], ["0"]),
        ("3,12,4", ["train.cuda.3"], ["3"]),
        ("3,3", ["train.cuda.3"], ["3"]),
        ("GPU-00000002", ["train.cuda.2"], ["GPU-00000002-0000-4000-8000-000000000000"]),
        ("GPU-0000000", [f"train.cpu.{i}" for i in range(2)], ["0", "1"]),  # means no single one
        ("", [f"train.cpu.{i}" for i in range(2)], ["0", "1"]),
    ],
)
def test_an_operators_own_mask_says_which_devices_there_are_and_by_which_name(
    monkeypatch: pytest.MonkeyPatch, operator: str | None, names: list[str], masks: list[str]
) -> None:
    driver = Driver()
    monkeypatch.setattr(fleet, "gpus_of_nvml", lambda: gpus_of_nvml(lambda name: driver))
    monkeypatch.setattr(fleet, "cpu_workers", lambda: 2)
    if operator is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", operator)
    found = fleet.local_devices()
    assert [device.worker for device in found] == names
    kind = found[0].kind
    assert {trainer(device).environment["SIGNOFF_DEVICE"] for device in found} == (
        {f"cuda:{','.join(masks)}"} if kind == "cuda" else {f"cpu:{mask}" for mask in masks}
    ), "a worker may take any GPU of the pool, and one core of its own"


def test_a_gpu_that_is_divided_is_lent_slice_by_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(gpus=2)
    driver.devices[1].slices = [Simulated("NVIDIA H200 MIG 3g.71gb", uuid) for uuid in SLICES]
    monkeypatch.setattr(fleet, "gpus_of_nvml", lambda: gpus_of_nvml(lambda name: driver))
    found = fleet.local_devices()
    assert [device.worker for device in found] == ["train.cuda.0", "train.cuda.1.0", "train.cuda.1.1"]
    assert {device.numbers for device in found} == {f"cuda:0,{SLICES[0]},{SLICES[1]}"}
    monkeypatch.setenv("SIGNOFF_DEVICES", "cuda*3")
    with pytest.raises(fleet.UnknownDevice, match=r"joins slices of GPUs \(MIG\)"):
        fleet.local_devices()
    monkeypatch.delenv("SIGNOFF_DEVICES")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", SLICES[1])
    assert [device.worker for device in fleet.local_devices()] == ["train.cuda.1.1"]


def test_a_gpu_that_is_to_be_divided_and_has_no_slice_yet_is_not_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(gpus=2)
    driver.devices[0].divided = True
    monkeypatch.setattr(fleet, "gpus_of_nvml", lambda: gpus_of_nvml(lambda name: driver))
    assert [device.worker for device in fleet.local_devices()] == ["train.cuda.1"]


def test_a_slice_of_which_the_driver_cannot_be_asked_is_taken_at_its_word() -> None:
    assert [gpu.mask for gpu in seen_through(SLICES[0], [Gpu("0", "0", "A100")])] == SLICES[:1]
    assert seen_through("nonsense,0", [Gpu("0", "0", "A100")]) == []


@pytest.mark.parametrize("given", ["cuda:0", "cuda:4,3", "cuda:GPU-00000000-0000-4000-8000-000000000000"])
def test_a_workers_device_that_the_operator_hides_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    driver = Driver()
    monkeypatch.setattr(fleet, "gpus_of_nvml", lambda: gpus_of_nvml(lambda name: driver))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    monkeypatch.setenv("SIGNOFF_DEVICE", given)
    with pytest.raises(environment.BadEnvironment, match=r"CUDA_VISIBLE_DEVICES=4,5,6,7 hides .* and leaves cuda:4, cuda:5"):
        fleet.own_device()
    monkeypatch.setenv("SIGNOFF_DEVICE", "cuda:4,7")
    assert fleet.own_device() == ("cuda", ["4", "7"])


@pytest.mark.django_db
def test_the_rows_of_a_host_say_what_its_runs_are_masked_to() -> None:
    four = Device.report_all("box", "cuda", some_gpus(8)[4:], count=4)
    assert (leased(four[:1]), leased(four[:2]), leased(four)) == ("cuda:4", "cuda:4,5", "cuda:4,5,6,7")
    assert [device.name for device in four] == ["box/cuda.4", "box/cuda.5", "box/cuda.6", "box/cuda.7"]
    assert leased([Device(name="box/cuda.0", kind="cuda", mask=SLICES[0])]) == f"cuda:{SLICES[0]}"
    assert leased([Device(name="old/cuda.3", kind="cuda", index=3)]) == "cuda:3"
    assert leased([Device(name="box/cpu.3", kind="cpu", index=3)]) == "cpu"
    assert leased([Device(name="mac/mps.0", kind="mps")]) == "mps"


def test_the_scorer_sees_the_first_leased_device_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from training import answers
    from training.sandbox import Level

    started: dict[str, Any] = {}

    class Started:
        def __init__(self, command: list[str], **options: object) -> None:
            started.update(options, command=command)
            raise OSError("far enough")

    monkeypatch.setattr(answers, "Process", Started)
    with pytest.raises(OSError, match="far enough"):
        answers.Model(
            tmp_path, tmp_path / "c", device="cuda:6", memory_limit=1 << 30, level=Level.none, unreadable=(), settings={}
        )
    assert started["environment"]["CUDA_VISIBLE_DEVICES"] == "6" and "cuda:0" in started["command"]


def test_a_machine_of_apples_trains_on_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.setattr(fleet, "gpus", lambda: some_gpus(0))
    monkeypatch.setenv("SIGNOFF_DEVICES", "mps,cpu:1")
    found = fleet.local_devices()
    assert [device.worker for device in found] == ["train.mps.0", "train.cpu.0"]
    assert trainer(found[0]).environment["SIGNOFF_DEVICE"] == "mps:0"
    monkeypatch.setenv("SIGNOFF_DEVICE", "mps:0")
    assert fleet.own_device() == ("mps", ["0"])
    monkeypatch.setenv("SIGNOFF_DEVICES", "mps:2")
    with pytest.raises(fleet.UnknownDevice, match=r"asks for 2 of the kind mps; this machine has 1 GPU of Apple's"):
        fleet.local_devices()
