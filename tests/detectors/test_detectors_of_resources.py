"""Speed, memory and budget: what cannot be true is invalid, what is odd is said, an honest run passes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.detectors_samples import BUDGET, beside, changed, honest
from training.detectors import Circumstances, Finding, RunRecord, device_peak_flops, examine
from training.spec import Budget

WALL = Budget("wall_seconds", 40.0)


def found(run: RunRecord, detector: str, circumstances: Circumstances | None = None) -> list[Finding]:
    return [finding for finding in examine(run, circumstances or beside()) if finding.detector == detector]


def with_facts(run: RunRecord, train_seconds: float | None = None, **facts: float) -> RunRecord:
    return RunRecord(run.series, {**run.facts, **facts}, run.score, train_seconds or run.train_seconds)


@pytest.mark.parametrize(("budget", "level"), [(BUDGET, "info"), (WALL, "warning")])
def test_a_collapse_of_the_speed_matters_where_time_is_the_budget(budget: Budget, level: str) -> None:
    slow = changed(honest(), "tokens_per_second", lambda v: np.where(np.arange(len(v)) > 0.7 * len(v), 0.2 * v, v))

    (finding,) = found(slow, "throughput collapse", beside(budget=budget))

    assert (finding.level, finding.series) == (level, "tokens_per_second")
    assert (finding.step_from or 0) > 1500


def test_a_machine_that_is_busy_for_a_while_is_no_collapse() -> None:
    busy = changed(honest(), "tokens_per_second", lambda v: np.where(np.arange(len(v)) // 20 == 2, 0.2 * v, v))

    assert found(busy, "throughput collapse") == []


def test_a_tail_of_slow_steps_is_found_on_the_clock() -> None:
    slow = changed(honest(), "seconds", lambda v: v + 3.0 * (np.arange(len(v)) // 50))

    (finding,) = found(slow, "step-time tail")

    assert (finding.level, finding.series, finding.step_from) == ("info", "seconds", 254)


def test_steps_that_wait_for_a_validation_are_not_slow_steps() -> None:
    run = honest()
    watched = np.isin(run.curve("seconds").steps, run.curve("val_loss").steps)

    assert found(changed(run, "seconds", lambda v: v + 3.0 * np.cumsum(watched)), "step-time tail") == []


def test_a_logged_step_time_is_used_as_it_is() -> None:
    times = [100.0] * 300
    times[100:110] = [5000.0] * 10

    (finding,) = found(RunRecord({"step_ms": [list(range(300)), times]}), "step-time tail")

    assert (finding.series, finding.step_from, finding.step_to) == ("step_ms", 100, 109)
    assert "takes 5 s or more, the median step 0.1 s" in finding.sentence


def test_memory_that_grows_all_along_is_a_creep() -> None:
    (finding,) = found(changed(honest(), "memory_mb", lambda v: v * np.linspace(1, 2, len(v))), "memory creep")

    assert (finding.level, finding.series) == ("warning", "memory_mb")


@pytest.mark.parametrize(
    "shape",
    [lambda v: v * np.linspace(1, 1.1, len(v)), lambda v: np.where(np.arange(len(v)) > len(v) / 2, 2 * v, v)],
    ids=["a little growth", "one step up"],
)
def test_memory_that_settles_is_no_creep(shape: object) -> None:
    assert found(changed(honest(), "memory_mb", shape), "memory creep") == []  # type: ignore[arg-type]


def test_a_peak_close_to_the_limit_is_a_warning() -> None:
    assert [f.level for f in found(with_facts(honest(), peak_memory_bytes=3.9 * 2**30), "memory peak")] == ["warning", "info"]


def test_a_peak_above_the_baselines_is_information() -> None:
    (finding,) = found(with_facts(honest(), peak_memory_bytes=450.0 * 2**20), "memory peak")

    assert (finding.level, finding.sentence) == ("info", "Peak memory is 0.44 GiB, 22% above the baseline's 0.36 GiB.")


def test_the_peaks_of_a_small_model_do_not_both_read_nought() -> None:
    usual, larger = (with_facts(honest(), peak_memory_bytes=size * 2**20) for size in (1.5, 2.0))

    (finding,) = found(larger, "memory peak", Circumstances([usual]))

    assert finding.sentence == "Peak memory is 2.00 MiB, 33% above the baseline's 1.50 MiB."


@pytest.mark.parametrize(("kind", "fact"), [("train_flops", "flops"), ("tokens", "tokens")])
def test_more_than_two_percent_over_the_budget_is_invalid(kind: str, fact: str) -> None:
    run = honest()
    spent = run.number(fact) or 0.0
    within, over = (Budget(kind, spent / share) for share in (1.019, 1.021))

    assert found(run, "budget overrun", Circumstances(budget=within)) == []
    (finding,) = found(run, "budget overrun", Circumstances(budget=over))
    assert (finding.level, finding.series) == ("invalid", fact)
    assert "2.1% too many" in finding.sentence


def test_a_run_may_spend_what_the_baselines_runs_spend_too() -> None:
    run = honest()
    spent = run.number("flops") or 0.0
    budget = Budget("train_flops", spent / 1.05)
    assert found(run, "budget overrun", beside(budget=budget)) == [], "the baseline overshoots by 5% as well"
    more = with_facts(run, flops=1.09 * spent)
    (finding,) = found(more, "budget overrun", beside(budget=budget))
    assert finding.level == "invalid" and "The baseline's runs spend up to 5.0% too many." in finding.sentence


def test_a_baseline_that_overspends_is_information() -> None:
    run = honest()
    budget = Budget("train_flops", (run.number("flops") or 0.0) / 1.05)
    (finding,) = found(run, "budget overrun", Circumstances(budget=budget, of_baseline=True))
    assert finding.level == "info" and "5.0% too many. Candidates may spend as much." in finding.sentence


def test_an_overrun_that_the_facts_deny_is_read_off_the_curve() -> None:
    run = with_facts(changed(honest(), "flops", lambda v: 2 * v), flops=3.0e11)

    (finding,) = found(run, "budget overrun")

    assert finding.level == "invalid"
    assert 990 < (finding.step_from or 0) < 1010


def test_the_last_validation_is_not_charged_to_a_clock() -> None:
    run = changed(honest(), "seconds", lambda v: np.append(v[:-1], v[-2] + 30))
    budget = Budget("wall_seconds", float(run.curve("seconds").values[-2]))

    assert found(run, "budget overrun", beside(budget=budget)) == []


def test_a_printed_training_time_is_held_against_the_clock() -> None:
    budget = beside(budget=Budget("wall_seconds", 300.0))

    assert found(RunRecord(facts={"training_seconds": 300.4}), "budget overrun", budget) == []
    (finding,) = found(RunRecord(facts={"training_seconds": 330.0}), "budget overrun", budget)
    assert "10.0% too many" in finding.sentence


def test_a_count_that_goes_back_is_invalid() -> None:
    reset = changed(honest(), "flops", lambda v: np.where(np.arange(len(v)) > 200, v - v[200], v))

    (finding,) = found(reset, "budget count")

    assert (finding.level, finding.step_from, finding.step_to) == ("invalid", 1004, 1009)


def test_more_flops_than_the_device_can_do_are_invalid() -> None:
    circumstances = beside(budget=None)

    assert found(with_facts(honest(), flops=3.9e14), "impossible speed", circumstances) == []  # 40 s at 1e13 per second
    (finding,) = found(with_facts(honest(), flops=4.1e14), "impossible speed", circumstances)
    assert finding.level == "invalid"


def test_the_peak_of_a_device_is_generous_and_unknown_devices_have_none() -> None:
    assert device_peak_flops("NVIDIA H200") == 2 * 9.9e14
    assert device_peak_flops("NVIDIA A100-SXM4-80GB", count=8) == 16 * 3.12e14
    assert device_peak_flops("NVIDIA L40S") == 2 * 3.62e14
    assert device_peak_flops("NVIDIA L4") == 2 * 1.21e14
    assert device_peak_flops("Some TPU") is None
    assert device_peak_flops("cpu", cpu_cores=2) == 1.2e13
    assert device_peak_flops("cpu") is None


def test_work_that_was_not_counted_is_a_warning() -> None:
    (finding,) = found(with_facts(honest(), cpu_seconds=75.0), "hidden work")

    assert finding.level == "warning"
    assert "40.3 s are plenty" in finding.sentence


def test_a_model_of_many_small_layers_and_steps_is_merely_slow() -> None:
    many = with_facts(honest(), layers=6, steps=4570, cpu_seconds=19.0 * 4)  # as measured with 6 layers, width 16, batches of 2

    assert found(many, "hidden work") == []


def test_on_a_gpu_the_time_of_the_command_counts() -> None:
    gpu = [with_facts(honest(seed), device_peak_memory_bytes=1e9) for seed in (1, 2, 3)]

    assert found(with_facts(gpu[0], cpu_seconds=500.0), "hidden work", beside(*gpu)) == []
    assert len(found(with_facts(gpu[0], train_seconds=200.0), "hidden work", beside(*gpu))) == 1


def test_under_a_wall_clock_budget_time_outside_the_steps_is_a_warning() -> None:
    assert found(with_facts(honest(), startup_seconds=7.0), "hidden work", beside(budget=WALL)) == []
    (finding,) = found(with_facts(honest(), startup_seconds=20.0), "hidden work", beside(budget=WALL))
    assert "20 s passed outside the timed steps" in finding.sentence
