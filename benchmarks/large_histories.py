"""A long history in one database: so many candidates with their patch sets, runs, evidence and events, and a small project.

    generate(10_000)

What a loop leaves behind is copied from a few candidates of each stage that are made as in life; only their numbers, scores and
times differ. Few are open, as in a real installation: the rest was dropped, refused or landed, one in LANDED_EACH. The chain of
the audit log is whole; rows are not sealed in it. Curves are kept for none (see `make bench-curves`).
"""

import random
import subprocess
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.core.management.color import no_style
from django.db import connection, models, transaction
from django.utils import timezone

from research_app.models import (
    BaselineVersion,
    Candidate,
    Device,
    Event,
    Evidence,
    Landing,
    LandingState,
    PatchSet,
    Project,
    Purpose,
    Run,
    RunLog,
    Series,
    SeriesChunk,
    Stage,
    State,
    Verdict,
)
from research_app.models.append_only import GENESIS
from research_app.models.event_kinds import EventKind
from tests.factories import make_candidate, make_device, make_many, make_project, make_run

LANDED_EACH = 250
OPEN = {Stage.READY: 14, Stage.SHORTLISTED: 25, Stage.SCREENING: 4, Stage.CHANGES: 2}
"""How many of a history are open; the newest of all."""
ENDED = {Stage.DROPPED: 60, Stage.INCONCLUSIVE: 22, Stage.REJECTED: 6, Stage.CRASHED: 5, Stage.INVALID: 5, Stage.NO_TRANSFER: 2}
"""Shares of the ends, in percent."""
VERDICTS = {Stage.READY: Verdict.SOLID, Stage.SHORTLISTED: Verdict.SOLID, Stage.LANDED: Verdict.SOLID}
VERDICTS |= {Stage.REJECTED: Verdict.SOLID, Stage.NO_TRANSFER: Verdict.SOLID, Stage.INVALID: Verdict.INVALID}
EVENTS = (EventKind.CANDIDATE_PROPOSED, EventKind.STAGE_CHANGED, EventKind.EVIDENCE_FROZEN)
WITH_KEYS: Sequence[type[models.Model]] = (BaselineVersion, Candidate, PatchSet, Evidence, Run)
AT_ONCE = 1000
HYPOTHESES = (
    "Warm-up 5% → 2% of the budget: a small model needs less of it",
    "Share the scale of attention over heads, so that fewer numbers are learned where they matter little",
    "A wider multiplication in the last block: the readout is what this size lacks",
    "Clip gradients by their running median: single batches move the weights too far early on",
)


@dataclass
class Template:
    """A candidate that was made as in life, with what hangs on it."""

    candidate: Candidate
    patch_set: PatchSet
    evidence: Evidence | None
    runs: list[Run]


@dataclass
class Batch:
    """Rows that are written together, in this order."""

    rows: dict[type[models.Model], list[Any]] = field(default_factory=dict)

    def add(self, row: models.Model) -> None:
        self.rows.setdefault(type(row), []).append(row)

    def write(self) -> None:
        with transaction.atomic():
            for model in (BaselineVersion, Candidate, PatchSet, Evidence, Run, RunLog, Landing, Event):
                model._default_manager.bulk_create(self.rows.get(model, []), batch_size=500)
            Candidate.objects.bulk_update(self.rows.get(Candidate, []), ["patch_set", "evidence"], batch_size=200)
        self.rows.clear()


def generate(count: int, seed: int = 0) -> Project:
    """A project `large` with so many candidates, and one `small` beside it with 30."""
    large = make_project("large")
    make_many(make_project("small"), 30, stage=Stage.DROPPED)
    make_device()
    templates = {stage: template_of(large, stage) for stage in (*OPEN, *ENDED, Stage.LANDED)}
    SeriesChunk.objects.all().delete()
    Series.objects.all().delete()
    writer = Writer(large, templates, count, random.Random(seed))
    for batch in writer.batches():
        batch.write()
    Project.objects.filter(pk=large.pk).update(last_number=Candidate.objects.filter(project=large).count())
    set_sequences()
    one_at_work(large)
    return Project.objects.get(pk=large.pk)


def template_of(project: Project, stage: Stage) -> Template:
    """One candidate of a stage."""
    effect = None if stage in (Stage.CRASHED, Stage.SCREENING) else 0.012
    made = make_candidate(project, stage=stage, effect=effect, runs=2, verdict=VERDICTS.get(stage), why="As its runs say.")
    assert made.patch_set is not None
    runs = list(made.patch_set.runs.order_by("pk"))
    return Template(made, made.patch_set, made.evidence, runs)


class Writer:
    """Makes the rows, oldest first."""

    def __init__(self, project: Project, templates: dict[Stage, Template], count: int, dice: random.Random) -> None:
        self.project = project
        self.templates = templates
        self.count = count
        self.dice = dice
        self.now = timezone.now()
        self.base = project.tip()
        self.next: dict[type[models.Model], int] = {model: (newest(model) or 0) + 1 for model in WITH_KEYS}
        last = Event.objects.order_by("-sequence").first()
        self.sequence, self.previous = (last.sequence, last.hash) if last else (0, GENESIS)
        self.open = [stage for stage, many in OPEN.items() for _ in range(many)]
        self.first = len(templates) + 1
        self.commits = commits(project, count // LANDED_EACH + 2)

    def batches(self) -> Iterator[Batch]:
        batch = Batch()
        for number in range(self.first, self.count + 1):
            self.candidate(batch, number, self.stage_of(number))
            if number % AT_ONCE == 0:
                yield batch
        yield batch

    def stage_of(self, number: int) -> Stage:
        left = self.count - number
        if left < len(self.open):
            return self.open[left]
        if number % LANDED_EACH == 0:
            return Stage.LANDED
        return self.dice.choices(list(ENDED), list(ENDED.values()))[0]

    def key(self, model: type[models.Model]) -> int:
        self.next[model] += 1
        return self.next[model] - 1

    def candidate(self, batch: Batch, number: int, stage: Stage) -> None:
        """One candidate with all that hangs on it."""
        template, then = self.templates[stage], self.now - timedelta(minutes=15 * (self.count - number))
        candidate, patch_set = copy(template.candidate), copy(template.patch_set)
        candidate.pk, patch_set.pk = self.key(Candidate), self.key(PatchSet)
        shift = self.dice.gauss(0, 0.006)
        candidate.number, candidate.base_id, candidate.created_at, candidate.stage_since = number, self.base.pk, then, then
        candidate.hypothesis = f"{self.dice.choice(HYPOTHESES)} ({number})"
        candidate.title = candidate.hypothesis[:72]
        patch_set.candidate_id, patch_set.base_id = candidate.pk, self.base.pk
        evidence = self.evidence(batch, template, patch_set, shift, then)
        candidate.patch_set_id, candidate.evidence_id = None, None  # they come after it
        batch.add(candidate)
        batch.add(patch_set)
        candidate.patch_set_id, candidate.evidence_id = patch_set.pk, evidence.pk if evidence else None
        for run in template.runs:
            self.run(batch, run, patch_set, shift, then)
        for kind in EVENTS:
            self.event(batch, kind, candidate, then)
        if stage == Stage.LANDED:
            self.landing(batch, candidate, patch_set, then)

    def evidence(self, batch: Batch, template: Template, patch_set: PatchSet, shift: float, then: Any) -> Evidence | None:
        if template.evidence is None:
            return None
        evidence = copy(template.evidence)
        evidence.pk, evidence.patch_set_id, evidence.frozen_at = self.key(Evidence), patch_set.pk, then
        for name in ("effect", "low", "high"):
            if getattr(evidence, name) is not None:
                setattr(evidence, name, getattr(evidence, name) + shift)
        batch.add(evidence)
        return evidence

    def run(self, batch: Batch, of: Run, patch_set: PatchSet, shift: float, then: Any) -> None:
        run = copy(of)
        run.pk = self.key(Run)
        run.patch_set_id, run.baseline_id = (patch_set.pk if of.patch_set_id else None), self.base.pk
        run.created_at, run.started_at, run.finished_at = then, then, then + timedelta(seconds=16)
        if run.score is not None:
            run.score += self.dice.gauss(-shift, 0.004)
        batch.add(run)
        batch.add(RunLog(run_id=run.pk, text="step     0    0%  val_loss 5.5452\n"))
        self.event(batch, EventKind.RUN_FINISHED, run, then)

    def landing(self, batch: Batch, candidate: Candidate, patch_set: PatchSet, then: Any) -> None:
        """The next version of the baseline, with its reference runs."""
        version = copy(self.base)
        version.pk, version.number, version.created_at = self.key(BaselineVersion), self.base.number + 1, then
        version.commit = next(self.commits)
        batch.add(version)
        self.base = version
        for seed in range(1, 5):
            run = make_unsaved_run(version, self.templates[Stage.LANDED].runs[0], self.key(Run), seed, then, self.dice)
            batch.add(run)
            self.event(batch, EventKind.RUN_FINISHED, run, then)
        batch.add(
            Landing(
                project=self.project, candidate_id=candidate.pk, patch_set_id=patch_set.pk, state=LandingState.LANDED,
                version_id=version.pk, commit=version.commit,
            )
        )  # fmt: skip

    def event(self, batch: Batch, kind: EventKind, about: models.Model, then: Any) -> None:
        self.sequence += 1
        event = Event(
            sequence=self.sequence, previous_hash=self.previous, at=then, kind=str(kind), actor="signoff",
            subject_type=about._meta.model_name or "", subject_id=about.pk, project_id=self.project.pk,
            data={"why": "As its runs say.", "from": "screening", "to": "dropped"},
        )  # fmt: skip
        event.hash = self.previous = event.compute_hash()
        batch.add(event)


def commits(project: Project, count: int) -> Iterator[str]:
    """So many commits on the baseline's branch, in one process of git; the trees stay what they were."""
    tip = project.tip().commit
    stream = "".join(
        f"commit refs/heads/{project.repository.branch}\ncommitter Signoff <signoff@example.org> {1_700_000_000 + i} +0000\n"
        f"data 6\nlanded\n" + (f"from {tip}\n" if i == 0 else "")
        for i in range(count)
    )
    git = ("git", "--git-dir", str(project.repository.path))
    subprocess.run([*git, "fast-import", "--quiet"], input=stream.encode(), check=True)
    told = subprocess.run(
        [*git, "rev-list", "--reverse", f"{tip}..{project.repository.branch}"], capture_output=True, check=True
    )
    return iter(told.stdout.decode().split())


def make_unsaved_run(version: BaselineVersion, like: Run, pk: int, seed: int, then: Any, dice: random.Random) -> Run:
    """A reference run of a version."""
    run = copy(like)
    run.pk, run.patch_set_id, run.baseline_id, run.purpose, run.seed = pk, None, version.pk, Purpose.REFERENCE, seed
    run.commit, run.started_at, run.finished_at = version.commit, then, then + timedelta(seconds=16)
    run.score = 2.187 - 0.0004 * version.number + dice.gauss(0, 0.007)
    return run


def one_at_work(project: Project) -> None:
    """A run that a device has, and two that wait."""
    waiting = list(project.candidates.filter(stage=Stage.SCREENING).order_by("-number")[:3])
    for candidate, state in zip(waiting, (State.RUNNING, State.QUEUED, State.QUEUED), strict=False):
        assert candidate.patch_set is not None
        device = Device.objects.first() if state == State.RUNNING else None
        make_run(candidate.base, patch_set=candidate.patch_set, seed=9, state=state, device=device, progress=0.4)


def newest(model: type[models.Model]) -> int | None:
    pk: int | None = model._default_manager.order_by("-pk").values_list("pk", flat=True).first()
    return pk


def set_sequences() -> None:
    """Rows were written with their keys: what comes next must not take one of them again; the planner is told how many."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), list(WITH_KEYS)):
            cursor.execute(statement)
        cursor.execute("ANALYZE")
