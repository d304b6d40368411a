"""Guard check: what a candidate makes worse while it improves the score, from the runs of both arms."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from research_app.evidence.errors import LARGEST_SCORE, EvidenceError
from research_app.evidence.evidence_document import SourceRecord, SourcesRecord
from research_app.evidence.guards import Guard, GuardResult, SourceReport, check_guard, check_sources, not_compared
from research_app.loop.judge.arms import Arms
from research_app.loop.judge.same_minutes import BENT, SameMinutes
from research_app.models import Project, Run
from training.reported_by_run import SAID, said_by_run

GUARD_FACTS = {
    "peak_memory": ("peak_memory_bytes", True),  # of the leased devices, where the driver tells it
    "tokens_per_second": ("tokens_per_second", False),
    "parameters": ("parameters", True),
    "checkpoint": ("checkpoint_bytes", True),
    "flops_per_token": ("flops_per_token", True),
    "device_memory": ("device_memory_said", True),
}
MARGIN_OF = {"device_memory": "peak_memory"}
"""Guards that share another one's margin."""


def guards_of(project: Project, arms: Arms, same: SameMinutes) -> list[GuardResult]:
    """Guard metrics as rows: baseline, candidate, change, margin. A metric that some run did not report has no row.

    Speed is compared between the runs of the same minutes alone.
    """
    margins, rows = project.file.guards.model_dump(), []
    both = (*arms.baseline, *arms.candidate)
    measured = all("device_memory_bytes" in run.summary.facts for run in both)
    for metric, (fact, lower) in GUARD_FACTS.items():
        if measured and metric == "device_memory":
            continue  # what runs say of it is not asked
        fact = "device_memory_bytes" if measured and metric == "peak_memory" else fact
        guard, bent = Guard(metric, margins[MARGIN_OF.get(metric, metric)], lower), fact in BENT
        compared = (same.baseline, same.candidate) if bent and not same.why_not else (arms.baseline, arms.candidate)
        self_reported = any(said_by_run(run.summary.facts, fact) for run in both)
        values = [positive_facts(arm, fact, as_said=self_reported) for arm in compared]
        if any(len(known) < len(arm) for known, arm in zip(values, compared, strict=True)):
            continue
        row = not_compared(guard, same.why_not) if bent and same.why_not else check_guard(guard, *values)
        rows.append(replace(row, note="; ".join(filter(None, (row.note, SAID)))) if self_reported else row)
    return rows


def positive_facts(runs: Sequence[Run], fact: str, *, as_said: bool = False) -> list[float]:
    """The values of a fact, of the runs that have a positive number there: what a run says of itself may be anything.

    `as_said`: what each run says, also where it was measured: a checkpoint's header counts buffers too, and runs from before it
    was read do not, so that both together would compare two different things.
    """
    facts_of_runs = [run.summary.facts for run in runs]
    values = [facts.get(f"{fact}_said", facts.get(fact)) if as_said else facts.get(fact) for facts in facts_of_runs]
    return [float(value) for value in values if isinstance(value, int | float) and 0 < value <= LARGEST_SCORE]


def sources_of(project: Project, arms: Arms) -> SourceReport | None:
    """The score on each source of text, corrected for their number; None where the runs have none, or too few runs."""
    names = set(arms.baseline[0].source_scores)
    read: list[Mapping[str, list[float]]] = [
        {name: [run.source_scores[name] for run in arm] for name in sorted(names)}
        for arm in (arms.baseline, arms.candidate)
        if all(set(run.source_scores) == names for run in arm)
    ]
    if not names or len(read) < 2:
        return None
    margin = project.file.guards.source * abs(fmean(arms.scores()[0]))
    try:
        return check_sources(read[0], read[1], margin, lower_is_better=project.sign > 0)
    except EvidenceError:
        return None


def sources_record(report: SourceReport | None) -> SourcesRecord | None:
    """The sources as evidence keeps them."""
    if report is None:
        return None
    return SourcesRecord(sentence=report.sentence, hurt=report.hurt, rows=tuple(map(SourceRecord.of, report.sources)))
