"""Device time, energy and memory of a leased GPU come from the driver, here a simulated one."""

from __future__ import annotations

from typing import Any

import pytest

from research_app.evidence.envelope import envelope
from research_app.loop.judge.envelope_check import spent_by
from tests.factories import make_project, make_run
from tests.nvml_samples import GIB, Driver
from training.device_account import DeviceAccount


def facts_of(driver: Driver, device: str = "cuda:0", seconds: int = 50, pids: tuple[int, ...] = ()) -> dict[str, float | int]:
    driver.seconds = 0.0
    with DeviceAccount(device, lambda name: driver) as account:
        start = account.looked
        for tick in range(1, seconds + 1):
            driver.seconds = float(tick)
            account.look(pids, start + tick)
        return account.facts()


def test_busy_time_energy_and_memory_are_the_devices_own() -> None:
    assert facts_of(Driver()) == {
        "device_busy_seconds": 40.0, "device_memory_bytes": 5 * GIB, "device_energy_joules": 15_000.0
    }  # fmt: skip


def test_all_devices_of_a_run_are_added_up_and_the_library_is_let_go() -> None:
    driver = Driver()
    found = facts_of(driver, "cuda:0,1")
    assert (found["device_busy_seconds"], found["device_memory_bytes"]) == (80.0, 10 * GIB)
    assert (driver.opened, driver.closed) == (["0", "1"], 1)


def test_a_device_that_does_not_count_energy_has_no_figure_for_it() -> None:
    assert "device_energy_joules" not in facts_of(Driver(energy=False))


def test_without_a_driver_or_on_a_cpu_nothing_is_said() -> None:
    def missing(name: str) -> Any:
        raise OSError(name)

    with DeviceAccount("cuda:0", missing) as account:
        account.look()
        assert account.facts() == {}
    assert facts_of(Driver(), "cpu") == {}


def test_the_devices_are_those_of_the_lease_whatever_the_workers_own_mask_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,7")
    driver = Driver()
    facts_of(driver, "cuda:4,7")
    assert driver.opened == ["4", "7"]


def test_a_device_named_by_its_uuid_is_found() -> None:
    driver = Driver()
    assert facts_of(driver, f"cuda:{driver.devices[3].uuid}")["device_busy_seconds"] == 40.0


def test_what_others_held_of_the_device_before_is_not_the_runs() -> None:
    driver = Driver(used=2 * GIB)
    driver.devices[0].used = 30 * GIB
    assert facts_of(driver)["device_memory_bytes"] == 2 * GIB


def test_where_the_driver_tells_processes_apart_only_the_runs_own_are_counted() -> None:
    driver = Driver()
    driver.devices[0].processes = {10: 3 * GIB, 11: GIB, 99: 60 * GIB}
    assert facts_of(driver, pids=(10, 11, 12))["device_memory_bytes"] == 4 * GIB


def test_more_processes_than_there_is_room_for_are_asked_for_again() -> None:
    driver = Driver()
    driver.devices[0].processes = dict.fromkeys(range(1, 301), 1 << 20)
    assert facts_of(driver, pids=tuple(range(1, 301)))["device_memory_bytes"] == 300 << 20


@pytest.mark.django_db
@pytest.mark.parametrize(("driver", "beyond"), [(Driver(), False), (Driver(load=100, watts=700), True)])
def test_a_run_that_kept_the_device_at_work_for_more_than_it_counted_is_beyond(driver: Driver, beyond: bool) -> None:
    project = make_project(reference_runs=0)
    runs = [make_run(project.tip(), seed=seed) for seed in range(1, 8)]
    for run in runs:
        run.facts = run.facts | facts_of(driver if run.seed > 4 else Driver())
    spent = [spent_by(project, run) for run in runs]
    found = envelope(spent[:4], spent[4:], same_minutes=True)
    assert any(each.beyond for each in found) == beyond
    assert {each.quantity for each in found} >= {"device time", "energy of the device"}
