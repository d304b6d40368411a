"""The decisions on the real default target: changes that do nothing, and known improvements, through the real loop.

    python -m benchmarks.decisions [--home FOLDER] [--aa 60] [--seeds 16] [--seed 0]

A project of its own gets A/A candidates and the patches of benchmarks/improvements/. Workers train and judge them as they
would any candidate. Then every patch and the baseline are trained with --seeds further seeds each, which no decision saw:
what the patches are really worth. The same --seed on the same machine gives the same runs. With --home, a stopped run goes
on where it was. Exits with 1 when more than one A/A candidate reached a person, when more than one improvement did not, or
when one of them is worth less than 3 sigma.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from research_app.models import Candidate, Project, Run

Count: TypeAlias = Callable[[], tuple[int, int]]

IMPROVEMENTS = Path(__file__).parent / "improvements"
NAME = "decisions"
MEASURE_SEED = 5_000_000  # above the seeds of reference runs, confirmations and A/A candidates
LEAST_WORTH = 3.0  # sigma
MOST_ACCEPTED = 1  # of the A/A candidates
MOST_MISSED = 1  # of the improvements
TELL_EVERY = 30.0  # seconds


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--home", type=Path, help="folder of the installation that is made for this (default: a new one)")
    options.add_argument("--aa", type=int, default=60, help="A/A candidates")
    options.add_argument("--seeds", type=int, default=16, help="seeds that measure each improvement and the baseline")
    options.add_argument("--seed", type=int, default=0, help="another number draws other seeds for every run")
    chosen = options.parse_args()
    os.environ["SIGNOFF_HOME"] = str(chosen.home or tempfile.mkdtemp(prefix="decisions-"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "research_app.settings"
    import django

    django.setup()
    from research_app import set_up

    begun = time.monotonic()
    with set_up.hold_home():
        project = decide_and_measure(chosen.aa, chosen.seeds, chosen.seed)
        sys.exit(report(project, time.monotonic() - begun))


def decide_and_measure(aa: int, seeds: int, seed: int) -> Project:
    """All candidates decided, then all improvements measured."""
    project = prepare(aa, seed)
    train_until("candidates at rest", candidates_at_rest(project))
    queue_measurements(project, seeds)
    train_until("measuring runs ended", measurements_ended(project))
    return project


def prepare(aa: int, seed: int) -> Project:
    """The project with its candidates, the improvements spread among the A/A candidates; made once, then found."""
    from research_app import set_up
    from research_app.loop.check.check import submit
    from research_app.loop.project.projects import create_project
    from research_app.models import Project

    set_up.migrate()
    if found := Project.objects.filter(slug=NAME).first():
        return found
    logging.getLogger("research_app.models.outbox").setLevel(logging.ERROR)  # no broker yet: messages are sent again
    project = create_project(NAME, actor="benchmark")
    Project.objects.filter(pk=project.pk).update(last_number=1000 * seed)  # the numbers of candidates draw their seeds
    patches = sorted(IMPROVEMENTS.glob("*.patch"))
    every = max(1, aa // len(patches))
    for count in range(aa):
        enter_nothing(project)
        if count % every == 0 and patches:
            patch = patches.pop(0)
            submit(project, patch.read_text(), patch.stem, category="architecture", author="benchmark")
    return project


def enter_nothing(project: Project) -> None:
    """One A/A candidate, as the loop enters them."""
    from agent.same import propose_nothing
    from research_app.loop.propose.propose import context_of, enter
    from research_app.models import Author

    project.refresh_from_db()
    base = project.tip()
    enter(project, base, propose_nothing(context_of(project, base)), author="benchmark", kind=Author.SEARCH, aa=True)


def queue_measurements(project: Project, seeds: int) -> None:
    """The same fresh seeds for the baseline and for every improvement, once."""
    from django.db import transaction

    from research_app.loop.runs import request_run
    from research_app.models import Purpose

    patch_sets = [None, *(candidate.patch_set for candidate in improvements(project))]
    with transaction.atomic():
        for seed in range(MEASURE_SEED, MEASURE_SEED + seeds):
            for patch_set in patch_sets:
                request_run(project, project.tip(), patch_set, Purpose.SCREEN, seed)


def improvements(project: Project) -> QuerySet[Candidate]:
    return project.candidates.filter(aa=False).select_related("patch_set", "evidence").order_by("number")


def measuring(project: Project) -> QuerySet[Run]:
    return project.runs.filter(seed__gte=MEASURE_SEED)


def candidates_at_rest(project: Project) -> Count:
    """How many candidates rest, of how many, whenever it is asked."""
    from research_app.models.candidate import IDLE

    return lambda: (project.candidates.filter(stage__in=IDLE).count(), project.candidates.count())


def measurements_ended(project: Project) -> Count:
    """How many measuring runs have ended, of how many, whenever it is asked."""
    return lambda: (measuring(project).filter(state="finished").count(), measuring(project).count())


def train_until(words: str, count: Count) -> None:
    """Run this machine's workers until all that `count` counts are done, and say now and then how far it is."""
    from research_app.machine.services import run_workers

    begun, told_at = time.monotonic(), 0.0

    def complete() -> bool:
        nonlocal told_at
        done, wanted = count()
        if time.monotonic() - told_at > TELL_EVERY:
            told_at = time.monotonic()
            print(f"{done} of {wanted} {words} after {(told_at - begun) / 60:.0f} min", file=sys.stderr, flush=True)
        return bool(done == wanted)

    if not complete():
        run_workers(complete)


def report(project: Project, seconds: float) -> int:
    """Print one row for each improvement, then all figures as one line of JSON. Returns the exit status."""
    from research_app.evidence.noise import false_accept_rate
    from research_app.models.candidate import WAITING

    aa = project.candidates.filter(aa=True)
    accepted = aa.filter(stage__in=WAITING)
    rate = false_accept_rate(accepted.count(), aa.count())
    noise = project.noise()
    assert noise is not None
    print(f"A/A: {accepted.count()} of {aa.count()} reached a person (95% interval {rate.low:.1%} to {rate.high:.1%})")
    print(f"sigma {noise.sigma:.5f}, 95% interval {noise.low:.5f} to {noise.high:.5f}\n")
    print(f"{'improvement':44} {'worth':>18} {'stage':>14} {'shown effect':>14} {'runs':>5}")
    rows = [row_of(candidate, noise.sigma) for candidate in improvements(project)]
    for row in rows:
        shown = "" if row["shown"] is None else f"{row['shown']:+.4f}"
        worth = f"{row['worth']:+.1f} ± {row['error']:.1f} sigma"
        print(f"{row['name']:44} {worth:>18} {row['stage']:>14} {shown:>14} {row['runs']:>5}")
    reached = sum(row["reached"] for row in rows)
    worth = sum(row["worth"] >= LEAST_WORTH for row in rows)
    totals = {
        "aa": aa.count(),
        "aa_reached": accepted.count(),
        "improvements": len(rows),
        "worth_3_sigma": worth,
        "improvements_reached": reached,
        "runs": project.runs.count(),
        "runs_deciding": project.runs.filter(seed__lt=MEASURE_SEED).count(),
        "seconds": round(seconds),
    }
    print(json.dumps(totals))
    good = accepted.count() <= MOST_ACCEPTED and worth == len(rows) and reached >= len(rows) - MOST_MISSED
    return 0 if good else 1


def row_of(candidate: Candidate, sigma: float) -> dict[str, Any]:
    """What an improvement is worth by the measuring seeds, with its standard error, both in sigma; and its outcome."""
    from research_app.models.candidate import WAITING

    project = candidate.project
    mine = scores(measuring(project).filter(patch_set=candidate.patch_set))
    theirs = scores(measuring(project).filter(patch_set=None))
    gain = project.sign * (statistics.fmean(theirs) - statistics.fmean(mine))
    error = math.sqrt(statistics.variance(mine) / len(mine) + statistics.variance(theirs) / len(theirs))
    return {
        "name": candidate.hypothesis,
        "worth": gain / sigma,
        "error": error / sigma,
        "stage": candidate.get_stage_display(),
        "reached": candidate.stage in WAITING,
        "shown": candidate.evidence.effect if candidate.evidence else None,
        "runs": project.runs.filter(patch_set=candidate.patch_set, seed__lt=MEASURE_SEED).count(),
    }


def scores(runs: QuerySet[Run]) -> list[float]:
    return [score for score in runs.values_list("score", flat=True) if score is not None]


if __name__ == "__main__":
    main()
