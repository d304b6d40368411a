"""A host lends its GPUs one by one or several together; whoever ends a run frees what it had."""

from __future__ import annotations

import os
import socket
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from research_app.loop import reconcile
from research_app.loop.runs import cancel
from research_app.loop.train import idle_gpus, train
from research_app.loop.train.idle_gpus import GpusAtWork, idle_device
from research_app.models import Device, Message, Project, Purpose, Run, State
from research_app.models.device import leased
from research_app.models.pool import DevicePool, ends_in, expected_seconds
from research_app.models.purpose import PRIORITY
from research_app.project_file.project_file import ProjectFile, read_project_file
from tests.factories import make_project, make_run, make_user
from tests.nvml_samples import some_gpus
from training.command import command_line, confinement_of
from training.device_lock import DeviceLocks, StillHeld
from training.launch import Launch, program
from training.sandbox import Level

pytestmark = pytest.mark.django_db
HOST = socket.gethostname()
FILE = """
[train]
device = "cuda"
[[ladder]]
name = "S"
[[ladder]]
name = "L"
budget = 8
devices = 8
"""


@pytest.fixture
def project() -> Project:
    made: Project = make_project("box", reference_runs=0)
    made.config = read_project_file(FILE).model_dump(mode="json")
    made.save()
    return made


def pool_of(count: int = 8, share: int = 1, level: str = "strong") -> DevicePool:
    rows = Device.report_all(HOST, "cuda", some_gpus(count), count=count, sandbox_level=level)
    return DevicePool(tuple(rows), ("train.cuda", "scale_up"), share)


def ask(project: Project, devices: int = 1, count: int = 1, purpose: Purpose | None = None) -> list[Run]:
    tip = project.tip()
    purpose = purpose or (Purpose.SCREEN if devices == 1 else Purpose.SCALE_UP)
    first = Run.objects.count() + 1000
    return [
        Run.objects.create(
            project=project, baseline=tip, purpose=purpose, priority=PRIORITY[purpose], commit=tip.commit, seed=first + number,
            queue="train.cuda" if devices == 1 else "scale_up", scale="S" if devices == 1 else "L", devices=devices,
        )
        for number in range(count)
    ]  # fmt: skip


def begun(pool: DevicePool) -> Run:
    lease = pool.claim()
    assert lease is not None
    return Run.objects.get(pk=lease.pk)


def test_runs_have_devices_of_their_own_until_all_are_lent(project: Project) -> None:
    ask(project, count=9)
    pool = pool_of()
    assert [leased(begun(pool).leased_devices) for _ in range(8)] == [f"cuda:{i}" for i in range(8)]
    assert pool.claim() is None and Device.objects.busy().count() == 8


def test_a_large_run_has_all_of_them_and_nobody_begins_beside_it(project: Project) -> None:
    large, *_ = ask(project, devices=8), ask(project, count=3)
    pool = pool_of()
    run = begun(pool)
    assert run.pk == large[0].pk and leased(run.leased_devices) == "cuda:0,1,2,3,4,5,6,7"
    assert pool.claim() is None and Device.objects.busy().count() == 8


def test_a_large_run_that_waits_is_promised_the_devices(project: Project) -> None:
    ask(project)
    pool = pool_of()
    small = begun(pool)
    large = ask(project, devices=8)[0]
    ask(project, count=3)
    assert pool.claim() is None, "a small run would make the large one wait as long as it takes"
    cancel(Run.objects.filter(pk=small.pk), "enough")
    assert begun(pool).pk == large.pk


def test_a_small_run_that_is_over_in_time_goes_before_a_promised_one(project: Project) -> None:
    for seed in range(3):
        make_run(project.tip(), seed=seed, train_seconds=5.0, scale="S")
    ask(project)
    pool = pool_of()
    first = begun(pool)
    ask(project, devices=8)
    ask(project)
    Run.objects.filter(pk=first.pk).update(started_at=timezone.now() - timedelta(seconds=1))
    assert pool.claim() is None, "it takes 5 s, and the devices are free in 4 s"
    Run.objects.filter(pk=first.pk).update(started_at=timezone.now() - timedelta(seconds=20))  # slower than the others
    assert expected_seconds(first) == 5.0 and ends_in(Run.objects.get(pk=first.pk), timezone.now()) > 100
    assert pool.claim() is not None, "by its limit, the first one may take minutes more"


@pytest.mark.parametrize("how", ["cancelled", "requeued by the reconciler", "its worker died"])
def test_whatever_ends_a_run_frees_all_of_its_devices(project: Project, how: str) -> None:
    ask(project, devices=8)
    pool = pool_of()
    run = begun(pool)
    if how == "cancelled":
        cancel(Run.objects.filter(pk=run.pk), "enough")
    elif how == "requeued by the reconciler":
        Run.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
        reconcile.free_lost_runs()
        Run.objects.filter(pk=run.pk).update(priority=9)
    else:  # its lease has not run out yet
        Run.objects.filter(pk=run.pk).update(leased_by=f"{HOST}/cuda.0 pid {dead_process()}")
    small = ask(project)[0]
    assert begun(pool).pk == small.pk


def dead_process() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def test_between_two_large_runs_the_small_ones_that_waited_have_their_turn(project: Project) -> None:
    ask(project, count=12)
    ask(project, devices=8, count=3)
    pool, order = pool_of(), []
    while Run.objects.filter(state=State.QUEUED).exists():
        while (lease := pool.claim()) is not None:
            order.append(Run.objects.get(pk=lease.pk).devices)
        cancel(Run.objects.filter(state=State.RUNNING), "ended")
    assert order == [8, *[1] * 8, 8, *[1] * 4, 8]


def test_pools_of_two_hosts_have_nothing_to_do_with_each_other(project: Project) -> None:
    ask(project, count=2)
    here = pool_of(1)
    there = DevicePool(
        tuple(Device.report_all("elsewhere", "cuda", some_gpus(1), count=1, sandbox_level="strong")), here.queues
    )
    assert begun(here).device != begun(there).device
    assert here.claim() is None and there.claim() is None


def test_small_runs_share_a_device_where_host_and_project_say_so(project: Project) -> None:
    project.config = read_project_file(FILE + "\n[limits]\ndevice_memory_gb = 60\n").model_dump(mode="json")
    project.save()
    ask(project, count=4)
    pool = pool_of(1, share=3)
    assert begun(pool).device == begun(pool).device
    assert pool.claim() is None, "three of 60 GB are more than a device of 141 GiB lends"
    cancel(Run.objects.filter(state=State.RUNNING), "ended")
    assert begun(pool_of(1)) and pool_of(1).claim() is None, "the host lends no device twice"


def test_a_run_under_a_budget_of_seconds_has_its_device_alone(project: Project) -> None:
    text = FILE + '\n[limits]\ndevice_memory_gb = 10\n[budget]\nkind = "wall_seconds"\namount = 60\n'
    project.config = read_project_file(text).model_dump(mode="json")
    project.save()
    ask(project, count=2)
    pool = pool_of(1, share=3)
    assert begun(pool) and pool.claim() is None


def test_what_a_host_cannot_take_is_said_on_all_of_its_devices_and_taken_back(project: Project) -> None:
    ask(project, devices=8)
    pool = pool_of(4)
    assert pool.claim() is None
    assert {device.refusal for device in Device.objects.all()} == {
        "box at L needs 8 devices at once, this worker has 4. docs/explanation/ladder.md says how to start a larger one."
    }
    ask(project)
    assert begun(pool_of(4)) and not Device.objects.exclude(refusal="").exists()


def test_after_a_run_as_many_are_woken_as_devices_are_free(
    project: Project, django_capture_on_commit_callbacks: object
) -> None:
    ask(project, count=3)
    pool = pool_of(2)
    running = begun(pool)
    with transaction.atomic():
        train.wake_waiting(pool)
        assert Message.objects.filter(task="train").count() == 1
        cancel(Run.objects.filter(pk=running.pk), "enough")
        train.wake_waiting(pool)
        assert Message.objects.filter(task="train").count() == 2
        transaction.set_rollback(True)


def test_pages_show_every_device_that_a_run_has(project: Project) -> None:
    ask(project, devices=8)
    run = begun(pool_of())
    client = Client()
    client.force_login(make_user())
    page = client.get("/fleet/").content.decode()
    assert page.count("training</span>") == 8 and page.count("on 8 devices") == 8
    assert f"{HOST}/cuda.0 and 7 more" in client.get(f"/projects/box/runs/{run.pk}/").content.decode()
    assert "8 of 8" in page, "the bar says how many are busy"


def test_the_row_of_a_device_is_written_once_and_then_only_seen(
    project: Project, django_assert_max_num_queries: object
) -> None:
    pool_of()
    with django_assert_max_num_queries(2):
        pool_of()


def test_a_device_is_locked_until_nothing_of_the_run_before_is_left(tmp_path: Path) -> None:
    with DeviceLocks(tmp_path, "cuda:4,5"), pytest.raises(StillHeld, match="has not let go of device 5"):
        DeviceLocks(tmp_path, "cuda:5,6", wait=0.2).__enter__()
    with DeviceLocks(tmp_path, "cuda:6", wait=0.0), DeviceLocks(tmp_path, "cpu"), DeviceLocks(tmp_path, "cpu"):
        pass
    held = DeviceLocks(tmp_path, "cuda:4").__enter__()
    threading.Timer(0.3, held.__exit__).start()
    with DeviceLocks(tmp_path, "cuda:4", wait=10):
        pass


def test_runs_that_share_a_device_hold_it_together_and_one_alone_waits_for_them(tmp_path: Path) -> None:
    slot = "cuda:MIG-GPU-5f0a11aa/1/0"
    with DeviceLocks(tmp_path, slot, together=True), DeviceLocks(tmp_path, slot, together=True, wait=0.0):
        with pytest.raises(StillHeld):
            DeviceLocks(tmp_path, slot, wait=0.1).__enter__()
        with pytest.raises(StillHeld):
            DeviceLocks(tmp_path, slot, wait=60, stop=lambda: True).__enter__()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("python", "train.py", "--x=1"), ["train.py", "--x=1"]),
        (("train.py",), ["train.py"]),
        (("python", "-m", "scripts.base_train"), ["-m", "scripts.base_train"]),
        (("uv", "run", "train.py"), ["train.py"]),
    ],
)
def test_a_launcher_is_that_of_the_runs_own_interpreter(tmp_path: Path, command: tuple[str, ...], words: list[str]) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to("/usr/bin/true")
    found = program(command, Launch(python=tmp_path, launcher="torchrun"), devices=8)
    python = str(tmp_path / "bin" / "python")
    assert found == [python, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=8", *words]


def test_the_project_file_takes_devices_together() -> None:
    file = read_project_file('[train]\ncommand = ["train.py"]\nlauncher = "torchrun"\ndevice = "cuda"\ndevices = 8\n')
    rung = file.rung("S")
    assert (rung.devices, rung.queue, rung.place) == (8, "scale_up", "8 × cuda")
    assert file.launch().launcher == "torchrun" and file.processes(rung) == 256
    assert ProjectFile().rung("S").devices == 1
    ladder = read_project_file(
        '[train]\ndevice = "cuda"\ndevices = 2\n[[ladder]]\nname = "S"\n[[ladder]]\nname = "L"\nbudget = 2\ndevices = 4\n'
    )
    assert [rung.devices for rung in ladder.rungs] == [2, 4]


def test_a_launcher_gets_a_network_of_its_own_also_on_one_device(tmp_path: Path) -> None:
    from tests.training_samples import Rig, small_corpus

    rig = Rig(tmp_path, small_corpus(tmp_path / "data", pieces=100))
    spec = rig.spec(tmp_path, device="cuda:3", launch=Launch(launcher="torchrun"), processes=8)
    assert confinement_of(spec, Level.strong).loopback
    assert command_line(spec)[1:5] == ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1"]


def test_what_is_tried_takes_gpus_that_no_run_has(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle_gpus, "gpus", lambda: some_gpus(3))
    ask(project, count=2)
    pool = pool_of(3)
    assert begun(pool).device == pool.devices[0]
    with idle_device("cuda") as one, pytest.raises(StillHeld), idle_device("cuda"):
        assert one == "cuda:2"
    with idle_device("cuda", 2) as two:
        assert two == "cuda:1,2"
    begun(pool)
    with pytest.raises(GpusAtWork, match=r"1 of 3 GPUs of this machine are idle, and it takes 2"), idle_device("cuda", 2):
        pass
    monkeypatch.setattr(idle_gpus, "gpus", lambda: some_gpus(0))
    with idle_device("cuda", 2) as none, idle_device("cpu") as core, idle_device("mps") as apple:
        assert (none, core, apple) == ("cuda:0,1", "cpu", "mps"), "the run itself says that there is no such device"
