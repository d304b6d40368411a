"""A project in its first minutes, as the loop leaves it: some of the baseline's runs ended, two train, a candidate waits."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from research_app.models import Candidate, Project, Purpose, Round, Run, Stage, State
from tests.factories import make_candidate, make_device, make_project, make_run

STEPS = 160
SECONDS = 14.0  # of one run


def first_minutes(
    ended: int = 3, running: int = 2, wanted: int = 8, *, slug: str = "demo", devices: int = 2, **config: Any
) -> Project:
    """So many of the baseline's runs ended and train; an open-ended round has brought two candidates."""
    project = make_project(slug, reference_runs=0, **config)
    places = [make_device(f"box/cpu.{index}", index=index) for index in range(devices)]
    for seed in range(1, ended + 1):
        make_run(project.tip(), seed=seed, train_seconds=SECONDS)
    for seed in range(ended + 1, wanted + 1):
        place = places[(seed - ended - 1) % devices] if devices and seed <= ended + running else None
        make_run(
            project.tip(),
            seed=seed,
            state=State.RUNNING if place else State.QUEUED,
            progress=0.5 if place else 0.0,
            device=place,
        )
    Round.objects.create(project=project, proposers=["playbook", "knobs"], opened_by="signoff")
    screened(project)
    return project


def measured(project: Project) -> None:
    """All runs of the baseline have ended."""
    for run in project.runs.filter(purpose=Purpose.REFERENCE).exclude(state=State.FINISHED):
        run.delete()
        make_run(project.tip(), seed=run.seed, train_seconds=SECONDS)


def screened(project: Project) -> Candidate:
    """A candidate whose first run waits for a device."""
    candidate = make_candidate(project, stage=Stage.SCREENING, effect=None, age=timedelta(seconds=20))
    make_run(project.tip(), patch_set=candidate.patch_set, state=State.QUEUED)
    return candidate


def confirmed(project: Project, ended: int = 6) -> Candidate:
    """A candidate that is being confirmed on ten fresh runs, of which so many ended; two train, the others wait."""
    candidate = make_candidate(project, stage=Stage.CONFIRMING, effect=0.05, age=timedelta(seconds=30))
    for place in range(10):
        state = State.FINISHED if place < ended else State.RUNNING if place < ended + 2 else State.QUEUED
        patch_set = candidate.patch_set if place % 2 else None
        make_run(
            project.tip(),
            patch_set=patch_set,
            seed=10_000 + 100 * candidate.number + place // 2,
            purpose=Purpose.CONFIRM,
            state=state,
            train_seconds=SECONDS if state == State.FINISHED else None,
        )
    return candidate


def train_on(seconds: float = 1.4) -> None:
    """All runs that train are so much further."""
    now = timezone.now()
    for run in Run.objects.filter(state=State.RUNNING):
        progress = min(1.0, run.progress + seconds / SECONDS)
        Run.objects.filter(pk=run.pk).update(progress=progress, started_at=now - timedelta(seconds=progress * SECONDS))
        chunk = run.series_chunks.order_by("-sequence")[0]
        step = STEPS * progress
        run.series_chunks.create(sequence=chunk.sequence + 1, points={"val_loss": [[step], [2.6 - progress]]})
