"""Gains over the values of a constant, drawn on the server."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from research_app.evidence.digits import number
from research_app.web.shared.effects import Effect

WIDTH, HEIGHT = 900, 260  # of the drawing, in pixels
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 14, 34
WIDE_RANGE = 20  # times the smallest value, beyond which x is logarithmic
LINE = '<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>'
MARK = '<g class="{}"><title>{}</title><line x1="{}" x2="{}" y1="{}" y2="{}"/><circle cx="{}" cy="{}" r="4"/></g>'
TEXT = '<text x="{}" y="{}" text-anchor="{}">{}</text>'
Tried = tuple[float, Effect, str]  # value, gain, and whose


@dataclass(frozen=True)
class Frame:
    """What is drawn where: values along x, logarithmic where they reach far, and gains along y with 0 in view."""

    first: float
    last: float
    low: float
    high: float
    log: bool

    @classmethod
    def of(cls, points: Sequence[Tried], values: Sequence[float]) -> "Frame":
        log = min(values) > 0 and max(values) / min(values) > WIDE_RANGE
        spread = [math.log(value) if log else value for value in values]
        gains = [
            bound for _, e, _ in points for bound in (e.value, e.low, e.high) if bound is not None and math.isfinite(bound)
        ]
        return cls(min(spread), max(spread), min([0.0, *gains]), max([0.0, *gains]), log)

    def x(self, value: float) -> float:
        share = (math.log(value) if self.log else value) - self.first
        return round(LEFT + (share / (self.last - self.first) if self.last > self.first else 0.5) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, gain: float) -> float:
        return round(TOP + (self.high - gain) / ((self.high - self.low) or 1.0) * (HEIGHT - TOP - BOTTOM), 1)


def value_chart(points: Sequence[Tried], now: float | None, unit: str) -> SafeString:
    """Each try with its 95% interval, and the value of the baseline marked; empty without two finite gains."""
    points = [point for point in points if math.isfinite(point[1].value)]
    if len(points) < 2:
        return SafeString("")
    values = [value for value, _, _ in points] + ([now] if now is not None else [])
    frame = Frame.of(points, values)
    lines: list[tuple[str, float, float, float, float]] = [("zero", LEFT, WIDTH - RIGHT, frame.y(0.0), frame.y(0.0))]
    lines += [("now", frame.x(now), frame.x(now), TOP, HEIGHT - BOTTOM)] if now is not None else []
    ticks: list[tuple[float, float, str, str]] = [
        (frame.x(value), HEIGHT - 12, "middle", number(value, 3)) for value in sorted({min(values), max(values), values[-1]})
    ]
    ticks += [(LEFT - 8, frame.y(gain) + 4, "end", number(gain, 2)) for gain in (frame.low, frame.high) if gain]
    return format_html(
        '<svg class="value-chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}{}</svg>',
        WIDTH,
        HEIGHT,
        f"Gain in {unit} over the value of the constant, {len(points)} tries",
        format_html_join("", LINE, lines),
        format_html_join("", MARK, marks(points, frame)),
        format_html_join("", TEXT, ticks),
    )


def marks(points: Sequence[Tried], frame: Frame) -> Iterator[tuple[str, str, float, float, float, float, float, float]]:
    """A dot and its interval for each try."""
    for value, e, words in points:
        low, high = (e.value if bound is None or not math.isfinite(bound) else bound for bound in (e.low, e.high))
        at, title = frame.x(value), f"{words}: {number(value, 4)}, {e.words}"
        yield e.tone, title, at, at, frame.y(low), frame.y(high), at, frame.y(e.value)
