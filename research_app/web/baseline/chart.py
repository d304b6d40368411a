"""The baseline as a stair: the mean of every version's own runs with its 95% interval, and what made the step."""

import math
from collections.abc import Mapping, Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from research_app.evidence.averages import mean
from research_app.evidence.difference import t_quantile
from research_app.evidence.digits import number, score
from research_app.evidence.noise import Noise
from research_app.models import BaselineVersion, Landing

WIDTH, HEIGHT = 1200, 190  # pixels of the drawing
LEFT, RIGHT, TOP, BOTTOM = 70, 12, 12, 26
LABELS = 14  # steps up to which each is named


def baseline_chart(
    versions: Sequence[tuple[BaselineVersion, Sequence[float]]], landings: Mapping[int, Sequence[Landing]], noise: Noise | None
) -> SafeString:
    """The drawing, oldest version on the left; empty where fewer than two versions have a usable mean."""
    means = [(version, mean(scores), half_of(len(scores), noise)) for version, scores in versions]
    known = [(version, middle, half) for version, middle, half in means if middle is not None and usable(middle)]
    if len(known) < 2:
        return SafeString("")
    low, high = min(m - h for _, m, h in known), max(m + h for _, m, h in known)
    room = 0.08 * (high - low) or abs(high) * 0.01 or 1.0
    low, high = low - room, high + room
    wide = (WIDTH - LEFT - RIGHT) / len(known)

    def y(value: float) -> float:
        return round(TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    bands, lines, labels, stairs = [], [], [], []
    for at, (version, middle, half) in enumerate(known):
        left, right = round(LEFT + at * wide, 1), round(LEFT + (at + 1) * wide, 1)
        words = f"baseline {version.number}: {score(middle)}" + (f" ± {number(half, 2)}" if half else "")
        bands.append((left, y(middle + half), round(right - left, 1), max(y(middle - half) - y(middle + half), 1), words))
        lines.append((left, right, y(middle), y(middle)))
        stairs += [f"{left},{y(middle)}", f"{right},{y(middle)}"]
        if len(known) <= LABELS:
            made = landings.get(version.pk, ())
            named = ", ".join(str(landing.candidate) for landing in made[:2]) + (" …" if len(made) > 2 else "")
            labels.append((round((left + right) / 2, 1), HEIGHT - 8, f"{version.number} {named}".strip()))
    grid = ((LEFT, WIDTH - RIGHT, y(at), y(at), LEFT - 8, y(at) + 4, number(at, 5)) for at in (low + room, high - room))
    spoken = "; ".join(row[4] for row in bands[-LABELS:])
    return format_html(
        '<svg class="baseline-chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}'
        '<polyline class="stairs" points="{}"/>{}{}</svg>',
        WIDTH, HEIGHT, f"Mean of the reference runs, 95% interval. {spoken}",
        format_html_join(
            "", '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" text-anchor="end">{}</text>', grid
        ),
        format_html_join("", '<rect class="band" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>', bands),
        " ".join(stairs),
        format_html_join("", '<line class="mean" x1="{}" x2="{}" y1="{}" y2="{}"/>', lines),
        format_html_join("", '<text x="{}" y="{}" text-anchor="middle">{}</text>', labels),
    )  # fmt: skip


def half_of(n: int, noise: Noise | None) -> float:
    """Half the width of the 95% interval of a mean of n runs; 0 where no noise is known."""
    if noise is None or not n:
        return 0.0
    half = t_quantile(noise.degrees) * noise.sigma / math.sqrt(n)
    return half if usable(half) else 0.0


def usable(value: float) -> bool:
    return math.isfinite(value) and abs(value) < 1e100
