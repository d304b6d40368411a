"""Draws figure.pdf and figure.svg from figure.csv, ready for print: always light, 8 pt, labels beside the lines.

Run `python figure.py` in this folder; it needs matplotlib alone. The same file drew the figure that it came with.
"""

import csv
import json
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

SETTINGS: dict[str, Any] = json.loads("{}")
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"]  # told apart by the colour-blind (Okabe and Ito)
DASHES = ["-", (0, (5, 1.5)), (0, (1, 1))]  # where the colours come around again
LABEL = 7.0  # points
SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
STYLE: dict[Any, Any] = {
    "font.size": 8, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7, "font.family": "DejaVu Sans",
    "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6, "lines.linewidth": 1.1,
    "axes.spines.top": False, "axes.spines.right": False, "figure.facecolor": "white", "axes.facecolor": "white",
    "svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "signoff", "text.parse_math": False,
}  # fmt: skip


def read(path: Path) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """(group, role, its points) in the order of the file."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{key: value if key in ("group", "role", "label") else _number(value) for key, value in row.items()}
                for row in csv.DictReader(file)]  # fmt: skip
    return [(group, role, list(points)) for (group, role), points in groupby(rows, lambda row: (row["group"], row["role"]))]


def _number(text: str) -> float | None:
    return float(text) if text else None


def column(points: list[dict[str, Any]], name: str) -> list[float]:
    return [point[name] if point[name] is not None else float("nan") for point in points]


def look(role: str, number: int) -> dict[str, Any]:
    """The baseline is dashed black, every other group has a colour."""
    if role == "baseline":
        return {"color": "black", "linestyle": (0, (4, 2)), "zorder": 3}
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number // len(COLOURS) % len(DASHES)], "zorder": 2}


def draw(axes: Axes, groups: list[tuple[str, str, list[dict[str, Any]]]]) -> list[tuple[str, float, float, Any]]:
    """Lines with their bands. Returns (label, x, y, colour) of each line's end."""
    ends, number = [], 0
    for name, role, points in groups:
        style = look(role, number)
        number += role != "baseline"
        x, y = column(points, "x"), column(points, "y")
        steps = SETTINGS["kind"] == "steps"
        axes.plot(x, y, drawstyle="steps-post" if steps else "default", marker="o" if steps else None, markersize=3, **style)
        low, high = column(points, "low"), column(points, "high")
        if steps:
            for at, start, end in zip(x, low, high, strict=True):
                axes.plot([at, at], [start, end], color=style["color"], linewidth=0.8)
        else:
            axes.fill_between(x, low, high, color=style["color"], alpha=0.18, linewidth=0)
        ends.append((name, x[-1], y[-1], style["color"]))
    return ends


def label_ends(axes: Axes, ends: list[tuple[str, float, float, Any]]) -> None:
    """Each name behind the end of its line, moved up or down so far that no two overlap."""
    height = axes.get_window_extent().height / axes.figure.dpi * 72  # points
    places = [(axes.transData.transform((x, y))[1] / axes.figure.dpi * 72, name, x, y, colour) for name, x, y, colour in ends]
    gap, below = LABEL + 1.5, float("-inf")
    spread = []
    for place, *rest in sorted(places, key=lambda each: each[0]):
        below = max(place, below + gap)
        spread.append((below, place, *rest))
    bottom = axes.get_window_extent().y0 / axes.figure.dpi * 72
    surplus = max(0.0, below - (bottom + height - LABEL / 2)) if spread else 0.0
    for moved, place, name, x, y, colour in spread:
        offset = (5, moved - place - surplus)
        axes.annotate(name, (x, y), offset, textcoords="offset points", color=colour, fontsize=LABEL, va="center",
                      annotation_clip=False)  # fmt: skip


def label_steps(axes: Axes, points: list[dict[str, Any]]) -> None:
    """What made each step, above its mark."""
    for point in points:
        if point["label"] and point["high"] is not None:
            axes.annotate(point["label"], (point["x"], point["high"]), (0, 3), textcoords="offset points", fontsize=6,
                          ha="center", va="bottom", annotation_clip=False)  # fmt: skip


def inset(axes: Axes, groups: list[tuple[str, str, list[dict[str, Any]]]]) -> None:
    """The last fifth once more, larger, in the corner that the curves leave free."""
    last = max(max(column(points, "x")) for _, _, points in groups)
    tails = [(name, role, [p for p in points if p["x"] >= 0.8 * last]) for name, role, points in groups]
    tails = [each for each in tails if len(each[2]) > 1]
    if not tails:
        return
    first, end = groups[0][2][0]["y"], groups[0][2][-1]["y"]
    left = 0.1 if SETTINGS["log_x"] else 0.46
    box = axes.inset_axes((left, 0.1, 0.5, 0.42) if (end < first) == SETTINGS["log_x"] else (left, 0.54, 0.5, 0.42))
    draw(box, tails)
    box.set_xlim(0.8 * last, last)
    box.tick_params(labelsize=6, pad=1.5, length=2)
    box.xaxis.set_major_locator(MaxNLocator(3))
    box.yaxis.set_major_locator(MaxNLocator(3))
    box.xaxis.set_major_formatter(FuncFormatter(short))


def short(value: float, _: Any = None) -> str:
    """1500 as 1.5k."""
    for size, letter in SCALES:
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def figure() -> None:
    """Draw both files beside this one."""
    here = Path(__file__).resolve().parent
    groups = read(here / "figure.csv")
    plt.rcParams.update(STYLE)
    drawing, axes = plt.subplots(figsize=(SETTINGS["width"], SETTINGS["height"]))
    ends = draw(axes, groups)
    axes.set_xlabel(SETTINGS["x"])
    axes.set_ylabel(SETTINGS["y"])
    if SETTINGS["log_x"]:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    if SETTINGS["kind"] == "steps":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        axes.xaxis.set_major_formatter(FuncFormatter(short))
    if SETTINGS["clip"]:
        axes.set_ylim(*SETTINGS["clip"])
    longest = max(len(name) for name, _, _ in groups) if SETTINGS["kind"] == "curves" else 0
    room = min(0.4, (longest * LABEL * 0.62 + 8) / 72 / SETTINGS["width"])
    left, bottom = 0.52 / SETTINGS["width"], 0.38 / SETTINGS["height"]
    drawing.subplots_adjust(left=left, bottom=bottom, top=0.96, right=0.98 - room)
    if SETTINGS["kind"] == "curves":
        label_ends(axes, ends)
        if SETTINGS["inset"]:
            inset(axes, groups)
    else:
        label_steps(axes, groups[0][2])
    drawing.savefig(here / "figure.svg", metadata={"Date": None})
    drawing.savefig(here / "figure.pdf", metadata={"CreationDate": None})


if __name__ == "__main__":
    figure()
