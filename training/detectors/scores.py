"""Detectors of whether a score can be what it seems: told otherwise by the run itself, or learnt by heart."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from training.detectors.record import VAL_BPB, VAL_LOSS, Circumstances, Finding, Level, RunRecord

TOLD_APART = 0.04  # of the score, beyond the baseline's own difference; seeds of the default target differ by 0.006
TOLD_ALONE = 0.15  # of the score, when there is no baseline: the two texts are not the same
USUAL_OVERLAP = 0.10  # of the windows: the default corpus has 0.07 between its train and gate shards
MORE_OVERLAP = 0.01  # of the windows, beyond the baseline's
COPIED = 0.05  # of the windows, beyond the baseline's: no accident


def told_and_measured(run: RunRecord, circumstances: Circumstances) -> Iterator[Finding]:
    """The run's own validation against the trusted score: they differ by more than they do for the baseline."""
    own = _told_over_measured(run)
    if own is None:
        return
    usual = [ratio for base in circumstances.baseline if (ratio := _told_over_measured(base)) is not None]
    middle, limit = (float(np.median(usual)), TOLD_APART) if usual else (1.0, TOLD_ALONE)
    if abs(own / middle - 1) <= limit:
        return
    reported, name = _told(run)
    beside = f"; from the baseline's runs {middle * (run.score or 0):.4f} was to be expected" if usual else ""
    better = "better than the trusted score" if own < middle else "worse than the trusted score"
    sentence = f"The run's own {name} says {reported:.4f} bits per byte, the scorer measured {run.score:.4f}{beside}: {better}."
    end = run.curve(name)
    steps = (int(end.steps[-1]), int(end.steps[-1])) if len(end) else (None, None)
    yield Finding("told and measured", "warning", sentence, name, *steps)


def gate_text_read(_: RunRecord, circumstances: Circumstances) -> Iterator[Finding]:
    """Text of the gate shard occurs in what the run could read, more of it than in what the baseline reads."""
    overlap, usual = circumstances.overlap, circumstances.baseline_overlap
    if overlap is None or not overlap.shared:
        return
    share = overlap.shared / overlap.windows
    expected = usual.shared / usual.windows if usual else USUAL_OVERLAP
    more = share - expected
    if more <= MORE_OVERLAP:
        return
    level: Level = "invalid" if more > COPIED else "warning"
    beside = f"the baseline's has {usual.shared}" if usual else f"up to {USUAL_OVERLAP:.0%} is usual for code"
    sentence = (
        f"{overlap.shared} of {overlap.windows} gate windows ({share:.1%}) share {overlap.ngram} bytes or more with text that "
        f"the run could read; {beside}. For example {overlap.example!r}."
    )
    yield Finding("gate text read", level, sentence)


def _told(run: RunRecord) -> tuple[float | None, str]:
    """The run's own validation in bits per byte, and the name it goes by; prepare.py logs nats per byte."""
    if (fact := run.number(VAL_BPB)) is not None:
        return fact, VAL_BPB
    for name, unit in ((VAL_BPB, 1.0), (VAL_LOSS, math.log(2))):
        if len(curve := run.curve(name)):
            return float(curve.values[-1]) / unit, name
    return None, ""


def _told_over_measured(run: RunRecord) -> float | None:
    reported, _ = _told(run)
    return (
        reported / run.score if reported and reported > 0 and run.score and math.isfinite(run.score) and run.score > 0 else None
    )
