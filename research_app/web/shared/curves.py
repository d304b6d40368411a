"""Curves ready to draw: runs grouped by what was trained, on the axis that was asked for, at most 1,000 points a trace.

Pure: arrays in, points out. Every bucket keeps its lowest and its highest point, and has edges at multiples of a power of
two: no spike is lost, and what is drawn stays put while a run grows. Smoothing is for the eye alone; no verdict reads it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import stdtrit

from research_app.web.shared.gaps import Gap, broken, gaps_in
from research_app.web.shared.query_numbers import real

Array = NDArray[np.float64]
Curve = tuple[Array, Array]  # x and y
Logged = Mapping[str, Curve]  # {series: (steps, values)} of one run

MAX_POINTS = 1000  # of a trace
SHARED_POINTS = 32_000  # of all traces of a panel together, as long as each keeps LEAST_POINTS
LEAST_POINTS = 240
SETTLED = 0.2  # clipping looks at what comes after this share of a run: the first drop is not what is compared
INNER = (0.005, 0.995)  # and at this range of its values
CLIP_SAMPLE = 200_000  # values that the clipping is read off, of however many
AXES = {"step": "step", "tokens": "tokens", "flops": "training FLOPs", "seconds": "seconds"}
BANDS = {"std": "mean ± std", "se": "mean ± standard error", "interval": "mean, 95% interval", "all": "every run"}
SMOOTHINGS = (0.0, 0.6, 0.9, 0.97, 0.99)
TITLES = {  # words for a tab, unit
    "val_loss": ("Validation loss", "nats per token"),
    "train_loss": ("Train loss", "nats per token"),
    "grad_norm": ("Gradient norm", ""),
    "tokens_per_second": ("Tokens/s", "tokens/s"),
    "memory_mb": ("Memory", "MB"),
    "lr": ("Learning rate", ""),
}


@dataclass(frozen=True)
class Group:
    """Runs that belong together: seeds of one tree. `base` is the key of the group that it is compared with."""

    key: str
    name: str
    role: str  # "baseline" or "candidate": what colours it
    runs: Sequence[Logged]
    seeds: Sequence[int] = ()
    base: str = ""


@dataclass(frozen=True)
class View:
    """What a panel shows. `start` and `end` bound x where a person zoomed in."""

    axis: str = "step"
    band: str = "std"
    smoothing: float = 0.0
    log_x: bool = False
    difference: bool = False
    start: float | None = None
    end: float | None = None
    reference: str = ""  # key of the group that differences are to; empty: each group's own base

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "View":
        """From an address. A value that is not on offer is left out, never an error."""
        axis, band = query.get("x", ""), query.get("band", "")
        smoothing, start, end = (real(query.get(name)) for name in ("smooth", "from", "to"))
        zoomed = start is not None and end is not None and start < end
        return cls(
            axis=axis if axis in AXES else "step",
            band=band if band in BANDS else "std",
            smoothing=smoothing if smoothing in SMOOTHINGS else 0.0,
            log_x="x" in query.get("log", ""),
            difference=query.get("view") == "difference",
            start=start if zoomed else None,
            end=end if zoomed else None,
            reference=query.get("ref", ""),
        )


def on_axis(logged: Logged, name: str, axis: str) -> Curve | None:
    """One run's curve over step, tokens, FLOPs or seconds, in order of x; None where the run did not log it."""
    curve = along(logged, name, axis)
    if curve is None:
        return None
    keep = np.isfinite(curve[1])
    x, y = curve[0][keep], curve[1][keep]
    return (x, y) if len(x) else None


def along(logged: Logged, name: str, axis: str) -> Curve | None:
    """The same with values that are no numbers, as they were logged."""
    if name not in logged:
        return None
    x, y = logged[name]
    if axis != "step":
        if axis not in logged or len(logged[axis][0]) == 0:
            return None
        at, what = _ordered(*logged[axis])
        x = np.interp(x, at, what)
    there = np.isfinite(x)
    return _ordered(x[there], y[there])


def gaps_of(logged: Logged, name: str, axis: str) -> list[Gap]:
    """Where one run's curve has no finite number."""
    curve = along(logged, name, axis)
    return gaps_in(*curve) if curve is not None else []


def _ordered(x: Array, y: Array) -> Curve:
    if len(x) < 2 or bool(np.all(x[1:] >= x[:-1])):
        return x, y
    order = np.argsort(x, kind="stable")
    return x[order], y[order]


def at_step(logged: Logged, step: float, axis: str) -> float:
    """Where a step of one run lies on an axis that the run logged."""
    if axis == "step":
        return float(step)
    return float(np.interp(step, *_ordered(*logged[axis])))


def bucket_width(span: float, buckets: int) -> float:
    """The smallest power of two that cuts a span into at most `buckets`."""
    return float(2.0 ** np.ceil(np.log2(max(span, 1e-9) / buckets)))


def kept(x: Array, columns: Sequence[Array], view: View, limit: int) -> NDArray[np.intp]:
    """Which points stay: per bucket the lowest and the highest of every column; at most `limit`.

    Of a window one point beyond each end stays too, so that lines leave the picture instead of ending in it.
    """
    inside = np.ones(len(x), dtype=bool)
    if view.start is not None and view.end is not None:
        inside = (x >= view.start) & (x <= view.end)
    beyond = [np.flatnonzero(side)[at] for side, at in _sides(x, view) if side.any()]
    where = np.flatnonzero(inside)
    if len(where) + len(beyond) > limit:
        where = where[_extremes(*_spread(x[where], view), [column[where] for column in columns], limit)]
    return np.unique(np.concatenate([where, np.asarray(beyond, dtype=np.intp)]))


def _sides(x: Array, view: View) -> list[tuple[NDArray[np.bool_], int]]:
    if view.start is None or view.end is None:
        return []
    return [(x < view.start, -1), (x > view.end, 0)]


def _spread(x: Array, view: View) -> tuple[Array, float]:
    """Positions along the drawn axis, and how far they reach: a window's width, or from 0 to the newest point."""
    if view.log_x:
        x = np.log2(np.maximum(x, np.finfo(float).tiny))
        return x, float(x[-1] - x[0])
    if view.start is not None and view.end is not None:
        return x, view.end - view.start
    return x, min(float(x[-1]) - min(float(x[0]), 0.0), float(np.finfo(float).max))


def _extremes(x: Array, span: float, columns: Sequence[Array], limit: int) -> NDArray[np.intp]:
    """Indices of the lowest and the highest value of every column in every bucket, in order."""
    buckets = np.floor(x / bucket_width(span, max(1, limit // (2 * len(columns)) - 2))).astype(np.int64)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(buckets)) + 1])
    sizes = np.diff(np.concatenate([starts, [len(x)]]))
    number = np.repeat(np.arange(len(starts)), sizes)
    extremes = []
    for column in columns:
        for extreme in (np.minimum, np.maximum):
            hits = np.flatnonzero(column == extreme.reduceat(column, starts)[number])
            extremes.append(hits[np.unique(number[hits], return_index=True)[1]])
    return np.unique(np.concatenate(extremes))


def smoothed(y: Array, weight: float) -> Array:
    """Exponential moving average over the logged points, without the pull towards 0 at its beginning."""
    if not weight:
        return y
    sums = lfilter([1.0 - weight], [1.0, -weight], y)
    return np.asarray(sums / (1.0 - weight ** np.arange(1, len(y) + 1)), dtype=np.float64)


def together(curves: Sequence[Curve]) -> tuple[Array, Array]:
    """(x, values of all curves as rows) where all of them have come: on their common points, in between by straight lines."""
    first = curves[0][0]
    if all(len(x) == len(first) and np.array_equal(x, first) for x, _ in curves):
        return first, np.stack([y for _, y in curves])
    begin, end = max(float(x[0]) for x, _ in curves), min(float(x[-1]) for x, _ in curves)
    grid = np.unique(np.concatenate([x for x, _ in curves]))
    grid = grid[(grid >= begin) & (grid <= end)]
    return grid, np.stack([np.interp(grid, x, y) for x, y in curves])


@dataclass(frozen=True)
class Summary:
    """Mean of a group with the half width of its band; a single run has none."""

    x: Array
    mean: Array
    std: Array | None
    n: int

    @classmethod
    def of(cls, curves: Sequence[Curve]) -> "Summary":
        """`std` is the sample standard deviation, n − 1."""
        x, values = together(curves)
        if len(curves) == 1:
            return cls(x, values[0], None, 1)
        return cls(x, values.mean(axis=0), values.std(axis=0, ddof=1), len(curves))

    @property
    def error(self) -> Array | None:
        """Standard error of the mean."""
        return None if self.std is None else self.std / np.sqrt(self.n)

    def half(self, band: str) -> Array | None:
        """Half width of the band. The interval is Student's, 95%."""
        if self.error is None or band == "std":
            return self.std
        return self.error * (1.0 if band == "se" else float(stdtrit(self.n - 1, 0.975)))

    def at(self, x: Array) -> tuple[Array, Array | None]:
        """Mean and standard error at other points; NaN outside."""
        error = None if self.error is None else np.interp(x, self.x, self.error)
        return np.interp(x, self.x, self.mean, left=np.nan, right=np.nan), error


def less(mine: Summary, base: Summary, band: str) -> tuple[Array, Array, Array | None]:
    """(x, difference of means, half width) where both have come. Std is the group's own; errors of both sides add up."""
    mean, error = base.at(mine.x)
    there = np.isfinite(mean)
    difference = (mine.mean - mean)[there]
    if band == "std" or mine.error is None or error is None:
        return mine.x[there], difference, None if mine.std is None or band != "std" else mine.std[there]
    squares = mine.error**2, error**2
    both = np.sqrt(squares[0] + squares[1])
    if band == "interval":  # Welch
        with np.errstate(invalid="ignore", divide="ignore"):
            degrees = both**4 / (squares[0] ** 2 / (mine.n - 1) + squares[1] ** 2 / (base.n - 1))
        both = both * stdtrit(np.where(np.isfinite(degrees), np.maximum(degrees, 1.0), 1.0), 0.975)
    return mine.x[there], difference, both[there]


@dataclass(frozen=True)
class Line:
    """One trace before it is thinned: its points, the edges of its band, and what it was before smoothing."""

    about: Mapping[str, Any]
    x: Array
    y: Array
    half: Array | None = None
    raw: Array | None = None
    gaps: Sequence[Gap] = ()

    def told(self, view: View, limit: int) -> dict[str, Any]:
        """Plain numbers, thinned."""
        columns = [self.y] if self.half is None else [self.y, self.y - self.half, self.y + self.half]
        at = kept(self.x, columns, view, limit)
        point = {**self.about, "x": rounded(self.x[at], 8), "y": rounded(self.y[at])}
        if self.half is not None:
            point |= {"low": rounded(columns[1][at]), "high": rounded(columns[2][at])}
        point = broken(point, self.gaps)
        if self.raw is not None:
            at = kept(self.x, [self.raw], view, limit)
            point["raw"] = broken({"x": rounded(self.x[at], 8), "y": rounded(self.raw[at])}, self.gaps)
        return point


@dataclass(frozen=True)
class Seeds:
    """The runs of a group that logged a series: as logged, smoothed, and the summaries of both."""

    group: Group
    seeds: Sequence[int]
    plain: Sequence[Curve]
    smooth: Sequence[Curve]
    gaps: Sequence[Sequence[Gap]] = ()  # of each of them

    @classmethod
    def of(cls, group: Group, name: str, view: View) -> "Seeds":
        """On the axis of the view."""
        seeds = group.seeds or range(1, len(group.runs) + 1)
        curves = [(seed, on_axis(run, name, view.axis)) for seed, run in zip(seeds, group.runs, strict=True)]
        plain = [curve for _, curve in curves if curve is not None]
        smooth = [(x, smoothed(y, view.smoothing)) for x, y in plain]
        there = [(seed, run) for (seed, curve), run in zip(curves, group.runs, strict=True) if curve is not None]
        return cls(group, [seed for seed, _ in there], plain, smooth, [gaps_of(run, name, view.axis) for _, run in there])

    @cached_property
    def raw(self) -> Summary:
        return Summary.of(self.plain)

    @cached_property
    def summary(self) -> Summary:
        return Summary.of(self.smooth)

    @property
    def holes(self) -> list[Gap]:
        """Those of all runs: a mean over runs of which one has no number is none."""
        return sorted((gap for gaps in self.gaps for gap in gaps), key=lambda gap: gap.start)

    @property
    def about(self) -> dict[str, Any]:
        return {"key": self.group.key, "name": self.group.name, "role": self.group.role, "n": len(self.plain)}


def lines_of(groups: Sequence[Group], name: str, view: View) -> list[Line]:
    """The traces of a panel at full resolution: per group one mean with its band, or each of its runs."""
    arms = {group.key: arm for group in groups if (arm := Seeds.of(group, name, view)).plain}
    lines: list[Line] = []
    for arm in arms.values():
        base = arms.get(view.reference) or (arms.get(arm.group.base) if arm.group.base else arm)
        if not view.difference:
            lines += _plain_lines(arm, view)
        elif base is not None:
            lines += _differences(arm, base, view)
    return [line for line in lines if len(line.x)]


def _plain_lines(arm: Seeds, view: View) -> list[Line]:
    shadows = bool(view.smoothing)
    if view.band != "all":
        mean = arm.summary
        return [Line(arm.about, mean.x, mean.mean, mean.half(view.band), arm.raw.mean if shadows else None, arm.holes)]
    each = zip(arm.seeds, arm.plain, arm.smooth, arm.gaps, strict=True)
    return [
        Line({**arm.about, "seed": seed}, x, y, None, raw if shadows else None, gaps) for seed, (_, raw), (x, y), gaps in each
    ]


def _differences(arm: Seeds, base: Seeds, view: View) -> list[Line]:
    """The same, less the mean of the base. A base's own mean is the line at 0, with its standard deviation around it."""
    shadows = bool(view.smoothing)
    if view.band == "all":
        lines = []
        for seed, (_, raw), (x, y), gaps in zip(arm.seeds, arm.plain, arm.smooth, arm.gaps, strict=True):
            mean = base.summary.at(x)[0]
            there = np.isfinite(mean)
            shadow = (raw - base.raw.at(x)[0])[there] if shadows else None
            lines.append(Line({**arm.about, "seed": seed}, x[there], (y - mean)[there], None, shadow, gaps))
        return lines
    if arm is base:
        mine = arm.summary
        return [Line(arm.about, mine.x, np.zeros(len(mine.x)), mine.std if view.band == "std" else None)]
    x, y, half = less(arm.summary, base.summary, view.band)
    shadow = less(arm.raw, base.raw, view.band)[1] if shadows else None
    return [Line(arm.about, x, y, half, shadow, [*arm.holes, *base.holes])]


@dataclass(frozen=True)
class Picture:
    """What a panel draws, and the range of y that leaves out what would flatten the rest."""

    traces: Sequence[Mapping[str, Any]]
    clip: tuple[float, float] | None
    outside: int  # points that lie outside of it


def picture(groups: Sequence[Group], name: str, view: View) -> Picture:
    """The traces of one series, thinned."""
    with np.errstate(over="ignore", invalid="ignore"):  # logged numbers may be of any size
        return _picture(lines_of(groups, name, view), view)


def _picture(lines: Sequence[Line], view: View) -> Picture:
    limit = max(LEAST_POINTS, min(MAX_POINTS, SHARED_POINTS // max(1, len(lines))))
    bounds = clip_of(lines, view)
    outside = sum(int(np.sum((line.y < bounds[0]) | (line.y > bounds[1]))) for line in lines) if bounds else 0
    return Picture([line.told(view, limit) for line in lines], bounds, outside)


def clip_of(lines: Sequence[Line], view: View) -> tuple[float, float] | None:
    """The range of y without outliers and without the first drop; None where nothing varies."""
    last = max((float(line.x[-1]) for line in lines), default=0.0)
    begin = view.start if view.start is not None else last * SETTLED
    end = view.end if view.end is not None else last
    parts = []
    for line in lines:
        there = (line.x >= begin) & (line.x <= end)
        half = np.zeros(1) if line.half is None else line.half[there]
        parts += [line.y[there] - half, line.y[there] + half] if line.half is not None else [line.y[there]]
    values = np.concatenate(parts) if parts else np.zeros(0)
    if len(values) == 0:
        return None
    low, high = np.quantile(values[:: max(1, len(values) // CLIP_SAMPLE)], INNER).tolist()
    room = (high - low) * 0.08
    return (low - room, high + room) if room > 0 else None


def rounded(values: Array, digits: int = 5) -> list[float]:
    """Plain numbers with so many significant digits: a chart needs no more, and the answer is half as long."""
    return [float(f"{value:.{digits}g}") for value in values.tolist()]


def names(logged: Iterable[str]) -> list[str]:
    """The series among what was logged, known ones first."""
    names_ = set(logged) - set(AXES)
    return [name for name in TITLES if name in names_] + sorted(names_ - set(TITLES))


def title_of(name: str) -> tuple[str, str]:
    """Words for a tab, and the unit."""
    return TITLES.get(name, (name.replace("_", " ").capitalize(), ""))


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; a single value has none."""
    array = np.asarray(values, dtype=float)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None
