"""The difference to the baseline as a small drawing: one line with its 95% band around 0, made on the server."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.utils.html import format_html
from django.utils.safestring import SafeString

from research_app.evidence.digits import Gain
from research_app.models.run import arrays_of
from research_app.web.shared import charts, curves
from research_app.web.shared.curves import Line, View

WIDTH, HEIGHT = 460, 92  # of the drawing, in pixels
EDGE = 4  # free above and below
POINTS = 120
VIEW = View(band="interval", difference=True)


@dataclass(frozen=True)
class Drawing:
    """A line as an SVG, and in words for those who do not see it."""

    svg: SafeString
    words: str


def difference_of(arms: charts.Arms, series: str = charts.SERIES) -> Drawing | None:
    """How far the candidate's mean lies from the baseline's over the steps; None where nothing of both was logged.

    One query for the points. Below 0 is lower than the baseline; which side is better is for the reader's metric.
    """
    logged = arrays_of(arms.ids, {series, VIEW.axis})
    with np.errstate(over="ignore", invalid="ignore"):  # logged numbers may be of any size
        lines = curves.lines_of(charts.groups_of(arms, logged, VIEW), series, VIEW)
        mine = next((line for line in lines if line.about["role"] == "candidate"), None)
        return None if mine is None or len(mine.x) < 2 else drawing_of(mine)


def drawing_of(line: Line) -> Drawing | None:
    """The line with its band, 0 always in view; None where it holds no finite number."""
    at = curves.kept(line.x, [line.y], VIEW, POINTS)
    x, y = line.x[at], line.y[at]
    half = np.zeros(len(y)) if line.half is None else np.nan_to_num(line.half[at], nan=0.0, posinf=0.0)
    there = np.isfinite(x) & np.isfinite(y) & np.isfinite(y - half) & np.isfinite(y + half)
    x, y, half = x[there], y[there], half[there]
    if len(x) < 2 or x[-1] == x[0]:
        return None
    low, high = _range(y, half)
    across = (x - x[0]) / (x[-1] - x[0]) * WIDTH
    zero, middle = (_down(np.array([0.0]), low, high)[0], _down(y, low, high))
    edges = [*_points(across, _down(y + half, low, high)), *reversed(_points(across, _down(y - half, low, high)))]
    last = float(y[-1]), float(half[-1])
    end = Gain(last[0], None, last[0] - last[1], last[0] + last[1]).sentence if last[1] else Gain(last[0]).text
    words = f"difference to the baseline in {line.about['n']} runs, at the end {end}"
    svg = format_html(
        '<svg class="difference" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<polygon class="band" points="{}"/><line class="zero" x1="0" x2="{}" y1="{}" y2="{}"/><polyline points="{}"/></svg>',
        WIDTH, HEIGHT, words, " ".join(edges), WIDTH, zero, zero, " ".join(_points(across, middle)),
    )  # fmt: skip
    return Drawing(svg, words)


def _range(y: np.ndarray, half: np.ndarray) -> tuple[float, float]:
    """What is drawn: 0 and the last three quarters of the line with its band; the first steps differ by luck."""
    from_here = len(y) // 4
    low = min(0.0, float(np.min((y - half)[from_here:])))
    high = max(0.0, float(np.max((y + half)[from_here:])))
    return (low, high) if high > low else (-1.0, 1.0)


def _down(y: np.ndarray, low: float, high: float) -> np.ndarray:
    """Pixels from the top, inside the drawing."""
    return EDGE + (HEIGHT - 2 * EDGE) * (1 - np.clip((y - low) / (high - low), 0.0, 1.0))


def _points(x: np.ndarray, y: np.ndarray) -> Sequence[str]:
    return [f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True)]
