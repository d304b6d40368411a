"""Detectors: what a person should know about a run or a change before believing its score.

Pure functions over series and facts, and over files before and after; nothing here reads a file or trusts a number twice.
`examine` runs those of a finished run, in the order of RUN_DETECTORS; `examine_changes` those of an edit, before any run.
docs/reference/detectors.md says what each looks at and why its threshold is what it is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from training.detectors import curves, resources, scores
from training.detectors.edits import examine_changes
from training.detectors.overlap import gate_overlap
from training.detectors.record import Circumstances, Finding, Level, Overlap, RunRecord
from training.detectors.resources import device_peak_flops
from training.detectors.source import FileEdit

__all__ = [
    "RUN_DETECTORS",
    "Circumstances",
    "FileEdit",
    "Finding",
    "Level",
    "Overlap",
    "RunRecord",
    "device_peak_flops",
    "examine",
    "examine_changes",
    "examine_each",
    "gate_overlap",
]

RunDetector = Callable[[RunRecord, Circumstances], Iterable[Finding]]

RUN_DETECTORS: tuple[RunDetector, ...] = (
    curves.not_finite,
    curves.over_running_minimum,
    curves.spikes,
    curves.gradient_blow_up,
    curves.gradient_late_rise,
    curves.plateau_before_decay,
    curves.train_validation_gap,
    resources.throughput_collapse,
    resources.step_time_tail,
    resources.memory_creep,
    resources.memory_peak,
    resources.budget_overrun,
    resources.shrinking_counts,
    resources.impossible_speed,
    resources.hidden_work,
    scores.told_and_measured,
    scores.gate_text_read,
)


def examine_each(
    run: RunRecord, circumstances: Circumstances | None = None
) -> tuple[tuple[Finding, ...], Mapping[str, Exception]]:
    """Everything that the detectors have to say of one run, and by name the errors of those that failed on it."""
    findings: list[Finding] = []
    failed: dict[str, Exception] = {}
    for detector in RUN_DETECTORS:
        try:
            findings += detector(run, circumstances or Circumstances())
        except Exception as error:
            failed[detector.__name__.replace("_", " ")] = error
    return tuple(findings), failed


def examine(run: RunRecord, circumstances: Circumstances | None = None) -> tuple[Finding, ...]:
    """Everything that the detectors have to say of one run. Raises ValueError when a series is not two equal columns."""

    def findings() -> Iterator[Finding]:
        for detector in RUN_DETECTORS:
            yield from detector(run, circumstances or Circumstances())

    return tuple(findings())
