"""Where a curve has no number: NaN or infinite as logged. Lines are broken there, and a mark says so."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Gap:
    """A stretch of one run's curve, from and to which x, and what was logged there: "NaN" or "infinite"."""

    start: float
    end: float
    words: str


def gaps_in(x: Array, y: Array) -> list[Gap]:
    """The stretches of y without a finite number, in order of x, which is finite."""
    bad = ~np.isfinite(y)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], bad, [False]]).astype(np.int8))).reshape(-1, 2)
    return [
        Gap(float(x[first]), float(x[after - 1]), "NaN" if bool(np.isnan(y[first:after]).any()) else "infinite")
        for first, after in edges.tolist()
    ]


def broken(trace: Mapping[str, Any], gaps: Sequence[Gap]) -> dict[str, Any]:
    """A trace with a point that has no value in each gap. Before its first point and behind its last no line is to break."""
    points = {name: list(values) for name, values in trace.items() if name in ("x", "y", "low", "high")}
    for gap in gaps:
        at = bisect_left(points["x"], gap.start)
        if 0 < at < len(points["x"]):
            for name, values in points.items():
                values.insert(at, gap.start if name == "x" else None)
    return {**trace, **points}
