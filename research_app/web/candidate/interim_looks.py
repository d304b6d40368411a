"""The small chart of the verdict card: where the evidence stood at each look, against the boundary it had to cross."""

from collections.abc import Sequence
from typing import NamedTuple

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from research_app.evidence import digits
from research_app.evidence.evidence_document import LookRecord

WIDTH, HEIGHT = 216, 88  # pixels
LEFT, RIGHT, TOP, BOTTOM = 8, 8, 12, 16  # margins
HIGHEST = 1.6  # times the first boundary; what lies above is drawn at the edge, so that the boundary keeps its shape


def looks_chart(looks: Sequence[LookRecord], boundaries: Sequence[float]) -> SafeString:
    """SVG with classes alone, and the same in words. Empty where there was no look, or where one was not kept whole."""
    drawn = [look for each in looks if (look := look_of(each))]
    if not drawn or len(drawn) < len(looks) or not boundaries:
        return SafeString("")
    top = min(max(*boundaries, *(look.z for look in drawn)) * 1.06, boundaries[0] * HIGHEST)
    bottom = min(0.0, *(max(look.z, -top / 2) for look in drawn))
    step = (WIDTH - LEFT - RIGHT - 12) / max(len(boundaries) - 1, 1)

    def x(n: float) -> float:
        return round(LEFT + 6 + (n - 1) * step, 1)

    def y(z: float) -> float:
        share = (min(max(z, bottom), top) - bottom) / (top - bottom) if top > bottom else 0.0
        return round(TOP + (1 - share) * (HEIGHT - TOP - BOTTOM), 1)

    boundary = " ".join(f"{x(n)},{y(z)}" for n, z in enumerate(boundaries, 1))
    way = " ".join(f"{x(look.n)},{y(look.z)}" for look in drawn)
    points = format_html_join(
        "",
        '<circle class="{}" cx="{}" cy="{}" r="3"><title>run {}: z = {}, boundary {}</title></circle>',
        (
            ("crossed" if look.z >= look.boundary else "", x(look.n), y(look.z), int(look.n),
             digits.number(look.z), digits.number(look.boundary))
            for look in drawn
        ),
    )  # fmt: skip
    labels = format_html_join(
        "", '<text x="{}" y="{}" text-anchor="middle">{}</text>', ((x(n), HEIGHT - 3, n) for n in ticks(len(boundaries)))
    )
    return format_html(
        '<svg class="looks" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">'
        '<line class="zero" x1="{}" x2="{}" y1="{}" y2="{}"/><polyline class="boundary" points="{}"/>'
        '<text x="{}" y="{}" text-anchor="end">boundary</text><polyline class="way-of-z" points="{}"/>{}{}</svg>',
        WIDTH, HEIGHT, WIDTH, HEIGHT, in_words(drawn), LEFT, WIDTH - RIGHT, y(0), y(0), boundary,
        WIDTH - RIGHT, y(boundaries[-1]) - 5, way, points, labels,
    )  # fmt: skip


class Look(NamedTuple):
    """One look with all that is drawn of it."""

    n: float
    z: float
    boundary: float


def look_of(kept: LookRecord) -> Look | None:
    """A look as it is drawn; None where an older version did not keep all of it."""
    if kept.n is None or kept.z is None or kept.boundary is None:
        return None
    return Look(kept.n, kept.z, kept.boundary)


def ticks(count: int) -> list[int]:
    """Numbers of looks that have room for a label: all of up to eight, every so many of more."""
    stride = -(-count // 8)
    return list(range(1, count + 1, stride))


def in_words(looks: Sequence[Look]) -> str:
    """For those who do not see the chart."""
    words = "; ".join(
        f"run {look.n:.0f}: z = {digits.number(look.z)}, boundary {digits.number(look.boundary)}" for look in looks
    )
    crossed = looks[-1].z >= looks[-1].boundary
    return f"Evidence at each look. {words}. The boundary was {'crossed' if crossed else 'not crossed'}."
