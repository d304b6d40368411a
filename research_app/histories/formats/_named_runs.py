"""What the formats that know runs alone share: what a run is called, what is known of it, and its curves step by step."""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from research_app.histories.formats._plain_rows import plain, row_of
from research_app.histories.records import CandidateRecord, Curve, Export, RunRecord

OF_CANDIDATE = (
    "title", "category", "author", "stage", "verdict", "effect", "standard_error", "low", "high", "n", "baseline_n", "sigma",
    "saved", "landed_as",
)  # fmt: skip
OF_RUN = (
    "scale",
    "seed",
    "purpose",
    "base",
    "budget_share",
    "outcome",
    "self_reported",
    "device",
    "devices",
    "sandbox",
    "commit",
)
LARGEST_STEP = 2**53


def known_candidates(export: Export) -> dict[int, CandidateRecord]:
    """Every candidate by number."""
    return {row.candidate: row for row in export.candidates()}


def group_of(run: RunRecord) -> str:
    """What its seeds belong together as: `C-12`, or `baseline 0`."""
    return f"C-{run.candidate}" if run.candidate is not None else f"baseline {run.base}"


def name_of(run: RunRecord) -> str:
    """`C-12 S seed 3`"""
    return f"{group_of(run)} {run.scale} seed {run.seed}"


def key_of(export: Export, run: RunRecord) -> str:
    """A name of eight hexadecimal digits that is the same in every export of this run."""
    return hashlib.sha256(f"{export.project.slug} {export.project.created_at} {run.run}".encode()).hexdigest()[:8]


def settings_of(run: RunRecord, candidate: CandidateRecord | None) -> dict[str, Any]:
    """What is known of a run besides its curves: its own columns, those of its candidate, and its facts."""
    own = row_of(run)
    settings = {name: own[name] for name in OF_RUN}
    if candidate is not None:
        theirs = row_of(candidate)
        settings |= {f"candidate_{name}": theirs[name] for name in OF_CANDIDATE}
    settings |= {f"fact_{name}": value for name, value in run.facts.items()}
    return {name: plain(value) for name, value in settings.items()}


def figures_of(export: Export, run: RunRecord) -> dict[str, float]:
    """Figures of a whole run: its score under the metric's key, and its times."""
    figures = {export.metric: run.score, "train_seconds": run.train_seconds, "device_seconds": run.device_seconds}
    return {name: value for name, value in figures.items() if value is not None and math.isfinite(value)}


def whole_steps(curve: Curve) -> Iterator[tuple[int, float]]:
    """The points of a curve whose step is a whole number that every reader holds."""
    for step, value in zip(curve[0].tolist(), curve[1].tolist(), strict=True):
        if math.isfinite(step) and 0 <= step <= LARGEST_STEP:
            yield int(step), value


def rows_of_steps(curves: Mapping[str, Curve]) -> list[tuple[int, dict[str, float]]]:
    """What was logged at each step, by step."""
    rows: dict[int, dict[str, float]] = {}
    for name, curve in curves.items():
        for step, value in whole_steps(curve):
            rows.setdefault(step, {})[name] = value
    return sorted(rows.items())


def seconds_of(at: datetime | None) -> float:
    """A time in seconds since 1970; 0 where there is none."""
    return max(0.0, at.timestamp()) if at else 0.0


def plain_name(text: str, allowed: str = r"\w .-") -> str:
    """A text as the name of a file or a metric: other characters as underscores."""
    return re.sub(f"[^{allowed}]", "_", text, flags=re.ASCII).strip(" .") or "_"
