"""Curves ready to draw: runs grouped by what was trained, on the axis that was asked for, at most 1,000 points a trace.

Pure: arrays in, points out. Buckets have edges at multiples of a power of two, so that they stay put while a run grows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Series = Mapping[str, Sequence[Sequence[float]]]  # {name: [[steps], [values]]} of one run

MAX_POINTS = 1000
AXES = {"step": "step", "tokens": "tokens", "flops": "training FLOPs", "seconds": "seconds"}
TITLES = {  # words for a tab, unit
    "val_loss": ("Validation loss", "nats per token"),
    "train_loss": ("Train loss", "nats per token"),
    "grad_norm": ("Grad norm", ""),
    "lr": ("LR", ""),
    "tokens_per_second": ("Tokens/s", "tokens/s"),
    "memory_mb": ("Memory", "MB"),
}


@dataclass(frozen=True)
class Group:
    """Runs that belong together: seeds of one tree."""

    name: str
    role: str  # "baseline" or "candidate": what colours it
    runs: Sequence[Series]


def on_axis(series: Series, name: str, axis: str) -> tuple[Array, Array] | None:
    """One run's curve over step, tokens, FLOPs or seconds, in order of x; None where the run did not log it."""
    steps, values = (np.asarray(part, dtype=float) for part in series.get(name) or ([], []))
    if axis != "step":
        at, what = (np.asarray(part, dtype=float) for part in series.get(axis) or ([], []))
        if len(at) == 0:
            return None
        order = np.argsort(at, kind="stable")
        steps = np.interp(steps, at[order], what[order]) if len(steps) else steps
    keep = np.isfinite(steps) & np.isfinite(values)
    x, y = steps[keep], values[keep]
    order = np.argsort(x, kind="stable")
    return (x[order], y[order]) if len(x) else None


def at_step(series: Series, step: float, axis: str) -> float:
    """Where a step of one run lies on an axis that the run logged."""
    if axis == "step":
        return float(step)
    at, what = (np.asarray(part, dtype=float) for part in series[axis])
    return float(np.interp(step, at, what))


def bucket_width(last: float, buckets: int) -> float:
    """The smallest power of two that cuts 0..last into at most `buckets`."""
    return float(2.0 ** np.ceil(np.log2(max(last, 1e-9) / buckets)))


def extremes(x: Array, y: Array, limit: int = MAX_POINTS) -> tuple[Array, Array]:
    """A single curve thinned to its lowest and highest point per bucket: no peak is lost, at most `limit` points."""
    if len(x) <= limit:
        return x, y
    buckets = np.floor(x / bucket_width(float(x[-1]), limit // 2 - 1)).astype(np.int64)
    edges = np.flatnonzero(np.diff(buckets)) + 1
    keep: set[int] = set()
    for part in np.split(np.arange(len(x)), edges):
        keep |= {int(part[np.argmin(y[part])]), int(part[np.argmax(y[part])])}
    index = np.array(sorted(keep))
    return x[index], y[index]


def mean_and_band(curves: Sequence[tuple[Array, Array]], limit: int = MAX_POINTS) -> tuple[Array, Array, Array]:
    """(x, mean, std) over several runs, where all of them have come; std is the sample standard deviation, n − 1."""
    end = min(float(x[-1]) for x, _ in curves)
    begin = max(float(x[0]) for x, _ in curves)
    grid = np.unique(np.concatenate([x for x, _ in curves]))
    if len(grid) > limit:
        width = bucket_width(float(grid[-1]), limit)
        curves = [_averaged(x, y, width) for x, y in curves]
        grid = np.unique(np.concatenate([x for x, _ in curves]))
        end, begin = min(float(x[-1]) for x, _ in curves), max(float(x[0]) for x, _ in curves)
    grid = grid[(grid >= begin) & (grid <= end)]
    values = np.stack([np.interp(grid, x, y) for x, y in curves])  # (runs, points)
    return grid, values.mean(axis=0), values.std(axis=0, ddof=1)


def _averaged(x: Array, y: Array, width: float) -> tuple[Array, Array]:
    """Mean per bucket, placed at the middle of the bucket."""
    buckets = np.floor(x / width).astype(np.int64)
    found, where = np.unique(buckets, return_inverse=True)
    sums = np.bincount(where, weights=y)
    return np.asarray((found + 0.5) * width, dtype=np.float64), sums / np.bincount(where)


def traces(groups: Sequence[Group], name: str, axis: str) -> list[dict[str, Any]]:
    """What the page draws: per group one mean with its band, or one plain line where there is one run."""
    drawn = []
    for group in groups:
        curves = [curve for run in group.runs if (curve := on_axis(run, name, axis)) is not None]
        if not curves:
            continue
        trace: dict[str, Any] = {"name": group.name, "role": group.role, "n": len(curves)}
        if len(curves) == 1:
            x, y = extremes(*curves[0])
        else:
            x, y, std = mean_and_band(curves)
            trace |= {"low": rounded(y - std), "high": rounded(y + std)}
        drawn.append(trace | {"x": rounded(x, 8), "y": rounded(y)})
    return drawn


def rounded(values: Array, digits: int = 5) -> list[float]:
    """Plain numbers with so many significant digits: a chart needs no more, and the answer is half as long."""
    return [float(f"{value:.{digits}g}") for value in values]


def names(runs: Sequence[Series]) -> list[str]:
    """The series that these runs logged, known ones first."""
    logged = {name for run in runs for name in run} - set(AXES)
    return [name for name in TITLES if name in logged] + sorted(logged - set(TITLES))


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; a single value has none."""
    array = np.asarray(values, dtype=float)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None
