"""Which printed lines a format finds values in: what a person looks at to see whether the metric is read as it is meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from training.metric_source import printing
from training.output import OutputParser
from training.spec import SelfReported

LONGEST = 300  # characters of a line


@dataclass(frozen=True)
class Line:
    """One line of a log, with the values that were read off it."""

    text: str
    values: Mapping[str, float]


def lines_of(log: str, scoring: SelfReported | None, most: int) -> list[Line]:
    """The lines of a log with what was read off each: all where there are few, else those that said something, and the last."""
    parser = OutputParser(scoring) if scoring is not None and scoring.format in printing() else None
    lines = []
    for text in log.removesuffix("\n").split("\n"):
        before = dict(parser.final) if parser else {}
        points = parser.feed(text.encode() + b"\n") if parser else []
        values = {name: value for point in points for name, value in {"step": float(point.step), **point.values}.items()}
        if parser:
            values |= {name: value for name, value in parser.final.items() if before.get(name) != value}
        lines.append(Line(text[:LONGEST], values))
    if len(lines) <= most:
        return lines
    kept = [line for line in lines[: -most // 2] if line.values][: most // 2]
    return kept + lines[-most // 2 :]
