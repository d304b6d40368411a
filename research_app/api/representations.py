"""Rows as agents may know them: figures to half a sigma, nothing of the hidden shard, nothing of who votes how."""

from typing import Any

import numpy as np
from django.conf import settings

from agent.proposal import Tried
from research_app.api import schemas
from research_app.evidence.noise import Noise
from research_app.loop.disclosure import effect_told, finding_told, interval_told, score_told
from research_app.loop.propose.propose import tried
from research_app.loop.runs import NOTHING, costs_of
from research_app.models import Candidate, Evidence, PatchSet, Project, Run
from research_app.models.run import arrays_of
from research_app.web.shared.curves import View, kept
from training.reported_by_run import said_by_run

MOST_POINTS = 1000


def project(row: Project) -> schemas.ProjectOut:
    """A project (three queries)."""
    file, tip, noise = row.file, row.tip(), row.noise()
    return schemas.ProjectOut(
        project=row.slug,
        paused=row.paused,
        metric=file.metric.name,
        better=file.metric.direction,
        self_reported=row.self_reported,
        sigma=noise.sigma if noise else None,
        budget=file.budget.words,
        editable=list(file.edit.editable),
        protected=list(file.edit.protected),
        baseline=tip.number,
        baseline_commit=commit(row, tip.commit),
        candidates=row.last_number,
        address=f"{settings.SITE_URL}{row.get_absolute_url()}",
    )


def attempt(row: Tried) -> dict[str, Any]:
    """One row of the history."""
    names = ("author", "category", "title", "hypothesis", "stage", "outcome", "effect", "low", "high", "why")
    return {"number": row.candidate} | {name: getattr(row, name) for name in names}


def candidate(row: Candidate) -> schemas.CandidateOut:
    """A candidate (three queries)."""
    return schemas.CandidateOut(
        **attempt(tried(row.project, row)[0]),
        stage_since=row.stage_since,
        idle=row.idle,
        resting=row.idle,
        waits_for_person=row.waits_for_person,
        needs_attention=row.needs_attention,
        device_seconds=round(costs_of([row]).get(row.pk, NOTHING).seconds, 1),
        patch_set=patch_set(row.patch_set, row.project) if row.patch_set else None,
        address=f"{settings.SITE_URL}{row.get_absolute_url()}",
    )


def commit(project: Project, commit: str) -> str:
    """A commit of the baseline as a clone has it."""
    project.repository.public_tip()
    return project.repository.public_name(commit)


def patch_set(row: PatchSet, project: Project) -> schemas.PatchSetOut:
    """A revision, without its diff."""
    return schemas.PatchSetOut(
        number=row.number,
        base_commit=project.repository.public_name(row.base_commit),
        commit=row.commit,
        diff_hash=row.diff_hash,
        files=[schemas.FileOut(**file.model_dump()) for file in row.changed_files],
        flags=[edit.sentence for edit in row.risky_edits],
    )


def evidence(of: Candidate, row: Evidence) -> schemas.EvidenceOut:
    """Evidence (one query for sigma)."""
    noise = of.project.noise()
    low, high = interval_told(of, noise)
    document = row.document
    findings = document.health.findings if document.health else ()
    return schemas.EvidenceOut(
        verdict=row.verdict,
        effect=effect_told(of, noise),
        low=low,
        high=high,
        sigma=row.sigma,
        baseline_n=row.baseline_n,
        candidate_n=row.candidate_n,
        scale=row.scale,
        health=document.state or "",
        findings=[schemas.FindingOut(rule=each.rule, sentence=finding_told(each.rule, each.sentence)) for each in findings],
        contradictions=[each.sentence for each in document.contradictions],
        failed_guards=[each.name for each in document.failed_guards if each.name],
        policy_version=row.policy_version,
        content_hash=row.content_hash,
        frozen_at=row.frozen_at,
    )


def run(row: Run, noise: Noise | None) -> schemas.RunOut:
    """A run (no query)."""
    return schemas.RunOut(
        id=row.pk,
        group=row.name,
        purpose=row.purpose,
        scale=row.scale,
        seed=row.seed,
        state=row.state,
        outcome=row.outcome,
        reason=row.reason,
        progress=row.progress,
        score=score_told(row, noise),
        self_reported=row.self_reported,
        sandbox=row.sandbox_level,
        started_at=row.started_at,
        finished_at=row.finished_at,
        train_seconds=row.train_seconds,
        device_seconds=round(row.device_seconds, 1),
        facts=(facts := told_facts(row)),
        said_by_the_run=[name for name in facts if said_by_run(row.summary.facts, name)],
        left_out=[f"{count} {why}" for why, count in row.summary.left_out.items()],
    )


def told_facts(row: Run) -> dict[str, float | int | str]:
    """The facts of a run that agents see."""
    return {name: value for name, value in row.summary.facts.items() if name in TOLD_FACTS}


TOLD_FACTS = frozenset(
    ("parameters", "layers", "width", "heads", "steps", "tokens", "flops", "flops_per_token", "tokens_per_second")
) | {"peak_memory_bytes", "startup_seconds", "loop_seconds", "cpu_seconds", "account", "checkpoint_bytes"}
"""Facts of a run that agents see: of the model and the training, nothing of the scoring."""


def curves(row: Run, names: list[str]) -> schemas.SeriesOut:
    """Curves of a run, of some names or all, thinned as the pages thin them (two queries)."""
    curves_by_name = {}
    for name, (steps, values) in sorted(arrays_of([row.pk], names or None)[row.pk].items()):
        finite = np.isfinite(steps) & np.isfinite(values)
        x, y = steps[finite], values[finite]
        at = kept(x, [y], View(), MOST_POINTS) if len(x) else np.empty(0, dtype=np.intp)
        curves_by_name[name] = schemas.CurveOut(steps=x[at].tolist(), values=y[at].tolist(), points=len(steps))
    return schemas.SeriesOut(series={name: curve for name, curve in curves_by_name.items() if not names or name in names})
