"""The envelope: what the candidate's runs used beside the baseline's, by figures that they do not state themselves."""

from __future__ import annotations

import random
from dataclasses import replace
from statistics import median

import pytest

from research_app.evidence.envelope import (
    ARM_WIDTH,
    OTHER_MINUTES,
    QUARANTINE_WIDTH,
    RUN_WIDTH,
    Measured,
    Spent,
    TimeBudget,
    envelope,
)
from research_app.evidence.health import RunFacts, check

MIB = 1 << 20
RUN = Spent(cpu_seconds=15.0, device_seconds=None, energy=None, memory=350 * MIB, wall_seconds=16.0)
BASELINE = [replace(RUN, cpu_seconds=seconds) for seconds in (14.8, 15.1, 15.0, 15.2)]


def of(quantity: str, measured: list[Measured]) -> Measured:
    return next(each for each in measured if each.quantity == quantity)


def cpu(*seconds: float, same_minutes: bool = True, widened: float = 1.0) -> Measured:
    mine = [replace(RUN, cpu_seconds=each) for each in seconds]
    return of("processor time", envelope(BASELINE, mine, same_minutes=same_minutes, widened=widened))


def test_runs_like_the_baselines_are_within() -> None:
    assert not any(each.beyond for each in envelope(BASELINE, BASELINE, same_minutes=True))


@pytest.mark.parametrize("times", [1.7, 2.0, 3.0])
def test_several_runs_that_work_more_than_the_width_are_beyond(times: float) -> None:
    assert cpu(*(15 * times * spread for spread in (0.97, 1.0, 1.03))).beyond


def test_one_run_among_several_that_works_much_more_is_beyond() -> None:
    """Otherwise the lucky seed of a lottery could train twice as long."""
    found = cpu(15, 15, 15, 15, 15 * 2)
    assert found.beyond and "in one run" in found.sentence


def test_one_run_alone_has_wider_widths() -> None:
    found = cpu(15 * 1.35)
    assert not found.beyond and found.times < found.quarantined_from
    found = cpu(15 * 1.6, 15 * 1.6)
    assert not found.beyond and found.times > found.quarantined_from, "two runs of twice the steps are not simply believed"


def test_several_runs_that_cost_much_more_but_not_too_much_are_quarantined() -> None:
    found = cpu(*[15 * (QUARANTINE_WIDTH + 0.06)] * 4)
    assert not found.beyond and found.times > found.quarantined_from


def test_without_runs_of_the_same_minutes_the_width_is_larger_and_said() -> None:
    found = cpu(*[15 * ARM_WIDTH * 1.1] * 3, same_minutes=False)
    assert not found.beyond and "of other minutes" in found.sentence
    assert cpu(*[15 * (ARM_WIDTH * OTHER_MINUTES + 0.1)] * 3, same_minutes=False).beyond


def test_what_starting_python_takes_dilutes_nothing() -> None:
    """Twice the work in a short run is twice the work, though both import the same libraries."""
    theirs = [replace(RUN, cpu_seconds=5.8, startup=2.7)] * 4
    found = [
        of("processor time", envelope(theirs, [replace(RUN, cpu_seconds=8.9, startup=start)], same_minutes=True))
        for start in (2.7, 5.8)  # done within the steps, or before the first text was drawn
    ]
    assert [each.times for each in found] == [pytest.approx(2.0)] * 2 and all(each.beyond for each in found)


def test_smaller_batches_cost_more_and_a_gain_by_them_is_for_a_person_to_judge() -> None:
    theirs = [replace(run, draws=2000, tokens=135_000) for run in BASELINE]
    shorter = replace(RUN, draws=4600, tokens=135_000)
    warm_up = of("processor time", envelope(theirs, [replace(shorter, cpu_seconds=21.5)] * 4, same_minutes=True))
    assert (
        warm_up.times < warm_up.quarantined_from < of("processor time", envelope(theirs, [RUN] * 4, same_minutes=True)).allowed
    )
    found = of("processor time", envelope(theirs, [replace(shorter, cpu_seconds=28)] * 4, same_minutes=True))
    assert not found.beyond and found.times > found.quarantined_from
    tiny = replace(shorter, cpu_seconds=40, draws=10**9)
    assert of("processor time", envelope(theirs, [tiny] * 4, same_minutes=True)).beyond


def test_a_smaller_model_makes_more_steps_and_the_same_model_does_not() -> None:
    theirs = [replace(run, draws=2000, tokens=135_000, parameters=60_000) for run in BASELINE]
    more = replace(RUN, cpu_seconds=28, draws=5000, tokens=337_000, parameters=60_000)  # its costs were edited, say
    narrow = replace(more, parameters=24_000)
    assert of("processor time", envelope(theirs, [more] * 4, same_minutes=True)).beyond
    assert not of("processor time", envelope(theirs, [narrow] * 4, same_minutes=True)).beyond


def test_a_person_can_widen_it() -> None:
    assert not cpu(*[15 * 1.9] * 3, widened=2.0).beyond
    assert cpu(*[15 * 2.1] * 3, widened=2.0).beyond


def test_processor_time_is_held_against_the_work_that_was_counted() -> None:
    """A run that was resumed, or ended early, has less to show for the same seconds."""
    mine = [replace(RUN, share=0.5)] * 3
    assert of("processor time", envelope(BASELINE, mine, same_minutes=True)).times == pytest.approx(2.0, rel=0.01)


def test_very_short_runs_are_not_compared_in_fractions_of_a_second() -> None:
    short = [replace(RUN, cpu_seconds=0.05)] * 4
    mine = [replace(RUN, cpu_seconds=0.2)] * 4
    assert not any(each.beyond for each in envelope(short, mine, same_minutes=True))


def test_tables_that_fill_memory_are_beyond() -> None:
    mine = [replace(RUN, memory=700 * MIB)]
    found = of("peak memory", envelope(BASELINE, mine, same_minutes=True))
    assert found.beyond and "700 MiB" in found.sentence


def test_under_a_budget_of_time_the_whole_command_may_take_little_longer() -> None:
    mine = [replace(RUN, wall_seconds=seconds) for seconds in (16.5, 22.0)]
    measured = [
        of("time of the whole command", envelope(BASELINE, [one], same_minutes=True, time=TimeBudget(12))) for one in mine
    ]
    assert [each.beyond for each in measured] == [False, True]


@pytest.mark.parametrize(("seconds", "beyond"), [(1.0, False), (12.0, False), (20.0, False), (24.0, True)])
def test_what_ends_within_its_budget_of_time_is_not_beyond_it_however_much_sooner_the_baseline_ends(
    seconds: float, beyond: bool
) -> None:
    """A fixed number of steps takes 1 s on a quiet machine, and 20 s where others have the cores."""
    theirs, mine = ([replace(RUN, wall_seconds=each)] for each in (1.0, seconds))
    found = of("time of the whole command", envelope(theirs, mine, same_minutes=True, time=TimeBudget(20)))
    assert found.beyond == beyond


@pytest.mark.parametrize("quantity", ["device_seconds", "energy"])
def test_on_a_gpu_the_devices_own_figures_are_compared(quantity: str) -> None:
    theirs, mine = ([replace(RUN, cpu_seconds=None, **{quantity: value})] * 3 for value in (100.0, 200.0))
    [found] = [each for each in envelope(theirs, mine, same_minutes=True) if each.quantity != "peak memory"]
    assert found.beyond


def test_what_was_not_measured_in_both_arms_is_not_compared() -> None:
    nothing = Spent(None, None, None, None, None)
    assert envelope([nothing], BASELINE, same_minutes=True) == []


def test_honest_runs_under_a_changing_load_are_within() -> None:
    """With the spread that was measured at load 10 (docs/reference/detectors.md), 2,000 comparisons of honest arms."""
    chance, false = random.Random(4), 0
    for trial in range(2000):
        load = chance.uniform(1.0, 1.4)
        seconds = [15 * load * chance.lognormvariate(0, 0.06) for _ in range(5 + trial % 5)]
        runs = [replace(RUN, cpu_seconds=each) for each in seconds]
        false += any(each.beyond for each in envelope(runs[:4], runs[4:], same_minutes=True))
    assert false <= 10


def test_beyond_the_envelope_evidence_is_invalid_and_costly_gains_are_in_quarantine() -> None:
    facts = RunFacts("d", 1.0, 1.0, "1 cpu", "", "finished", 2.0)
    theirs = [replace(facts, score=2.0 + i / 1000) for i in range(4)]
    mine = [replace(facts, score=1.95 + i / 1000) for i in range(4)]
    assert check(theirs, mine, beyond=["too much"]).state == "invalid"
    assert check(theirs, mine, costly=["much"]).state == "quarantined"
    assert check(mine, theirs, costly=["much"]).state == "healthy", "who gains nothing has nothing to explain"
    assert median([run.score or 0 for run in theirs]) > 1.95


def test_the_width_of_one_run_is_the_larger() -> None:
    assert RUN_WIDTH > ARM_WIDTH > QUARANTINE_WIDTH > 1
