"""The progress chart of a report: a drawing in the page itself, coloured by the report's own style."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from research_app.evidence.digits import number, score
from research_app.web.project.progress import Point, drawn
from research_app.web.shared.text import spelled

WIDTH, HEIGHT = 860, 300  # pixels
NARROW = 400  # on a telephone: drawn anew, so that its words keep their size
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 14, 38  # margins
KINDS = {"tried": 2.6, "waiting": 4.5, "landed": 5.0}  # radius
STEPS = (1, 2, 2.5, 5, 10)
SHOWN = 120  # characters of a title


def progress_chart(points: Sequence[Point], bands: Sequence[Mapping[str, Any]], lower: bool, title: str) -> SafeString:
    """Every experiment by number, the best so far, and the baselines' bands, for a wide window and for a narrow one.

    Empty where nothing has a score.
    """
    drawings = [_drawing(points, bands, lower, title, width) for width in (WIDTH, NARROW)]
    return format_html_join("", "{}", ((each,) for each in drawings))


def _drawing(points: Sequence[Point], bands: Sequence[Mapping[str, Any]], lower: bool, title: str, width: int) -> SafeString:
    chart = drawn(points, lower)
    usable_points = {kind: [p for p in chart["points"][kind] if usable(p["y"])] for kind in KINDS}
    values = [p["y"] for kind in usable_points.values() for p in kind]
    known = [band for band in bands if usable(band["mean"]) and usable(band["std"] or 0.0)]
    if not values and not known:
        return SafeString("")
    last: int = max([1, *(p["x"] for kind in usable_points.values() for p in kind), *(band["from"] for band in known)])
    low, high = extent(values, known, lower)

    def x(at: float) -> float:
        return round(LEFT + 6 + (at / (last + 1)) * (width - LEFT - RIGHT - 12), 1)

    def y(value: float) -> float:
        inside = min(max((value - low) / (high - low), 0.0), 1.0)
        return round(TOP + (1 - inside) * (HEIGHT - TOP - BOTTOM), 1)

    best = [(at, value) for at, value in zip(chart["best"]["x"], chart["best"]["y"], strict=True) if usable(value)]
    parts = [
        _grid(ticks(low, high), y, width),
        _bands(known, last + 1, x, y),
        format_html('<polyline class="best" points="{}"/>', " ".join(_stairs(best, x, y))),
        format_html_join("", "{}", ((_dots(kind, usable_points[kind], radius, x, y),) for kind, radius in KINDS.items())),
        _feet(last, x, width),
    ]
    landed = len(usable_points["landed"])
    words = f"{spelled(title)} of {len(values)} experiments by number; {landed} landed. The tables below hold the same."
    body = format_html_join("", "{}", ((part,) for part in parts))
    kind = "wide" if width == WIDTH else "narrow"
    drawing = '<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    return format_html(drawing, kind, width, HEIGHT, words, body)


def usable(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and abs(value) < 1e100


def extent(values: Sequence[float], bands: Sequence[Mapping[str, Any]], lower: bool) -> tuple[float, float]:
    """What the vertical axis shows: all that is good, and of the bad what lies near: one diverged run must not flatten it."""
    edges = [band["mean"] + side * (band["std"] or 0.0) for band in bands for side in (-1, 1)]
    ordered = sorted(values)
    if not ordered:
        ordered = edges
    quarter, three = ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]
    reach = 4 * (three - quarter) if len(ordered) > 8 else math.inf
    least, most = min([*edges, ordered[0]]), max([*edges, ordered[-1]])
    if lower:
        most = min(most, max([*edges, three + reach]))
    else:
        least = max(least, min([*edges, quarter - reach]))
    room = 0.06 * (most - least) or abs(most) * 0.01 or 1.0
    return least - room, most + room


def ticks(low: float, high: float) -> list[float]:
    """Round numbers on the axis, four to eight of them."""
    raw = (high - low) / 6
    if not math.isfinite(raw) or raw <= 0:
        return []
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((each * power for each in STEPS if each * power >= raw), 10 * power)
    return [step * at for at in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _grid(at: Sequence[float], y: Callable[[float], float], width: int) -> SafeString:
    line = '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" text-anchor="end">{}</text>'
    return format_html_join("", line, ((LEFT, width - RIGHT, y(t), y(t), LEFT - 8, y(t) + 4, number(t, 5)) for t in at))


def _bands(
    bands: Sequence[Mapping[str, Any]], end: int, x: Callable[[float], float], y: Callable[[float], float]
) -> SafeString:
    rows = []
    for at, band in enumerate(bands):
        left, right = x(band["from"]), x(bands[at + 1]["from"] if at + 1 < len(bands) else end)
        top, bottom, middle = y(band["mean"] + (band["std"] or 0)), y(band["mean"] - (band["std"] or 0)), y(band["mean"])
        top, bottom = min(top, bottom), max(top, bottom)
        rows.append((left, top, max(right - left, 0), bottom - top, left, right, middle, middle))
    return format_html_join(
        "",
        '<rect class="band" x="{}" y="{}" width="{}" height="{}"/><line class="base" x1="{}" x2="{}" y1="{}" y2="{}"/>',
        rows,
    )


def _stairs(best: Sequence[tuple[int, float]], x: Callable[[float], float], y: Callable[[float], float]) -> list[str]:
    way: list[str] = []
    for at, (place, value) in enumerate(best):
        if at:
            way.append(f"{x(place)},{y(best[at - 1][1])}")
        way.append(f"{x(place)},{y(value)}")
    return way


def _dots(
    kind: str, points: Sequence[Mapping[str, Any]], radius: float, x: Callable[[float], float], y: Callable[[float], float]
) -> SafeString:
    rows = (
        (kind, x(p["x"]), y(p["y"]), radius, f"C-{p['x']} {score(p['y'])} {spelled(p['words'][:SHOWN])} ({p['about']})")
        for p in points
    )
    return format_html_join("", '<circle class="{}" cx="{}" cy="{}" r="{}"><title>{}</title></circle>', rows)


def _feet(last: int, x: Callable[[float], float], width: int) -> SafeString:
    step = max(1, math.ceil(last / (10 if width == WIDTH else 5)))
    labels = format_html_join(
        "", '<text x="{}" y="{}" text-anchor="middle">{}</text>', ((x(n), HEIGHT - 20, n) for n in range(step, last + 1, step))
    )
    middle = (LEFT + width - RIGHT) / 2
    return labels + format_html('<text x="{}" y="{}" text-anchor="middle">candidate</text>', middle, HEIGHT - 4)
