"""The memory of a leased device has a limit, is what the guard compares, and is not mistaken for that of others."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from research_app.loop.judge.arms import Arms
from research_app.loop.judge.guard_check import guards_of
from research_app.loop.judge.same_minutes import of_same_minutes, share_of_processor
from research_app.loop.train.train import spec_of
from research_app.models import Device, Project
from research_app.project_file.project_file import ProjectFileError, read_project_file
from tests.factories import make_candidate, make_device, make_project, make_run
from tests.nvml_samples import GIB, Driver
from tests.training_samples import Rig, small_corpus
from training import runner
from training.device_account import DeviceAccount
from training.spec import Outcome


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    folder = tmp_path_factory.mktemp("memory")
    return Rig(folder, small_corpus(folder / "data"))


def with_driver(monkeypatch: pytest.MonkeyPatch, driver: Driver) -> None:
    """Let runs have this driver; half a second after one began, it takes what the driver calls `used`."""

    def account(device: str, *, shares: bool = False) -> DeviceAccount:
        made = DeviceAccount(device, lambda name: driver, shares=shares)
        threading.Timer(0.5, lambda: setattr(driver, "seconds", 1.0)).start()
        return made

    monkeypatch.setattr(runner, "DeviceAccount", account)


def test_a_run_beyond_its_device_memory_is_ended_and_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(used=30 * GIB)
    driver.devices[3].used = 2 * GIB  # somebody else's
    with_driver(monkeypatch, driver)
    source = "import time\nprint('allocating', flush=True)\ntime.sleep(60)\nprint('score: 1')\n"
    result = rig.run_script(source, device="cuda:3", device_memory_limit=24 * GIB)
    assert result.outcome is Outcome.out_of_memory and result.train_seconds < 30
    said = "It held 30 GiB of its device's memory, and its project file allows 24 GiB ([limits] device_memory_gb)"
    assert result.reason.startswith(said)
    assert "allocating" in result.reason
    assert result.facts["device_memory_bytes"] == 30 * GIB and result.facts["device_kind"] == "cuda"


def test_a_run_within_it_goes_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    with_driver(monkeypatch, Driver(used=20 * GIB))
    result = rig.run_script("import time\ntime.sleep(1.5)\nprint('score: 1')\n", device="cuda:3", device_memory_limit=24 * GIB)
    assert result.outcome is Outcome.completed


def looked(driver: Driver, pids: tuple[int, ...], shares: bool = True) -> DeviceAccount:
    account = DeviceAccount("cuda:0", lambda name: driver, shares=shares)
    driver.seconds = 1.0
    account.look(pids, account.looked + 1)
    return account


def test_beside_others_a_run_answers_for_its_own_processes_alone() -> None:
    driver = Driver()
    driver.devices[0].processes = {10: 3 * GIB, 99: 60 * GIB}
    account = looked(driver, (10,))
    assert account.beyond(4 * GIB) == "" and account.beyond(2 * GIB).startswith("held 3 GiB")
    assert account.facts() == {"device_memory_bytes": 3 * GIB, "device_shared": 1}, "busy time and energy are nobody's alone"


def test_beside_others_that_the_driver_does_not_tell_apart_nobody_is_blamed() -> None:
    account = looked(Driver(used=80 * GIB), (10,))
    assert account.beyond(GIB) == "" and account.facts() == {"device_shared": 1}


def test_a_process_of_somebody_else_on_a_device_that_was_lent_alone_is_noticed() -> None:
    driver = Driver()
    driver.devices[0].processes = {10: GIB, 77: GIB}
    assert looked(driver, (10,), shares=False).facts() == {"device_memory_bytes": GIB, "device_shared": 1}


def test_several_devices_are_held_to_the_limit_one_by_one() -> None:
    driver = Driver(used=10 * GIB)
    account = DeviceAccount("cuda:0,1", lambda name: driver)
    driver.seconds = 1.0
    account.look()
    assert account.beyond(15 * GIB) == "" and account.facts()["device_memory_bytes"] == 20 * GIB


@pytest.mark.django_db
def test_the_limit_comes_from_the_project_file(tmp_path: Any) -> None:
    project: Project = make_project("box")
    project.config = read_project_file('[train]\ndevice = "cuda"\n[limits]\ndevice_memory_gb = 80\n').model_dump(mode="json")
    run = make_run(project.tip(), seed=77, device=make_device("box/cuda.5", kind="cuda", mask="5"))
    run.project = project
    spec = spec_of(run, [Device.objects.get()], tmp_path, tmp_path)
    assert (spec.device_memory_limit, spec.device, spec.shares_device) == (80 * GIB, "cuda:5", False)
    with pytest.raises(ProjectFileError, match=r"line 2: limits.device_memory_gb"):
        read_project_file("[limits]\ndevice_memory_gb = -1\n")


def arms_of(project: Project, baseline: dict[str, float], candidate: dict[str, float]) -> Arms:
    made = make_candidate(project)
    for patch_set, facts in ((None, baseline), (made.patch_set, candidate)):
        for seed in (501, 502, 503):
            run = make_run(project.tip(), patch_set=patch_set, seed=seed)
            run.facts = {**run.facts, "device_memory_said": 1e9, **facts}
            run.save()
    runs = project.runs.filter(seed__in=(501, 502, 503))
    return Arms(tuple(runs.filter(patch_set=None)), tuple(runs.exclude(patch_set=None)))


@pytest.mark.django_db
def test_on_a_gpu_the_guard_compares_the_memory_of_the_leased_device() -> None:
    project = make_project("box")
    arms = arms_of(project, {"device_memory_bytes": 10 * GIB}, {"device_memory_bytes": 20 * GIB})
    rows = {row.metric: row for row in guards_of(project, arms, of_same_minutes(arms.baseline, arms.candidate))}
    assert (rows["peak_memory"].baseline, rows["peak_memory"].candidate) == (10 * GIB, 20 * GIB)
    assert not rows["peak_memory"].note and "device_memory" not in rows, "what was measured is not asked of the runs as well"


@pytest.mark.django_db
def test_where_no_driver_tells_it_the_host_is_compared_and_what_runs_say() -> None:
    project = make_project("box")
    arms = arms_of(project, {}, {"device_memory_bytes": 20 * GIB})
    rows = {row.metric: row for row in guards_of(project, arms, of_same_minutes(arms.baseline, arms.candidate))}
    assert (
        "device_memory" in rows
        and rows["peak_memory"].candidate != 20 * GIB
        and "said by the run" in rows["device_memory"].note
    )


@pytest.mark.django_db
def test_speed_beside_another_run_is_not_compared_with_speed_alone() -> None:
    project = make_project("box")
    arms = arms_of(project, {"device_memory_bytes": GIB}, {"device_memory_bytes": GIB, "device_shared": 1})
    assert "not comparable" in of_same_minutes(arms.baseline, arms.candidate).why_not
    assert share_of_processor(arms.baseline) is None, "the processor is not what a run on a GPU waits for"


def test_a_run_on_a_cpu_cannot_say_that_it_had_a_gpu(rig: Rig) -> None:
    pattern = r"^score: (?P<score>\S+)|^gpu (?P<device_peak_memory_bytes>\d+) (?P<device_kind>\S+)"
    from training.spec import SelfReported

    result = rig.run_script("print('gpu 5 7')\nprint('score: 1')\n", scoring=SelfReported("pattern", "score", pattern))
    assert result.outcome is Outcome.completed and not {"device_peak_memory_bytes", "device_kind"} & set(result.facts)
