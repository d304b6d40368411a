"""Device time and energy of a leased GPU come from the driver, here a simulated one."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from research_app.evidence.envelope import envelope
from research_app.loop.envelope_check import spent_by
from tests.factories import make_project, make_run
from training.device_account import DeviceAccount, indices


class Driver:
    """NVML as far as it is called: devices with a load and a power, on a clock of their own."""

    def __init__(self, load: int = 80, watts: float = 300.0, energy: bool = True) -> None:
        self.load, self.watts, self.energy = load, watts, energy
        self.seconds, self.opened, self.closed = 0.0, [], 0  # type: ignore[var-annotated]

    def nvmlInit_v2(self) -> int:
        return 0

    def nvmlShutdown(self) -> int:
        self.closed += 1
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, number: ctypes.c_uint, handle: Any) -> int:
        self.opened.append(number.value)
        handle._obj.value = number.value + 1
        return 0

    def nvmlDeviceGetUtilizationRates(self, _: Any, busy: Any) -> int:
        busy._obj.gpu = self.load
        return 0

    def nvmlDeviceGetMemoryInfo(self, _: Any, memory: Any) -> int:
        memory._obj.used = 5 << 30
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, _: Any, energy: Any) -> int:
        energy._obj.value = int(self.seconds * self.watts * 1000)
        return 0 if self.energy else 3  # not supported


def facts_of(driver: Driver, device: str = "cuda:0", seconds: int = 50) -> dict[str, float | int]:
    with DeviceAccount(device, lambda name: driver) as account:
        start = account.looked
        for tick in range(1, seconds + 1):
            driver.seconds = float(tick)
            account.look(start + tick)
        return account.facts()


def test_busy_time_energy_and_memory_are_the_devices_own() -> None:
    assert facts_of(Driver()) == {
        "device_busy_seconds": 40.0, "device_memory_bytes": 5 << 30, "device_energy_joules": 15_000.0
    }  # fmt: skip


def test_all_devices_of_a_run_are_added_up_and_the_library_is_let_go() -> None:
    driver = Driver()
    assert facts_of(driver, "cuda:0,1")["device_busy_seconds"] == 80.0
    assert (driver.opened, driver.closed) == ([0, 1], 1)


def test_a_device_that_does_not_count_energy_has_no_figure_for_it() -> None:
    assert "device_energy_joules" not in facts_of(Driver(energy=False))


def test_without_a_driver_or_on_a_cpu_nothing_is_said() -> None:
    def missing(name: str) -> Any:
        raise OSError(name)

    with DeviceAccount("cuda:0", missing) as account:
        account.look()
        assert account.facts() == {}
    assert facts_of(Driver(), "cpu") == {}


def test_the_workers_own_choice_of_devices_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert indices("cuda:0,2") == [0, 2]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,7")
    assert indices("cuda:0,2") == [4, 7]


@pytest.mark.django_db
@pytest.mark.parametrize(("driver", "beyond"), [(Driver(), False), (Driver(load=100, watts=700), True)])
def test_a_run_that_kept_the_device_at_work_for_more_than_it_counted_is_beyond(driver: Driver, beyond: bool) -> None:
    project = make_project(bank=0)
    runs = [make_run(project.tip(), seed=seed) for seed in range(1, 8)]
    for run in runs:
        run.facts = run.facts | facts_of(driver if run.seed > 4 else Driver())
    spent = [spent_by(project, run) for run in runs]
    found = envelope(spent[:4], spent[4:], same_minutes=True)
    assert any(each.beyond for each in found) == beyond
    assert {each.quantity for each in found} >= {"device time", "energy of the device"}
