"""What leaves the application: candidates and runs as plain records, a chunk at a time. What people may see, and no more.

Left out, whatever the format: scores on the hidden shard (an export may end in front of an agent, and the hidden shard is what
no agent may fit), effects that health hides, findings (they may quote held-out text), and the mark of an A/A candidate that is
not decided yet. Votes and the people who gave them are not part of an export either.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from research_app.loop.runs import costs_of
from research_app.models import Candidate, Project, Run, Stage, State
from research_app.models.candidate import DISCARDED, failed_at_rungs
from research_app.models.run import arrays_of

CHUNK = 100  # runs whose curves are in memory together
Fact = bool | int | float | str
Row = TypeVar("Row")
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]  # steps and values

STATUS = {Stage.LANDED: "keep", Stage.CRASHED: "crash"}


@dataclass(frozen=True)
class CandidateRecord:
    """One candidate. Effects are in the metric's unit, positive where it is better; None where unknown, or health hides it."""

    candidate: int
    status: str  # as a results table has it: "keep", "discard", "crash" or "pending"
    stage: str
    title: str
    hypothesis: str
    category: str
    kind: str
    author: str
    author_kind: str
    base: int  # number of the baseline version
    commit: str
    diff: str
    created_at: datetime
    verdict: str
    effect: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    saved: float | None  # share of the time saved at equal loss
    saved_low: float | None
    saved_high: float | None
    sigma: float | None
    mean: float | None
    n: int | None
    baseline_mean: float | None
    baseline_n: int | None
    failed_guards: Sequence[str]
    device_seconds: float
    aa: bool | None  # None: not decided yet, and then nobody is told
    landed_as: int | None  # number of the baseline version that it made


@dataclass(frozen=True)
class RunRecord:
    """One run. `score` is by the trusted scorer, or where `self_reported` the code's own word."""

    run: int
    candidate: int | None  # None: the baseline's own, or a design point of an ablation
    patch_set: int | None
    base: int
    purpose: str
    scale: str
    seed: int
    budget_share: float
    state: str
    outcome: str
    reason: str
    score: float | None
    self_reported: bool
    device: str
    devices: int
    sandbox: str
    started_at: datetime | None
    finished_at: datetime | None
    train_seconds: float | None
    device_seconds: float
    commit: str
    facts: Mapping[str, Fact] = field(default_factory=dict)


class Export:
    """A project on its way out. Its parts are read when they are asked for, each time anew; `written` counts the last time."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.written = {"candidates": 0, "runs": 0, "points": 0}

    @property
    def metric(self) -> str:
        return self.project.file.metric.key

    def candidates(self) -> Iterator[CandidateRecord]:
        """Every candidate by number. Four queries for each CHUNK of them."""
        self.written["candidates"] = 0
        landed = dict(self.project.landings.filter(state="landed").values_list("candidate_id", "version__number"))
        rows = self.project.candidates.select_related("base", "patch_set", "evidence", "project").order_by("number")
        rows = rows.prefetch_related(failed_at_rungs()).defer("proposed", "details")
        for chunk in chunks_of(rows.iterator(chunk_size=CHUNK)):
            costs = costs_of(chunk)
            self.written["candidates"] += len(chunk)
            for row in chunk:
                spent = costs[row.pk].seconds if row.pk in costs else 0.0
                yield candidate_record(row, spent, landed.get(row.pk))

    def runs(self) -> Iterator[tuple[RunRecord, Mapping[str, Curve]]]:
        """Every run that began, in the order in which they were asked for, with its curves. Three queries for each CHUNK."""
        self.written |= {"runs": 0, "points": 0}
        rows = self.project.runs.exclude(state=State.QUEUED).select_related("baseline", "device", "patch_set__candidate")
        rows = rows.defer("patch_set__diff", "patch_set__candidate__proposed").order_by("pk")
        for chunk in chunks_of(rows.iterator(chunk_size=CHUNK)):
            curves = arrays_of([row.pk for row in chunk])
            self.written["runs"] += len(chunk)
            for row in chunk:
                self.written["points"] += sum(len(steps) for steps, _ in curves[row.pk].values())
                yield run_record(row), curves[row.pk]


def chunks_of(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows in lists of CHUNK."""
    left = iter(rows)
    while chunk := list(islice(left, CHUNK)):
        yield chunk


def candidate_record(row: Candidate, device_seconds: float, landed_as: int | None) -> CandidateRecord:
    """One candidate as people may see it."""
    evidence, gain = row.evidence, row.evidence.gain if row.evidence else None
    valid_evidence = evidence if gain else None  # health first
    saved = valid_evidence.document.savings if valid_evidence else None
    decided = row.stage in (*DISCARDED, Stage.LANDED)
    return CandidateRecord(
        candidate=row.number,
        status=status_of(row),
        stage=row.get_stage_display(),
        title=row.title,
        hypothesis=row.hypothesis,
        category=row.category,
        kind=row.kind,
        author=row.author,
        author_kind=row.author_kind,
        base=row.base.number,
        commit=row.patch_set.commit if row.patch_set else "",
        diff=row.patch_set.diff if row.patch_set else "",
        created_at=row.created_at,
        verdict=evidence.verdict if evidence else "",
        effect=gain.value if gain else None,
        standard_error=gain.error if gain else None,
        low=gain.low if gain else None,
        high=gain.high if gain else None,
        saved=saved.saved if saved else None,
        saved_low=saved.low if saved else None,
        saved_high=saved.high if saved else None,
        sigma=valid_evidence.sigma if valid_evidence else None,
        mean=valid_evidence.candidate_mean if valid_evidence else None,
        n=valid_evidence.candidate_n if valid_evidence else None,
        baseline_mean=valid_evidence.baseline_mean if valid_evidence else None,
        baseline_n=valid_evidence.baseline_n if valid_evidence else None,
        failed_guards=row.failed_guards,
        device_seconds=device_seconds,
        aa=row.aa if decided else None,
        landed_as=landed_as,
    )


def status_of(row: Candidate) -> str:
    """Its stage in the words of a results table."""
    stage = Stage(row.stage)
    return STATUS.get(stage, "discard" if stage in DISCARDED else "pending")


def run_record(row: Run) -> RunRecord:
    """One run as people may see it, without its hidden score."""
    patch_set = row.patch_set
    return RunRecord(
        run=row.pk,
        candidate=patch_set.candidate.number if patch_set else None,
        patch_set=patch_set.number if patch_set else None,
        base=row.baseline.number,
        purpose=row.purpose,
        scale=row.scale,
        seed=row.seed,
        budget_share=row.budget_share,
        state=row.state,
        outcome=row.outcome,
        reason=row.reason,
        score=row.score,
        self_reported=row.self_reported,
        device=row.device.name if row.device else "",
        devices=row.devices,
        sandbox=row.sandbox_level,
        started_at=row.started_at,
        finished_at=row.finished_at,
        train_seconds=row.train_seconds,
        device_seconds=row.device_seconds,
        commit=row.commit,
        facts=dict(row.summary.facts),
    )
