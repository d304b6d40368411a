"""The small chart of the verdict card: where the evidence stood at each look, against the boundary it had to cross."""

import math
from collections.abc import Mapping, Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from research_app.evidence import digits

WIDTH, HEIGHT = 216, 88  # pixels
LEFT, RIGHT, TOP, BOTTOM = 8, 8, 12, 16  # margins
HIGHEST = 1.6  # times the first boundary; what lies above is drawn at the edge, so that the boundary keeps its shape


def looks_chart(looks: Sequence[Mapping[str, float]], boundaries: Sequence[float]) -> SafeString:
    """SVG with classes alone, and the same in words. Empty where there was no look."""
    if not looks or not boundaries or not all(map(drawable, looks)):
        return SafeString("")
    top = min(max(*boundaries, *(look["z"] for look in looks)) * 1.06, boundaries[0] * HIGHEST)
    bottom = min(0.0, *(max(look["z"], -top / 2) for look in looks))
    step = (WIDTH - LEFT - RIGHT - 12) / max(len(boundaries) - 1, 1)

    def x(n: float) -> float:
        return round(LEFT + 6 + (n - 1) * step, 1)

    def y(z: float) -> float:
        share = (min(max(z, bottom), top) - bottom) / (top - bottom) if top > bottom else 0.0
        return round(TOP + (1 - share) * (HEIGHT - TOP - BOTTOM), 1)

    boundary = " ".join(f"{x(n)},{y(z)}" for n, z in enumerate(boundaries, 1))
    way = " ".join(f"{x(look['n'])},{y(look['z'])}" for look in looks)
    points = format_html_join(
        "",
        '<circle class="{}" cx="{}" cy="{}" r="3"><title>run {}: z = {}, boundary {}</title></circle>',
        (
            ("crossed" if look["z"] >= look["boundary"] else "", x(look["n"]), y(look["z"]), int(look["n"]),
             digits.number(look["z"]), digits.number(look["boundary"]))
            for look in looks
        ),
    )  # fmt: skip
    labels = format_html_join(
        "", '<text x="{}" y="{}" text-anchor="middle">{}</text>', ((x(n), HEIGHT - 3, n) for n in ticks(len(boundaries)))
    )
    return format_html(
        '<svg class="looks" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">'
        '<line class="zero" x1="{}" x2="{}" y1="{}" y2="{}"/><polyline class="boundary" points="{}"/>'
        '<text x="{}" y="{}" text-anchor="end">boundary</text><polyline class="way-of-z" points="{}"/>{}{}</svg>',
        WIDTH, HEIGHT, WIDTH, HEIGHT, in_words(looks), LEFT, WIDTH - RIGHT, y(0), y(0), boundary,
        WIDTH - RIGHT, y(boundaries[-1]) - 5, way, points, labels,
    )  # fmt: skip


def drawable(look: Mapping[str, float]) -> bool:
    """Whether a look has all that is drawn of it; one of an older version may not."""
    return all(isinstance(look.get(name), int | float) and math.isfinite(look[name]) for name in ("n", "z", "boundary"))


def ticks(count: int) -> list[int]:
    """Numbers of looks that have room for a label: all of up to eight, every so many of more."""
    stride = -(-count // 8)
    return list(range(1, count + 1, stride))


def in_words(looks: Sequence[Mapping[str, float]]) -> str:
    """For those who do not see the chart."""
    told = "; ".join(
        f"run {look['n']:.0f}: z = {digits.number(look['z'])}, boundary {digits.number(look['boundary'])}" for look in looks
    )
    crossed = looks[-1]["z"] >= looks[-1]["boundary"]
    return f"Evidence at each look. {told}. The boundary was {'crossed' if crossed else 'not crossed'}."
