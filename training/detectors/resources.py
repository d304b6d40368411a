"""Detectors of what a run used: speed, memory, and whether the budget it states can be true.

Facts that the run states itself (tokens, flops, loop_seconds) are held against those measured from outside (train_seconds,
cpu_seconds, peak_memory_bytes) and against the baseline's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from research_app.evidence.digits import number
from training import own_budget
from training.budget_kind import BUDGETS
from training.detectors.record import (
    MEMORY,
    SPEED,
    STEP_MS,
    VAL_LOSS,
    Circumstances,
    Curve,
    Finding,
    Level,
    RunRecord,
)
from training.own_budget import reference
from training.reported_by_run import on_accelerator
from training.spec import GIB, Budget

SIZES = ((GIB, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
COLLAPSE = 0.4  # of the run's own best half: a busy machine costs a run up to half of its speed
TAIL = 10.0  # times the median step, in one step of a hundred
FEWEST = 16  # points
CREEP = 0.25  # growth from the second quarter to the last; allocators settle within 10%
CREEP_STEP = 0.03  # from each quarter to the next: one step up is a larger batch, not a leak
NEAR_LIMIT = 0.9
PEAK_MARGIN = 0.10  # the guard on peak memory, see docs/explanation/statistics.md
HIDDEN_WORK = 1.5  # times what the baseline's prices allow for; honest runs of very different shapes used 0.4 to 0.6 of that

# FLOPs per second of dense 16-bit matrix products, from the makers' data sheets; the first name that fits counts.
# 8-bit products reach twice as much, which `device_peak_flops` allows for.
GPU_PEAKS: tuple[tuple[str, float], ...] = (
    ("B300", 2.5e15),
    ("B200", 2.25e15),
    ("H200", 9.9e14),
    ("H100", 9.9e14),
    ("H800", 9.9e14),
    ("A100", 3.12e14),
    ("A800", 3.12e14),
    ("L40S", 3.62e14),
    ("L4", 1.21e14),
    ("A10", 1.25e14),
    ("V100", 1.25e14),
    ("T4", 6.5e13),
    ("RTX 5090", 4.2e14),
    ("RTX 4090", 3.3e14),
    ("RTX 3090", 1.42e14),
)
CPU_CORE_PEAK = 6e12  # FLOPs per second: 16-bit matrix tiles (AMX) do 1,024 per cycle, and no core runs at 6 GHz


def device_peak_flops(name: str, *, count: int = 1, cpu_cores: int = 0) -> float | None:
    """What a device can do at most, in FLOPs per second: a bound of physics, generous on purpose; None when unknown.

    `name` is a GPU's own name ("NVIDIA H200"), of which `count` work together, or "cpu" with its number of cores.
    """
    if name == "cpu":
        return cpu_cores * CPU_CORE_PEAK if cpu_cores > 0 else None
    for model, peak in GPU_PEAKS:
        if re.search(rf"\b{model}\b", name, re.IGNORECASE):
            return 2 * peak * count
    return None


def throughput_collapse(run: RunRecord, circumstances: Circumstances) -> Iterator[Finding]:
    """The speed of the last quarter is below COLLAPSE of the run's faster half."""
    speed = run.curve(SPEED)
    if len(speed) < FEWEST:
        return
    settled = speed.part(0.1, 1)  # the first points count start-up
    end = settled.part(0.75, 1)
    usual, last = float(np.percentile(settled.values, 75)), float(np.median(end.values))
    if usual > 0 and last < COLLAPSE * usual:
        sentence = f"The speed falls from {usual:,.0f} to {last:,.0f} tokens/s{_cost(circumstances.budget)}."
        level = _level_of_speed(circumstances.budget)
        yield Finding("throughput collapse", level, sentence, SPEED, int(end.steps[0]), int(end.steps[-1]))


def step_time_tail(run: RunRecord, circumstances: Circumstances) -> Iterator[Finding]:
    """One step of a hundred takes more than TAIL times the median step."""
    times = _step_times(run)
    if len(times) < 100:  # the 99th percentile of fewer is one step
        return
    middle, tail = (float(value) for value in np.percentile(times.values, [50, 99]))
    if middle > 0 and tail > TAIL * middle:
        slow = times.steps[times.values > TAIL * middle]
        level, cost = _level_of_speed(circumstances.budget), _cost(circumstances.budget)
        sentence = f"One step of a hundred takes {number(tail)} s or more, the median step {number(middle)} s{cost}."
        yield Finding("step-time tail", level, sentence, times.name, int(slow[0]), int(slow[-1]))


def memory_creep(run: RunRecord, _: Circumstances) -> Iterator[Finding]:
    """Memory grows all along the run, by CREEP from its second quarter to its last."""
    memory = run.curve(MEMORY)
    if len(memory) < FEWEST:
        return
    levels = [float(np.median(memory.part(start / 8, (start + 2) / 8).values)) for start in (2, 4, 6)]
    if levels[0] <= 0 or levels[-1] < (1 + CREEP) * levels[0]:
        return
    if all(later > (1 + CREEP_STEP) * earlier for earlier, later in pairwise(levels)):
        part = memory.part(0.25, 1)
        grown = f"Memory grows from {levels[0]:,.0f} to {levels[-1]:,.0f} MiB"
        sentence = f"{grown} and does not settle: a longer run would run out of it."
        yield Finding("memory creep", "warning", sentence, MEMORY, int(part.steps[0]), int(part.steps[-1]))


MEMORIES = (
    ("peak_memory_bytes", "memory"),
    ("device_memory_bytes", "memory of its devices"),
    ("device_peak_memory_bytes", "device memory"),
)


def memory_peak(run: RunRecord, circumstances: Circumstances) -> Iterator[Finding]:
    """Peak memory close to the limit is a warning; more than PEAK_MARGIN above the baseline's is information."""
    peak = run.number("peak_memory_bytes")
    if peak is None:
        return
    limit = circumstances.memory_limit
    if limit and peak > NEAR_LIMIT * limit:
        share = peak / limit
        sentence = f"Memory peaked at {peak / GIB:.2f} GiB, {share:.0%} of its limit: a little more and the run is killed."
        yield Finding("memory peak", "warning", sentence, MEMORY)
    for fact, where in MEMORIES:
        own, usual = run.number(fact), _baseline(circumstances, lambda base, fact=fact: base.number(fact))  # type: ignore[misc]
        if own and usual and own > (1 + PEAK_MARGIN) * usual:
            unit, name = next((each for each in SIZES if usual >= each[0] / 10), SIZES[-1])  # so that 10% more reads as more
            peaks = f"{own / unit:.2f} {name}, {own / usual - 1:.0%} above the baseline's {usual / unit:.2f} {name}"
            sentence = f"Peak {where} is {peaks}."
            yield Finding("memory peak", "info", sentence, MEMORY)


def budget_overrun(run: RunRecord, circumstances: Circumstances) -> Iterator[Finding]:
    """More than is tolerated over the budget, by the run's facts or by its own curve, whichever is more: invalid.

    Tolerated is what Budget.allowed says beside what the baseline's own runs overspend: a target that does not stop in time
    does so in both arms. A run of the baseline that overspends is information.
    """
    budget = circumstances.budget
    if budget is None:
        return
    others = () if circumstances.of_baseline else circumstances.baseline
    spent, theirs, curve = _spent(run, others, budget)
    amount = reference(budget.amount, theirs)
    if spent is None or amount is None:
        return
    usual = max((other / amount - 1 for other in theirs if other is not None), default=0.0)
    if spent <= amount * (1 + budget.allowed(usual)):
        return
    over = curve.steps[curve.values > amount]
    where = (curve.name, int(over[0]), int(over[-1])) if len(over) else (None, None, None)
    unit, whose = budget.unit, "of a budget of" if budget.amount else "where the baseline's runs spend"
    sentence = f"Spent {number(spent, 4)} {unit} {whose} {number(amount, 4)}, {spent / amount - 1:.1%} too many."
    if circumstances.of_baseline:
        yield Finding("budget overrun", "info", f"{sentence} Candidates may spend as much.", *where)
        return
    if usual > (0.0 if budget.own else budget.tolerance):
        sentence += f" The baseline's runs spend up to {usual:.1%} too many."
    yield Finding("budget overrun", "invalid", sentence, *where)


def _spent(run: RunRecord, others: Sequence[RunRecord], budget: Budget) -> tuple[float | None, list[float | None], Curve]:
    """What a run and others spent, and the curve that it is read off."""
    if budget.own:
        mine, *theirs = own_budget.spent([(each.facts, each.train_seconds) for each in (run, *others)], budget.counts)
        return mine, theirs, Curve("", np.empty(0, np.int64), np.empty(0))
    spent, curve = spent_by(run, budget)
    return spent, [spent_by(other, budget)[0] for other in others], curve


def spent_by(run: RunRecord, budget: Budget) -> tuple[float, Curve]:
    """What a run spent of the quantity that its budget counts, and the curve that it is read off.

    A clock is read off the curve, without its last point, where there is one: the last validation is free of charge.
    """
    curve = run.curve(budget.series)
    fact = max((run.number(name) or 0.0 for name in budget.what.facts), default=0.0)
    if budget.is_time and len(curve) > 1:
        curve, fact = Curve(curve.name, curve.steps[:-1], curve.values[:-1]), 0.0
    return max(fact, float(curve.values.max()) if len(curve) else 0.0), curve


def shrinking_counts(run: RunRecord, _: Circumstances) -> Iterator[Finding]:
    """What was spent so far can only grow: a count that shrinks was reset, and the budget with it."""
    for name in (kind.series for kind in BUDGETS.values() if kind.series):
        curve = run.curve(name)
        back = np.flatnonzero(np.diff(curve.values) < 0)
        if len(back):
            before, after = curve.values[back[0] : back[0] + 2]
            start, end = (int(step) for step in curve.steps[back[0] : back[0] + 2])
            sentence = (
                f"The count of {name} goes back from {number(before, 4)} to {number(after, 4)} at step "
                f"{end}: it was reset while training."
            )
            yield Finding("budget count", "invalid", sentence, name, start, end)


def impossible_speed(run: RunRecord, circumstances: Circumstances) -> Iterator[Finding]:
    """More FLOPs than the device can do in the time that the whole command took, by our clock: invalid."""
    flops, seconds, peak = run.number("flops"), run.train_seconds, circumstances.peak_flops
    if flops is None or not seconds or peak is None:
        return
    if flops > peak * seconds:
        sentence = (
            f"States {number(flops)} FLOPs in {number(seconds)} s, {number(flops / seconds)} per "
            f"second; the device can do {number(peak)} "
            "at most. The count is not true."
        )
        yield Finding("impossible speed", "invalid", sentence, "flops")


def hidden_work(run: RunRecord, circumstances: Circumstances) -> Iterator[Finding]:
    """Time that the stated work does not explain: training that the counter did not see, or much slower code.

    Allowed are every FLOP at the baseline's price and, on top, every step at the baseline's price per layer, which is
    twice what the baseline itself uses; HIDDEN_WORK times that is the limit. Under a wall-clock budget nothing can be hidden
    but before the first step and after the last.
    """
    if circumstances.budget is not None and circumstances.budget.is_time:
        yield from _outside_the_loop(run, circumstances)
        return
    measured = _seconds(run)
    prices = [price for base in circumstances.baseline if (price := _price(base)) is not None]
    flops, steps = run.number("flops"), run.number("steps")
    if measured is None or not prices or not flops or not steps:
        return
    per_flop, per_step = (float(np.median(column)) for column in zip(*prices, strict=True))
    allowed = flops * per_flop + steps * _layers(run) * per_step
    if measured > HIDDEN_WORK * allowed:
        sentence = (
            f"Used {number(measured)} s for {number(flops)} FLOPs in {steps:,.0f} steps; at the "
            f"baseline's speed {number(allowed)} s are "
            "plenty. Either it is much slower, or it did work that was not counted."
        )
        yield Finding("hidden work", "warning", sentence)


def _outside_the_loop(run: RunRecord, circumstances: Circumstances) -> Iterator[Finding]:
    own = run.number("startup_seconds")
    usual = _baseline(circumstances, lambda base: base.number("startup_seconds"))
    if own is None or usual is None or circumstances.budget is None:
        return
    if own - usual > 0.05 * circumstances.budget.amount + usual:
        sentence = (
            f"{number(own)} s passed outside the timed steps, {number(usual)} s in the baseline: the clock did not count them."
        )
        yield Finding("hidden work", "warning", sentence)


def _seconds(run: RunRecord) -> float | None:
    """Processor seconds of a run on a CPU, which waiting does not lengthen; seconds of the command on a GPU."""
    return run.train_seconds if on_accelerator(run.facts) else run.number("cpu_seconds")


def _layers(run: RunRecord) -> float:
    return max(1.0, run.number("layers") or 1.0)


def _price(run: RunRecord) -> tuple[float, float] | None:
    """Seconds per FLOP, and per step and layer."""
    seconds, flops, steps = _seconds(run), run.number("flops"), run.number("steps")
    return (seconds / flops, seconds / steps / _layers(run)) if seconds and flops and steps else None


def _step_times(run: RunRecord) -> Curve:
    """Seconds per step: as logged, or from the clock between two points. Steps with a validation in them are left out."""
    logged = run.curve(STEP_MS)
    if len(logged):
        return Curve(STEP_MS, logged.steps[1:], logged.values[1:] / 1000)  # the first compiles
    clock = run.curve("seconds")
    if len(clock) < 2:
        return clock
    times = np.diff(clock.values) / np.diff(clock.steps)
    ordinary = ~np.isin(clock.steps[1:], run.curve(VAL_LOSS).steps)
    return Curve("seconds", clock.steps[1:][ordinary], times[ordinary])


def _level_of_speed(budget: Budget | None) -> Level:
    """Speed decides how much is trained only where time is the budget."""
    return "warning" if budget is not None and budget.is_time else "info"


def _cost(budget: Budget | None) -> str:
    return "; time is the budget, so it trained less" if budget is not None and budget.is_time else ""


def _baseline(circumstances: Circumstances, number: Callable[[RunRecord], float | None]) -> float | None:
    """The median of a number over the baseline's runs; None when none has it."""
    known = [value for base in circumstances.baseline if (value := number(base)) is not None]
    return float(np.median(known)) if known else None
