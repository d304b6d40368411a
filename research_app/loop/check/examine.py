"""Examine: what the detectors say of a change before it runs, of a run after it, and of the words beside the facts."""

import logging
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from research_app.evidence.evidence_document import FindingRecord, HealthRecord
from research_app.evidence.health import Health
from research_app.loop.judge.same_minutes import BENT, SameMinutes
from research_app.models import Candidate, Project, Run, State
from research_app.models.documents.finding import KeptFinding
from research_app.models.lease import DATABASE_AWAY
from research_app.models.run import series_of
from research_app.repository import Change
from training.claims import Contradiction, contradictions
from training.corpus import WINDOW
from training.detectors import (
    Circumstances,
    FileEdit,
    Finding,
    Overlap,
    RunRecord,
    device_peak_flops,
    examine_changes,
    examine_each,
    gate_overlap,
)
from training.failure import in_words
from training.spec import GIB, Outcome, RunResult

logger = logging.getLogger(__name__)

BASELINE_RUNS = 4  # with so many a run's curves are compared


def flags_of(project: Project, change: Change) -> tuple[KeptFinding, ...]:
    """Risky edits of a change, each with the line that it is on: near seed, budget, data or evaluation."""
    repository = project.repository
    paths = [file.path for file in change.files]
    before, after = repository.texts(change.base, paths), repository.texts(change.commit, paths)
    edits = [FileEdit(path, before.get(path), after.get(path)) for path in paths]
    return tuple(map(KeptFinding.of_finding, examine_changes(edits, project.file.edit.protected)))


EXAMINING = "looking for what is odd about it"
FAILED = " failed"


def findings_of(run: Run, result: RunResult) -> tuple[KeptFinding, ...]:
    """What the detectors saw in a finished run, beside the baseline's runs, and what was left out. Raises DATABASE_AWAY.

    A detector that fails is a finding: nobody knows what it would have seen, so a gain is in quarantine until a person looked.
    """
    findings = [_left_out(result.left_out)] if result.left_out else []
    try:
        seen, errors = examine_each(*record_of(run, result))
        findings += seen
    except DATABASE_AWAY:
        raise
    except Exception as error:
        logger.exception("The detectors could not look at %s", run)
        errors = {"every detector": error}
    findings += [
        Finding(f"{name}{FAILED}", "warning", f"It could not look: {in_words(error)}") for name, error in errors.items()
    ]
    return tuple(map(KeptFinding.of_finding, findings))


def failed_among(findings: Sequence[KeptFinding]) -> bool:
    """Whether a detector could not look at a run."""
    return any(finding.detector.endswith(FAILED) for finding in findings)


def _left_out(counts: Mapping[str, int]) -> Finding:
    return Finding("left out", "info", "Not kept: " + "; ".join(f"{count:,} {why}" for why, count in counts.items()) + ".")


def record_of(run: Run, result: RunResult) -> tuple[RunRecord, Circumstances]:
    """What the detectors look at, and what they hold it against (two queries, and the gate text)."""
    file = run.project.file
    reference = run.baseline.runs.completed().of_baseline(run.scale).filter(budget_share=1.0, state=State.FINISHED)
    compared = list(reference.exclude(pk=run.pk).order_by("-pk")[:BASELINE_RUNS])
    series = series_of([run.pk, *(other.pk for other in compared)])
    mine = RunRecord(
        series[run.pk],
        _plain(result.facts),
        None if result.self_reported else result.score,
        result.train_seconds,
        result.reason if result.outcome == Outcome.not_finite else "",
    )
    device = run.device.description if run.device else ""
    circumstances = Circumstances(
        baseline=[
            RunRecord(
                series[other.pk], _plain(other.summary.facts), None if other.self_reported else other.score, other.train_seconds
            )
            for other in compared
        ],
        budget=file.run_budget(run.budget_share, run.scale),
        of_baseline=run.patch_set_id is None and run.cell_id is None,
        overlap=overlap_of(run, run.commit),
        baseline_overlap=overlap_of(run, run.baseline.commit),
        peak_flops=device_peak_flops(device) if device else None,
        memory_limit=file.rung(run.scale).memory_limit_mb * GIB // 1024,
    )
    return mine, circumstances


def overlap_of(run: Run, commit: str) -> Overlap | None:
    """How much of the gate text stands, word for word, in what a candidate may edit: text that was memorised in the code."""
    if run.project.corpus is None:
        return None
    held_out = run.project.corpus / "held_out"
    text = held_out / "gate.text"  # of shards that are tokens
    gate = text if text.is_file() else held_out / "gate.bin"
    texts = run.project.repository.texts(commit, run.project.file.edit.editable)
    return gate_overlap((text.encode() for text in texts.values()), gate.read_bytes(), WINDOW + 1)


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if isinstance(value, int | float | str)}


def claims_of(candidate: Candidate, baseline: Run, run: Run, same: SameMinutes) -> list[Contradiction]:
    """Where the hypothesis and the measured facts disagree; in speed only where runs of the same minutes tell."""
    constants = {
        name.rpartition(":")[2]: (old, new)
        for name, new in candidate.origin.knobs.items()
        if (old := candidate.origin.was.get(name)) is not None
    }
    before, after = (
        {name: value for name, value in _plain(arm.summary.facts).items() if name not in BENT} | typical_speed(beside)
        for arm, beside in ((baseline, same.baseline), (run, same.candidate))
    )
    return list(contradictions(candidate.hypothesis, before, after, constants))


def typical_speed(runs: Sequence[Run]) -> dict[str, float]:
    """The medians of what the machine's load bends, over runs that may be compared; without any nothing."""
    known = {name: [value for run in runs if (value := run.summary.number(name)) is not None] for name in BENT}
    return {name: float(median(values)) for name, values in known.items() if values}


def with_findings(health: Health, runs: Sequence[Run]) -> HealthRecord:
    """Health as evidence keeps it: the rules' findings, and whatever the detectors call invalid or could not look at."""
    findings, state = list(map(FindingRecord.of, health.findings)), health.state
    for run in runs:
        for finding in run.summary.findings or ():
            if finding.level == "invalid":
                whose = "" if run.patch_set_id else "the baseline's run: "
                sentence = f"{whose}{finding.sentence} (seed {run.seed})"
                findings.append(FindingRecord(rule=finding.detector, sentence=sentence))
                state = "invalid"
        if run.failed_step == EXAMINING:
            sentence = f"a detector failed on run {run.pk} (seed {run.seed})"
            findings.append(FindingRecord(rule="detectors", sentence=sentence))
            state = "quarantined" if state == "healthy" else state
    return HealthRecord(state=state, findings=tuple(findings))
