"""Rows to test with, on a real bare repository: `make_project()`, then candidates and runs on it.

Everything has a sensible default and is written through the same models as in life. Series are smooth curves with a
little noise, drawn from the seed, so that a test that looks at them sees the same every time.
"""

import math
import random
import shutil
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from research_app.access import Role, set_role
from research_app.evidence.evidence_document import LookRecord
from research_app.evidence.noise import Noise
from research_app.evidence.policy import decide_confirmation
from research_app.loop.check.check import limits_of
from research_app.loop.judge.arms import Arms
from research_app.loop.judge.build_evidence import evidence_of_confirmation, evidence_of_look, looks_of
from research_app.loop.judge.judge import CONFIRM_SEED, decide_looks
from research_app.models import (
    Author,
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
    SeriesChunk,
    Stage,
    State,
    Verdict,
)
from research_app.models.event_kinds import EventKind
from research_app.models.purpose import PRIORITY
from research_app.project_file.project_file import ProjectFile
from research_app.repository import normalised_syntax_hash
from tests import repository_templates
from training.spec import Outcome

BASE_SCORE, SIGMA = 2.187, 0.0071  # of made-up runs, in bits per byte
NOISE = Noise(SIGMA, low=0.0047, high=0.0145, degrees=7)  # as eight calibration runs give it
STEPS = 400

TRAIN_PY = '''"""Train a small model within the budget."""

import torch.nn as nn

LAYERS = 3
WIDTH = 96
LEARNING_RATE = 3e-3
WARMUP = 0.05


def build_model() -> nn.Module:
    """The untrained model."""
    blocks = [nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS)]
    return nn.Sequential(*blocks)


def learning_rate(progress: float) -> float:
    # Linear warm-up, then constant.
    return LEARNING_RATE * min(progress / WARMUP, 1.0)
'''
FILES = {"train.py": TRAIN_PY, "prepare.py": "BUDGET = 5e11\n", "program.md": "# Make the score better\n"}


def make_user(
    name: str = "ada", *, approver: bool = True, role: str = "", password: str = "correct horse battery", **fields: Any
) -> User:
    """A person who may sign in: an approver, or somebody with another role. `approver=False` alone: a viewer, with no group."""
    user = User.objects.create_user(name, password=password, **fields)
    if role or approver:
        set_role(user, Role(role or Role.APPROVER))
    return user


def make_project(slug: str = "demo", *, files: Mapping[str, str] = FILES, reference_runs: int = 4, **config: Any) -> Project:
    """A project with a real bare repository, baseline version 0 and so many completed reference runs."""
    file = ProjectFile.model_validate(config)
    project = Project.objects.create(slug=slug, config=file.model_dump(mode="json"))
    shutil.rmtree(project.folder, ignore_errors=True)  # of an earlier test: rows are rolled back, folders are not
    project.folder.mkdir(parents=True)
    begun = repository_templates.lay_out(Path(project.folder) / "repository.git", file.baseline.branch, files)
    version = BaselineVersion.objects.create(project=project, number=0, commit=begun.tip, tree=begun.tree)
    for seed in range(1, reference_runs + 1):
        make_run(version, seed=seed)
    record("project created", project, project)
    return project


def make_candidate(
    project: Project,
    *,
    edits: Sequence[tuple[str, str, str]] = (("train.py", "WARMUP = 0.05", "WARMUP = 0.02"),),
    hypothesis: str = "Warm-up 5% → 2% of the budget: a small model needs less of it",
    stage: Stage = Stage.READY,
    effect: float | None = 0.012,
    runs: int = 1,
    verdict: Verdict | None = None,
    category: str = "schedule",
    author: str = "knobs",
    author_kind: Author = Author.SEARCH,
    why: str = "",
    age: timedelta = timedelta(minutes=14),
    **fields: Any,
) -> Candidate:
    """A candidate with its commit, patch set, runs and frozen evidence. `effect=None`: neither runs nor evidence.

    `effect` is positive where the candidate is better; the scores of its runs are made to fit.
    """
    base = project.tip()
    project.last_number += 1
    project.save(update_fields=["last_number"])
    then = timezone.now() - age
    candidate = Candidate.objects.create(
        project=project, number=project.last_number, base=base, hypothesis=hypothesis, category=category,
        author=author, author_kind=author_kind, stage=stage, why=why, stage_since=then, created_at=then,
        proposed={"edits": [list(edit) for edit in edits]}, **fields,
    )  # fmt: skip
    record("candidate proposed", candidate, project, author, hypothesis=hypothesis)
    if not edits:
        return candidate
    candidate.patch_set = make_patch_set(candidate, base, edits)
    if effect is not None:
        scores = [BASE_SCORE - project.sign * effect + SIGMA * 0.4 * (i - (runs - 1) / 2) for i in range(runs)]
        for i, score in enumerate(scores):
            make_run(base, patch_set=candidate.patch_set, seed=i + 1, score=score)
        candidate.evidence = make_evidence(candidate.patch_set, scores, verdict)
    candidate.save(update_fields=["patch_set", "evidence"])
    return candidate


def make_many(project: Project, count: int, **fields: Any) -> list[Candidate]:
    """Many candidates at once, with patch sets and evidence that share one commit: for tests that count queries."""
    first = make_candidate(project, **fields)
    made = [first]
    for number in range(first.number + 1, first.number + count):
        patch_set, evidence = PatchSet.objects.get(current_of=first), Evidence.objects.get(current_of=first)
        candidate = Candidate.objects.get(pk=first.pk)
        candidate.pk, candidate.number, candidate.patch_set, candidate.evidence = None, number, None, None
        candidate.save(force_insert=True)
        patch_set.pk, patch_set.candidate = None, candidate
        patch_set.save(force_insert=True)
        evidence.pk, evidence.patch_set = None, patch_set
        evidence.save(force_insert=True)
        candidate.patch_set, candidate.evidence = patch_set, evidence
        candidate.save()
        made.append(candidate)
    Project.objects.filter(pk=project.pk).update(last_number=first.number + count - 1)
    project.refresh_from_db()
    return made


def make_patch_set(candidate: Candidate, base: BaselineVersion, edits: Sequence[tuple[str, str, str]]) -> PatchSet:
    """The candidate's next patch set, with a real commit on the base."""
    repository = candidate.project.repository
    limits = limits_of(candidate.project)
    change = repository_templates.commit_edits(repository, base.commit, edits, candidate.hypothesis, candidate.author, limits)
    number = candidate.patch_sets.count() + 1
    repository_templates.keep(repository, f"candidates/{candidate.number}/{number}", change.commit)
    return PatchSet.objects.create(
        candidate=candidate, number=number, base=base, base_commit=base.commit, commit=change.commit, tree=change.tree,
        diff=change.diff, diff_hash=change.diff_hash, syntax_hash=normalised_syntax_hash({"train.py": change.diff}),
        files=[{"path": f.path, "kind": f.kind, "added": f.added, "removed": f.removed} for f in change.files],
    )  # fmt: skip


def make_evidence(patch_set: PatchSet, scores: Sequence[float], verdict: Verdict | None = None) -> Evidence:
    """Frozen evidence for these scores against the base's reference runs, built as in life.

    The verdict is the policy's, unless another is given: solid evidence comes with its confirming runs on fresh seeds,
    invalid evidence with a failed probe.
    """
    base, project = patch_set.base, patch_set.candidate.project
    policy = project.file.decision_policy()
    reference = list(base.runs.filter(patch_set=None, purpose=Purpose.REFERENCE, score__isnull=False).order_by("pk"))
    runs = list(patch_set.runs.filter(purpose=Purpose.SCREEN, score__isnull=False).order_by("seed"))[: len(scores)]
    runs += [make_run(base, patch_set=patch_set, seed=len(runs) + i + 1) for i in range(len(scores) - len(runs))]
    for run, score in zip(runs, scores, strict=True):
        run.score = score
        run.save(update_fields=["score"])
    arms = Arms(reference, runs)
    decisions = decide_looks(policy, NOISE, arms, project.sign > 0)
    looks = looks_of(policy, decisions)
    evidence = evidence_of_look(patch_set, arms, NOISE, decisions[-1], looks)
    if verdict == Verdict.SOLID:
        evidence.save()
        evidence = make_confirmation(patch_set, sum(scores) / len(scores), looks)
    elif verdict == Verdict.INVALID:
        finding = {"rule": "probe", "sentence": "the causality probe failed"}
        evidence.numbers["health"] = {"state": "invalid", "findings": [finding]}
        evidence.reason = "Not comparable: the causality probe failed."
        evidence.effect = evidence.low = evidence.high = None
    evidence.verdict = verdict or evidence.verdict
    evidence.content_hash = evidence.compute_hash()
    evidence.save()
    return evidence


def make_confirmation(patch_set: PatchSet, score: float, looks: Sequence[LookRecord]) -> Evidence:
    """Evidence, unsaved, of fresh runs of both arms; the candidate's score about as given."""
    base, project = patch_set.base, patch_set.candidate.project
    policy = project.file.decision_policy()
    first = CONFIRM_SEED + 100 * patch_set.candidate.number
    theirs: list[Run] = []
    mine: list[Run] = []
    for i in range(policy.confirm_runs):
        spread = SIGMA * 0.5 * (i - (policy.confirm_runs - 1) / 2)
        for arm, whose, mean in ((theirs, None, BASE_SCORE), (mine, patch_set, score)):
            more: dict[str, Any] = {"purpose": Purpose.CONFIRM, "score": mean + spread, "hidden_score": mean + 0.02 - spread}
            arm.append(make_run(base, patch_set=whose, seed=first + i, series={}, **more))
    arms = Arms(theirs, mine)
    baseline, candidate = arms.scores(hidden=True)
    confirmed = decide_confirmation(policy, NOISE, baseline, candidate, SIGMA, project.sign > 0)
    return evidence_of_confirmation(patch_set, arms, NOISE, confirmed, looks, SIGMA)


def make_run(
    baseline: BaselineVersion,
    *,
    patch_set: PatchSet | None = None,
    seed: int = 1,
    state: State = State.FINISHED,
    outcome: Outcome = Outcome.completed,
    score: float | None = None,
    series: Mapping[str, Any] | None = None,
    log: str = "step     0    0%  val_loss 5.5452\n",
    sandbox_level: str = "none",
    progress: float | None = None,
    **fields: Any,
) -> Run:
    """A run of a patch set or, without one, of the baseline itself. Ended runs have a score, series, facts and a log."""
    ended, completed = state == State.FINISHED, state == State.FINISHED and outcome == Outcome.completed
    noise = random.Random(f"{baseline.number} {patch_set and patch_set.diff_hash} {seed}")
    if score is None and completed:
        score = BASE_SCORE + noise.gauss(0, SIGMA)
    now = timezone.now()
    purpose = fields.pop("purpose", Purpose.SCREEN if patch_set else Purpose.REFERENCE)
    defaults = {
        "commit": patch_set.commit if patch_set else baseline.commit,
        "self_reported": baseline.project.self_reported,
        "started_at": None if state == State.QUEUED else now - timedelta(seconds=16),
        "finished_at": now if ended else None,
        "train_seconds": 15.2 if ended else None,
        "score_by_source": {"web": (score or 0) - 0.1, "science": (score or 0) + 0.1} if completed else {},
        "facts": facts_of(noise) if completed else {},
    }
    run = Run.objects.create(
        project=baseline.project, baseline=baseline, patch_set=patch_set, seed=seed, state=state,
        purpose=purpose, priority=PRIORITY[purpose], queue=baseline.project.queue,
        outcome=outcome if ended else "", score=score if completed else None, sandbox_level=sandbox_level,
        progress=float(ended) if progress is None else progress, **{**defaults, **fields},
    )  # fmt: skip
    if state != State.QUEUED:
        points = series if series is not None else make_series(noise, score or BASE_SCORE, run.progress)
        SeriesChunk.objects.create(run=run, sequence=0, points=points)
    if ended:
        RunLog.objects.create(run=run, text=log)
    return run


def make_series(noise: random.Random, score: float, progress: float = 1.0) -> dict[str, list[list[float]]]:
    """Curves as the default target logs them, up to the share of the budget that was used."""
    last = max(2, int(STEPS * progress))
    steps = [float(step) for step in range(last)]
    watched = steps[::16]
    final = score * math.log(2)

    def loss(step: float) -> float:
        return final + 4.0 * math.exp(-step / (STEPS * 0.07)) + 0.55 * (1 - step / STEPS) ** 2

    return {
        "val_loss": [watched, [round(loss(step) + noise.gauss(0, 0.004), 5) for step in watched]],
        "train_loss": [steps, [round(loss(step) + noise.gauss(0, 0.05), 5) for step in steps]],
        "grad_norm": [steps, [round(0.4 + 3 * math.exp(-step / 30) + abs(noise.gauss(0, 0.05)), 5) for step in steps]],
        "lr": [steps, [round(3e-3 * min(1, (step + 1) / 20) * (1 - 0.9 * step / STEPS), 7) for step in steps]],
        "tokens_per_second": [watched, [round(62_000 + noise.gauss(0, 900), 1) for _ in watched]],
        "memory_mb": [watched, [round(410 + noise.gauss(0, 1.5), 1) for _ in watched]],
        "tokens": [steps, [2048.0 * (step + 1) for step in steps]],
        "flops": [steps, [8e8 * (step + 1) for step in steps]],
        "seconds": [steps, [round(0.038 * (step + 1), 3) for step in steps]],
    }


def facts_of(noise: random.Random) -> dict[str, float | int | str]:
    """Facts as the default target reports them."""
    return {
        "parameters": 372_864, "steps": STEPS, "tokens": 2048 * STEPS, "flops": int(8e8 * STEPS),
        "flops_per_token": 390_625.0, "peak_memory_bytes": 430_000_000 + noise.randrange(4_000_000),
        "tokens_per_second": 62_000 + noise.randrange(900), "data_hash": "d" * 64, "torch": "2.13.0",
    }  # fmt: skip


def make_device(name: str = "box/train.cpu.0", *, kind: str = "cpu", **fields: Any) -> Device:
    """A device whose worker reported just now."""
    return Device.objects.create(name=name, kind=kind, **fields)


def make_landing(candidate: Candidate, state: LandingState = LandingState.QUEUED, reason: str = "") -> Landing:
    """An entry of the landing queue; a landed one has its baseline version and reference runs."""
    assert candidate.patch_set
    version = None
    if state == LandingState.LANDED:
        number = candidate.project.tip().number + 1
        version = BaselineVersion.objects.create(
            project=candidate.project, number=number, commit=candidate.patch_set.commit, tree=candidate.patch_set.tree
        )
        for seed in range(1, 5):
            effect = candidate.evidence.effect if candidate.evidence else 0
            make_run(version, seed=seed, score=BASE_SCORE - (effect or 0) * 0.8 + SIGMA * 0.5 * (seed - 2.5))
    return Landing.objects.create(
        project=candidate.project, candidate=candidate, patch_set=candidate.patch_set, state=state, reason=reason,
        version=version, commit=version.commit if version else "",
    )  # fmt: skip


def record(kind: str, subject: Any, project: Project, actor: str = "signoff", **data: Any) -> Event:
    """One event of the audit log."""
    with transaction.atomic():
        return Event.objects.record(EventKind(kind), subject, actor, project, **data)
