"""Diverged: a run that ended with a score far from all others of its tree is a failed run, not a score that enters means."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from django.db import transaction

from research_app.evidence.digits import score as figure
from research_app.evidence.divergence import LARGE, diverged
from research_app.models import BaselineVersion, Event, Project, Run, State
from research_app.models.event_kinds import EventKind
from research_app.models.run import RunQuerySet, is_usable
from training.spec import Outcome


def settle_baseline(baseline: BaselineVersion, scale: str) -> None:
    """Mark the runs of a baseline that diverged, so that they are no reference (one query, more where a run is far off)."""
    mark_diverged(baseline.project, baseline.runs.of_baseline(scale).filter(budget_share=1.0, state=State.FINISHED))


def mark_diverged(project: Project, runs: RunQuerySet, judging: int | None = None) -> bool:
    """Mark those of one tree's runs that diverged, though they ended with a score; whether there were any.

    `judging` is the key of the candidate whose runs they are.
    """
    ended = [run for run in runs.completed().order_by("pk") if run.score is not None]
    scored = [run for run in ended if is_usable(run.score)]
    diverged_runs = [run for run in ended if run not in scored]
    if apart([run.score or 0.0 for run in scored]):
        noise = project.noise(scored[0].scale, but=[run.pk for run in scored], judging=judging)
        diverged_runs += [scored[n] for n in diverged([run.score or 0.0 for run in scored], noise, project.sign > 0)]
    others = [run for run in scored if run not in diverged_runs]
    for run in diverged_runs:
        mark(run, others)
    return bool(diverged_runs)


def apart(scores: Sequence[float]) -> bool:
    """Whether any may have diverged at first sight, which saves reading the noise."""
    return len(scores) >= 3 and max(scores) - min(scores) > LARGE * abs(median(scores))


def mark(run: Run, others: Sequence[Run]) -> None:
    """Say that a run diverged. Its score stays in the log of events, and in its reason where its own code printed it."""
    count = "the other run" if len(others) == 1 else f"the {len(others)} other runs"
    if run.self_reported:
        beside = f", {count} of its tree around {figure(median(each.score or 0.0 for each in others))}" if others else ""
        why = f"It diverged: with seed {run.seed} it ended at a score of {figure(run.score)}{beside}."
    else:  # agents read it
        beside = f", far from {count} of its tree" if others else ""
        why = f"It diverged: with seed {run.seed} it ended at a score that no model has{beside}."
    with transaction.atomic():
        fields: dict[str, Any] = {"outcome": Outcome.diverged, "reason": why}
        fields |= {"score": None, "hidden_score": None, "score_by_source": {}}
        if Run.objects.filter(pk=run.pk, outcome=Outcome.completed).update(**fields):
            event_data = {"score": run.score, "seed": run.seed, "group": run.name, "why": why}
            Event.objects.seal([Run.objects.get(pk=run.pk)], EventKind.RUN_DIVERGED, run, "signoff", run.project, **event_data)
