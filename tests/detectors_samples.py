"""Runs as detectors see them: the curves of an honest default run, with its noise, and what can be done to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from training.detectors import Circumstances, RunRecord
from training.detectors.record import Columns
from training.spec import Budget

POINTS, STEPS_PER_POINT, TOKENS_PER_STEP = 400, 5, 512
BUDGET = Budget("train_flops", 3.2e11)
Values = NDArray[np.floating]
Change = Callable[[Values], Values]


def honest(seed: int = 1, noise: float = 0.045, points: int = POINTS, **facts: float) -> RunRecord:
    """A run of the default target as measured on a busy machine: a loss with 4 to 6% of noise, an uneven speed."""
    random = np.random.default_rng(seed)
    progress = np.linspace(0, 1, points)
    level = 2.05 + 3.4 * np.exp(-progress * 9) + 0.35 * (1 - progress)
    steps = np.arange(points) * STEPS_PER_POINT + STEPS_PER_POINT - 1
    watched = np.unique(np.linspace(0, points - 1, 25).astype(int))
    flushed = np.arange(0, points, 4)
    last = float(steps[-1] + 1)
    series: dict[str, Columns] = {
        "train_loss": columns(steps, level * np.exp(noise * random.standard_t(6, points))),
        "val_loss": columns(steps[watched], 1.055 * level[watched] * np.exp(0.004 * random.standard_normal(len(watched)))),
        "grad_norm": columns(steps, (0.6 + 0.9 * progress**2) * np.exp(0.25 * random.standard_normal(points))),
        "lr": columns(steps, 8e-3 * np.minimum(progress / 0.05 + 0.01, 0.5 * (1 + np.cos(np.pi * progress)))),
        "tokens_per_second": columns(steps[flushed], 30_000 * random.uniform(0.35, 1.0, len(flushed))),
        "memory_mb": columns(steps[flushed], 350 + 8 * random.standard_normal(len(flushed)) - 30 * (flushed == 0)),
        "seconds": columns(steps, np.cumsum(random.gamma(4, 0.02, points))),
        "tokens": columns(steps, (steps + 1.0) * TOKENS_PER_STEP),
        "flops": columns(steps, BUDGET.amount * (steps + 1) / last),
    }
    stated: Mapping[str, float] = {
        "steps": last,
        "tokens": last * TOKENS_PER_STEP,
        "flops": BUDGET.amount,
        "layers": 2,
        "cpu_seconds": 19.0 + random.standard_normal(),
        "peak_memory_bytes": 370.0 * 2**20,
        "startup_seconds": 4.0 + random.standard_normal(),
    }
    told = series["val_loss"][1][-1]
    assert told is not None
    score = told / np.log(2) / 1.062 * (1 + 0.004 * random.standard_normal())
    return RunRecord(series, {**stated, **facts}, score=float(score), train_seconds=40.0)


def columns(steps: NDArray[np.int64], values: Values) -> Columns:
    return [steps.tolist(), [float(f"{value:.6g}") for value in values]]


def changed(run: RunRecord, name: str, change: Change) -> RunRecord:
    """The run with the values of one series changed."""
    steps, values = run.series[name]
    after = change(np.array(values, dtype=np.float64)).tolist()
    return RunRecord({**run.series, name: [steps, after]}, run.facts, run.score, run.train_seconds)


def beside(*baseline: RunRecord, budget: Budget | None = BUDGET) -> Circumstances:
    """Circumstances with a baseline: three honest runs where none is given."""
    return Circumstances(baseline or tuple(honest(seed) for seed in (101, 102, 103)), budget, 1e13, 4 << 30)
