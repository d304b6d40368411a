"""A run on several devices: its own launcher starts the processes, and they meet on a network that only they have."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from research_app.machine import fleet
from research_app.machine.services import trainer
from research_app.models import Device, Project, Run
from research_app.models.device import leased
from research_app.models.pool import DevicePool
from tests.factories import make_project
from tests.nvml_samples import some_gpus
from tests.training_samples import Rig, small_corpus
from training.command import command_line, run_environment
from training.sandbox import Confinement, Level, best_level, confined
from training.sandbox.confinement import CannotConfine
from training.spec import Outcome

TOGETHER = """
import os
import torch, torch.distributed as dist
dist.init_process_group("gloo")
total = torch.tensor([float(dist.get_rank() + 1)])
dist.all_reduce(total)
if dist.get_rank() == 0:
    print(f"score: {total.item()} {os.environ['CUDA_VISIBLE_DEVICES']}", flush=True)
dist.destroy_process_group()
"""
OUTSIDE = """
import socket
for host in ("127.0.0.1", "localhost"):
    try:
        socket.create_connection((host, {port}), timeout=2)
        print("score: 1", flush=True)
        break
    except OSError as error:
        print(host, error)
else:
    print("score: 0", flush=True)
"""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    if best_level(Level.none) is not Level.strong:
        pytest.skip("this machine has no sandbox of the level strong, which runs on several devices need")
    folder = tmp_path_factory.mktemp("devices")
    return Rig(folder, small_corpus(folder / "data"))


@pytest.mark.slow
def test_torchrun_starts_a_process_for_each_device_and_they_talk_to_each_other(rig: Rig) -> None:
    command = ("torchrun", "--standalone", "--nproc_per_node=2", "train.py")
    result = rig.run_script(TOGETHER, device="cpu:0,1", command=command)
    assert result.outcome is Outcome.completed, result.log
    assert result.score == 3.0 and result.sandbox_level == "strong"


def test_their_network_is_not_that_of_the_machine(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = rig.run_script(OUTSIDE.replace("{port}", str(port)), device="cpu:0,1")
    assert result.score == 0, result.log


def test_a_run_on_one_device_has_no_network_at_all(rig: Rig) -> None:
    result = rig.run_script("import socket\nsocket.socket(socket.AF_INET)\nprint('score: 1')\n")
    assert result.outcome is Outcome.crashed and "Operation not permitted" in result.log


def test_the_level_basic_refuses_a_run_that_needs_a_network_of_its_own(tmp_path: Path) -> None:
    confinement = Confinement(
        level=Level.basic, readable=(), writable=tmp_path, device="cpu", memory_limit=1 << 28, processes=8,
        file_size=1 << 20, scratch_size=1 << 20, loopback=True,
    )  # fmt: skip
    with pytest.raises(CannotConfine, match="level strong"):
        confined(["true"], confinement)


def test_a_run_sees_its_devices_and_its_rung(rig: Rig) -> None:
    spec = rig.spec(rig.folder, device="cuda:4,5", scale="L", settings={"SIGNOFF_GROWTH": "2"}, checkpoint_seconds=60.0)
    seen = run_environment(spec)
    assert (seen["SIGNOFF_DEVICE"], seen["CUDA_VISIBLE_DEVICES"]) == ("cuda", "4,5")
    assert (seen["SIGNOFF_SCALE"], seen["SIGNOFF_GROWTH"], seen["SIGNOFF_CHECKPOINT_SECONDS"]) == ("L", "2", "60")
    assert command_line(rig.spec(rig.folder, command=("torchrun", "t.py")))[1:] == ["-m", "torch.distributed.run", "t.py"]
    assert os.path.exists(command_line(rig.spec(rig.folder))[0])


@pytest.mark.django_db
def test_a_worker_with_too_few_devices_leaves_a_large_run_to_one_that_has_them() -> None:
    project: Project = make_project("large")
    tip = project.tip()
    common = {
        "project": project,
        "baseline": tip,
        "purpose": "scale_up",
        "priority": 3,
        "queue": "scale_up",
        "commit": tip.commit,
    }
    run = Run.objects.create(**common, scale="L", seed=1, devices=4)
    small = DevicePool.of("scale_up", Device.report("box/cuda.0", "cuda", 0, sandbox_level="strong", queue="scale_up"))
    weak, large = (
        DevicePool(
            tuple(Device.report_all(host, "cuda", some_gpus(4), count=4, sandbox_level=level)), ("train.cuda", "scale_up")
        )
        for host, level in (("box-2", "basic"), ("rack", "strong"))
    )
    assert small.claim() is None and "needs 4 devices at once, this worker has 1" in small.devices[0].refusal
    assert weak.claim() is None and all("level strong" in device.refusal for device in weak.devices)
    lease = large.claim()
    assert lease is not None and lease.pk == run.pk
    begun = Run.objects.get(pk=run.pk)
    assert leased(begun.leased_devices) == "cuda:0,1,2,3" and begun.device == large.devices[0]
    names = ["box/cuda.0", *(f"box-2/cuda.{i}" for i in range(4)), *(f"rack/cuda.{i}" for i in range(4))]
    assert sorted(Device.objects.serving("scale_up").values_list("name", flat=True)) == sorted(names)
    assert all(device.serves("scale_up") for device in Device.objects.all())
    assert Device.objects.serving("train.cuda").count() == 8
    assert set(Device.objects.busy()) == set(large.devices)


def test_gpus_of_a_machine_are_one_pool_whose_workers_take_runs_of_both_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "gpus", lambda: some_gpus(6))
    monkeypatch.setenv("SIGNOFF_DEVICES", "cuda:2,cuda*4,cpu:1")
    devices = fleet.local_devices()
    assert [device.worker for device in devices] == [*(f"train.cuda.{i}" for i in range(4)), "train.cpu.0"]
    pooled = trainer(devices[0])
    assert pooled.environment["SIGNOFF_DEVICE"] == "cuda:0,1,2,3" and "train.cuda,scale_up" in pooled.command
    assert "train.cpu" in trainer(devices[4]).command
    for asked in ("cuda:4,cuda*7", "cuda*1", "cpu*2", "cuda*many"):
        monkeypatch.setenv("SIGNOFF_DEVICES", asked)
        with pytest.raises(fleet.UnknownDevice, match="SIGNOFF_DEVICES"):
            fleet.local_devices()
