"""Every spelling of SIGNOFF_DEVICES works or is refused in a sentence; SIGNOFF_DEVICE names one worker's device."""

import pytest

from research_app import environment
from research_app.machine import fleet
from tests.nvml_samples import some_gpus


@pytest.fixture(autouse=True)
def eight_gpus_and_two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "gpus", lambda: some_gpus(8))
    monkeypatch.setattr(fleet, "cpu_workers", lambda: 2)
    monkeypatch.delenv("SIGNOFF_DEVICES", raising=False)


ALL = [f"train.cuda.{i}" for i in range(8)]


@pytest.mark.parametrize(
    ("asked", "workers"),
    [
        ("", ALL),
        ("   ", ALL),
        (",", ALL),
        ("cpu", ["train.cpu.0", "train.cpu.1"]),
        ("CPU", ["train.cpu.0", "train.cpu.1"]),
        ("cpu:1", ["train.cpu.0"]),
        ("cpu:2,", ["train.cpu.0", "train.cpu.1"]),
        (" cpu : 1 ", ["train.cpu.0"]),
        ("cpu:1,cpu:1", ["train.cpu.0", "train.cpu.1"]),
        ("cpu:1,cpu", ["train.cpu.0", "train.cpu.1"]),
        ("cpu:4", [f"train.cpu.{i}" for i in range(4)]),
        ("cuda", ALL),
        ("Cuda:2,CPU:1", ["train.cuda.0", "train.cuda.1", "train.cpu.0"]),
        ("cuda:1,cuda:1", ["train.cuda.0", "train.cuda.1"]),
        ("cuda:8", ALL),
        ("cuda*8", ALL),
        ("cuda:8,cuda*8", ALL),
        ("cuda*8,cuda:8", ALL),
        ("cuda * 4,cuda", ALL),
        ("cuda:4,cuda*4", ALL[:4]),
        ("cuda:2,cuda*4", ALL[:4]),
        ("cuda:6,cuda*4,cpu:1", [*ALL[:6], "train.cpu.0"]),
    ],
)
def test_this_works(monkeypatch: pytest.MonkeyPatch, asked: str, workers: list[str]) -> None:
    monkeypatch.setenv("SIGNOFF_DEVICES", asked)
    found = fleet.local_devices()
    assert [device.worker for device in found] == workers
    assert len({device.worker for device in found}) == len(found), "two workers of one name would take each other's place"
    pools = {device.pool for device in found if device.kind == "cuda"}
    assert len(pools) <= 1, "all GPUs of a machine are one pool"
    assert all(len(pool) == sum(worker.startswith("train.cuda") for worker in workers) for pool in pools)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("cpu:0", "holds 'cpu:0'. The number is how many, not which: cpu:1 is one worker."),
        (
            "cuda:0,cuda:1",
            "holds 'cuda:0'. The number is how many, not which: cuda:1 is one worker. CUDA_VISIBLE_DEVICES chooses",
        ),
        ("cuda:4,5", "holds '5'. Kinds are cpu, cuda and mps"),
        ("mps", "asks for 1 of the kind mps; this machine has no GPU of Apple's (MPS)."),
        ("tpu:1", "holds 'tpu:1'. Kinds are cpu, cuda and mps"),
        ("cpu:many", "holds 'cpu:many'"),
        ("cpu:", "holds 'cpu:'"),
        ("cpu:-1", "holds 'cpu:-1'"),
        ("cpu:1.5", "holds 'cpu:1.5'"),
        ("cpu:²", "holds 'cpu:²'"),
        ("cpu:100000", "holds 'cpu:100000'"),
        ("cpu:100", "asks for 100 of the kind cpu; this machine has room for 8 CPU workers at most."),
        ("cpu*2", "holds 'cpu*2'. A star joins two or more GPUs"),
        ("cuda*1", "holds 'cuda*1'. A star joins two or more GPUs"),
        ("cuda*9", "asks for 9 of the kind cuda; this machine has 8 CUDA devices."),
        ("cuda:8,cuda", "asks for 9 of the kind cuda; this machine has 8 CUDA devices."),
        ("cuda cpu", "holds 'cuda cpu'"),
        ("cuda;cpu", "holds 'cuda;cpu'"),
        ("gpu:1", "holds 'gpu:1'"),
    ],
)
def test_this_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch, asked: str, sentence: str) -> None:
    monkeypatch.setenv("SIGNOFF_DEVICES", asked)
    with pytest.raises(fleet.UnknownDevice) as refused:
        fleet.local_devices()
    assert str(refused.value).startswith("SIGNOFF_DEVICES ") and sentence in str(refused.value)


def test_gpus_that_there_are_not_are_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "gpus", list)
    monkeypatch.setenv("SIGNOFF_DEVICES", "cuda")
    with pytest.raises(fleet.UnknownDevice, match="asks for 1 of the kind cuda; this machine has 0 CUDA devices"):
        fleet.local_devices()


@pytest.mark.parametrize(
    ("given", "device"),
    [
        ("cpu:0", ("cpu", ["0"])),
        ("cpu", ("cpu", ["0"])),
        ("CUDA:3", ("cuda", ["3"])),
        ("cuda:4,5,6,7", ("cuda", ["4", "5", "6", "7"])),
        ("cuda:MIG-GPU-5f0a11aa/1/0", ("cuda", ["MIG-GPU-5f0a11aa/1/0"])),
        ("mps", ("mps", ["0"])),
    ],
)
def test_a_worker_knows_its_device(monkeypatch: pytest.MonkeyPatch, given: str, device: tuple[str, list[str]]) -> None:
    monkeypatch.setenv("SIGNOFF_DEVICE", given)
    assert fleet.own_device() == device


@pytest.mark.parametrize("given", ["tpu:0", "cuda:x", "cuda:1,1", "cuda:,", "cuda:", "cpu:GPU-5f0a", "cuda:-1", "cuda:99999"])
def test_a_workers_device_that_cannot_be_is_named(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("SIGNOFF_DEVICE", given)
    with pytest.raises(environment.BadEnvironment, match=f"SIGNOFF_DEVICE is '{given}': write cpu:0, cuda:3"):
        fleet.own_device()


def test_the_address_of_a_model_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "api.example.org")
    with pytest.raises(environment.BadEnvironment, match=r"ANTHROPIC_BASE_URL is 'api.example.org': write an address"):
        environment.read()
