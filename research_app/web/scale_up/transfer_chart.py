"""The chart of a scale-up page: time saved against compute, what was measured on each rung and what the next should show."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from research_app.evidence.digits import number
from research_app.web.shared import figures

WIDTH, HEIGHT = 640, 260  # pixels
LEFT, RIGHT, TOP, BOTTOM = 54, 24, 16, 40  # margins
LOWEST = -6.0  # what lies below is drawn at the edge
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0)  # between two labels of the vertical axis


@dataclass(frozen=True)
class Mark:
    """One rung: the saving with its 95% interval; `needed` is the least that passes there, where that is known.

    `expected` is the interval that was predicted for it before it was measured.
    """

    rung: str
    compute: float
    saved: float
    low: float
    high: float
    tone: str  # "good", "bad" or "mute"
    predicted: bool = False
    needed: float | None = None
    expected: tuple[float, float] | None = None

    @property
    def words(self) -> str:
        label = f"{self.rung}, {number(self.compute)} times the compute: {share(self.saved)} of the time saved"
        label += f", 95% interval {share(self.low)} to {share(self.high)}"
        needed = "" if self.needed is None else f"; {share(self.needed)} would pass"
        if self.expected:
            low, high = self.expected
            needed += f"; {share(low)} to {share(high)} was predicted"
        return f"{label}{' (predicted)' if self.predicted else ''}{needed}"


def share(value: float) -> str:
    """A share with its sign only where it is negative: 31%, −4%."""
    return "below −500%" if value < -5 else figures.percent(value)


def gain_chart(marks: Sequence[Mark]) -> SafeString:
    """SVG with classes alone, and the same in words. Empty where nothing was measured that can be drawn."""
    marks = [mark for mark in marks if all(map(math.isfinite, (mark.compute, mark.saved, mark.low, mark.high)))]
    if not any(not mark.predicted for mark in marks):
        return SafeString("")
    needs = [mark.needed for mark in marks if mark.needed is not None]
    bounds = [bound for mark in marks for bound in (mark.low, mark.high, *(mark.expected or ()))]
    low: float = max(min(0.0, *bounds, *needs), min(mark.saved for mark in marks) - 0.6, LOWEST)
    high: float = min(1.0, max(0.05, *bounds, *needs)) * 1.05
    widest: float = max(math.log2(max(mark.compute, 1.0)) for mark in marks) or 1.0

    def x(compute: float) -> float:
        return round(LEFT + 30 + math.log2(max(compute, 1.0)) / widest * (WIDTH - LEFT - RIGHT - 60), 1)

    def y(saved: float) -> float:
        inside = (min(max(saved, low), high) - low) / (high - low)
        return round(TOP + (1 - inside) * (HEIGHT - TOP - BOTTOM), 1)

    step = next(step for step in STEPS if (high - low) / step <= 6)
    ticks = [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
    grid = format_html_join(
        "", '<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" text-anchor="end">{}</text>',
        (("zero" if abs(t) < 1e-9 else "grid", LEFT, WIDTH - RIGHT, y(t), y(t), LEFT - 8, y(t) + 4, share(t)) for t in ticks),
    )  # fmt: skip
    way = " ".join(f"{x(mark.compute)},{y(mark.saved)}" for mark in marks)
    drawn = format_html_join("", "{}", ((_drawn(mark, x(mark.compute), y),) for mark in marks))
    names = format_html_join(
        "",
        '<text class="rung" x="{}" y="{}" text-anchor="middle">{}</text><text x="{}" y="{}" text-anchor="middle">{}×</text>',
        ((x(m.compute), HEIGHT - 20, m.rung, x(m.compute), HEIGHT - 5, number(m.compute)) for m in marks),
    )  # fmt: skip
    return format_html(
        '<svg class="gain" viewBox="0 0 {} {}" role="img" aria-label="{}">{}<polyline class="way" points="{}"/>{}{}</svg>',
        WIDTH, HEIGHT, f"Time saved against compute. {'; '.join(mark.words for mark in marks)}.", grid, way, drawn, names,
    )  # fmt: skip


def _drawn(mark: Mark, x: float, y: Callable[[float], float]) -> SafeString:
    needed = SafeString("")
    if mark.needed is not None:
        needed = format_html(
            '<line class="needed" x1="{}" x2="{}" y1="{}" y2="{}"><title>{} passes</title></line>',
            x - 16, x + 16, y(mark.needed), y(mark.needed), share(mark.needed),
        )  # fmt: skip
    if mark.expected:
        needed += format_html(
            '<line class="expected" x1="{}" x2="{}" y1="{}" y2="{}"><title>{} to {} was predicted</title></line>',
            x - 10, x - 10, y(mark.expected[0]), y(mark.expected[1]), share(mark.expected[0]), share(mark.expected[1]),
        )  # fmt: skip
    return format_html(
        '{}<g class="mark {}{}"><title>{}</title><line x1="{}" x2="{}" y1="{}" y2="{}"/><circle cx="{}" cy="{}" r="5"/></g>',
        needed, mark.tone, " predicted" if mark.predicted else "", mark.words,
        x, x, y(mark.low), y(mark.high), x, y(mark.saved),
    )  # fmt: skip
