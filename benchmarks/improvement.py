"""Real research on the default target: how much faster the baseline gets to the first one's loss, and whose work that was.

    python -m benchmarks.improvement [--home FOLDER] [--experiments 60] [--rounds 4] [--proposers playbook,knobs] [--seed 0]

An installation of its own runs the loop without a ladder, so that a solid candidate waits at the last gate. After each round
somebody approves whatever waits, in the order of the numbers and without reading it; the landing queue judges every change
again on the tip that it meets. At the end the first and the last baseline are trained with fresh seeds that no decision saw,
the last one at shares of the budget, and the share at which it is where the first one ends is read off its own curve.
With --home, a stopped run goes on where it was. Exits with 1 when fewer than five solid improvements reached the desk, or when
the time to the first baseline's loss fell by less than a quarter.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from benchmarks.decisions import train_until

if TYPE_CHECKING:
    from research_app.evidence.savings import Reach
    from research_app.models import BaselineVersion, Candidate, Project, Round

NAME = "demo"
FRESH_SEED = 7_000_000  # above the seeds of reference runs, confirmations, A/A candidates and landings
SHARES = (0.03, 0.06, 0.1, 0.15, 0.25, 0.4, 0.65, 1.0)  # of the budget, for the last baseline
SEEDS, FIRST_SEEDS = 4, 8  # of each share; of the first baseline
LEAST_SOLID, LEAST_SAVED = 5, 0.25
REASON = "Approved by the benchmark, which approves whatever is solid."


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--home", type=Path, help="folder of the installation that is made for this (default: a new one)")
    options.add_argument("--experiments", type=int, default=60)
    options.add_argument("--rounds", type=int, default=4, help="after each of them the desk is cleared")
    options.add_argument("--proposers", default="playbook,knobs", help="names, comma-separated; they take turns")
    options.add_argument("--seed", type=int, default=0, help="another number draws other proposals and other seeds")
    chosen = options.parse_args()
    os.environ["SIGNOFF_HOME"] = str(chosen.home or tempfile.mkdtemp(prefix="improvement-"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "research_app.settings"
    import django

    django.setup()
    from research_app import set_up

    begun = time.monotonic()
    with set_up.hold_home():
        project = prepare(chosen.seed)
        for wanted in shared_out(chosen.experiments, chosen.rounds):
            research(project, chosen.proposers.split(","), wanted)
        queue_measurements(project)
        train_until("measuring runs ended", lambda: ended(project))
        sys.exit(report(project, time.monotonic() - begun))


def shared_out(experiments: int, rounds: int) -> list[int]:
    """So many experiments after each round, counted from the beginning."""
    return [experiments * (index + 1) // rounds for index in range(rounds)]


def prepare(seed: int) -> Project:
    """The project on the default target with one rung; made once, then found."""
    from research_app import set_up
    from research_app.loop.project.projects import create_project
    from research_app.models import Project
    from research_app.project_file.project_file import ProjectFile

    set_up.migrate()
    slug = f"{NAME}-{seed}" if seed else NAME  # the name draws modes and categories
    if found := Project.objects.filter(slug=slug).first():
        return found
    project = create_project(slug, file=ProjectFile(), actor="benchmark")
    Project.objects.filter(pk=project.pk).update(last_number=1000 * seed)  # the numbers of candidates draw their seeds
    return project


def research(project: Project, proposers: Sequence[str], wanted: int) -> None:
    """Rounds up to so many experiments in all, taken to rest; then whatever waits is approved and lands."""
    from research_app.loop.propose.propose import close_round, open_round
    from research_app.models import Round

    asked = Round.objects.filter(project=project, closed_at=None).first()
    missing = wanted - project.candidates.filter(round__isnull=False).count()
    if asked is None and missing > 0:
        asked = open_round(project, proposers, missing, "benchmark")
    if asked is not None:
        row = asked
        train_until(f"experiments of {row} at rest", lambda: rested(row))
        close_round(row, "All of its candidates have come to rest.", "benchmark")
    clear_desk(project)
    train_until("landings ended", lambda: landed(project))


def rested(asked: Round) -> tuple[int, int]:
    """How many candidates of a round rest, of how many it wants or could get."""
    from django.db.models import Q

    from research_app.models.candidate import IDLE

    asked.refresh_from_db()
    made = asked.candidates.count()
    idle = asked.candidates.filter(Q(stage__in=IDLE) | ~Q(needs_attention="")).count()
    return idle, made if asked.closed_at else max(made, asked.wanted or 0)


def clear_desk(project: Project) -> None:
    """A person approves every solid candidate that waits, in order."""
    from django.contrib.auth.models import Group, User

    from research_app.access import Role
    from research_app.loop.review.review import Seen, approve
    from research_app.models import Candidate, Stage

    person, _ = User.objects.get_or_create(username="benchmark")
    person.groups.add(Group.objects.get_or_create(name=Role.APPROVER)[0])
    waiting = Candidate.objects.with_evidence().filter(project=project, stage=Stage.READY, evidence__verdict="solid")
    returned = waiting.filter(landings__isnull=False).values("pk")
    for candidate in waiting.exclude(pk__in=returned).order_by("number"):
        approve(candidate, person, Seen.of(candidate), REASON)


def landed(project: Project) -> tuple[int, int]:
    """How many entries of the landing queue have ended, of how many."""
    from research_app.models import Landing

    entries = project.landings.count()
    return entries - Landing.objects.active().filter(project=project).count(), entries


def ends(project: Project) -> tuple[BaselineVersion, BaselineVersion]:
    """The first and the last baseline version."""
    return project.baseline_versions.get(number=0), project.tip()


def queue_measurements(project: Project) -> None:
    """Fresh seeds for both ends, once."""
    from django.db import transaction

    from research_app.loop.runs import request_run
    from research_app.models import Purpose

    first, last = ends(project)
    with transaction.atomic():
        for seed in range(FRESH_SEED, FRESH_SEED + FIRST_SEEDS):
            request_run(project, first, None, Purpose.TARGET, seed)
        for share in SHARES:
            for seed in range(FRESH_SEED, FRESH_SEED + SEEDS):
                request_run(project, last, None, Purpose.TARGET, seed, budget_share=share)


def ended(project: Project) -> tuple[int, int]:
    """How many measuring runs have ended, of how many."""
    runs = project.runs.filter(seed__gte=FRESH_SEED)
    return runs.filter(state="finished").count(), runs.count()


def reach_of(project: Project) -> tuple[Reach, list[float]]:
    """The share of the budget at which the last baseline is where the first one ends, and the first one's scores."""
    from research_app.evidence.savings import budget_to_reach, fit_loss_curve

    first, last = ends(project)
    noise = project.noise()
    assert noise is not None
    runs = project.runs.completed().filter(seed__gte=FRESH_SEED, patch_set=None)
    target = list(runs.filter(baseline=first, budget_share=1.0).values_list("score", flat=True))
    points = list(runs.filter(baseline=last).values_list("budget_share", "score"))
    curve = fit_loss_curve([share for share, _ in points], [float(score or 0) for _, score in points], noise.sigma)
    scores = [float(score or 0) for score in target]
    return budget_to_reach(curve, scores, noise.sigma), scores


def seconds_of(version: BaselineVersion) -> float:
    """Mean processor seconds of a run at the whole budget: seconds on the wall would measure what else the machine does."""
    runs = version.runs.completed().filter(patch_set=None, budget_share=1.0)
    return fmean(float(facts["cpu_seconds"]) for facts in runs.values_list("facts", flat=True))


def report(project: Project, seconds: float) -> int:
    """Print what landed and what it came to, then all figures as one line of JSON. Returns the exit status."""
    from research_app.models import Stage

    made = project.candidates.filter(round__isnull=False)
    solid = made.filter(evidence__verdict="solid").count()
    changes = list(project.candidates.filter(stage=Stage.LANDED).select_related("evidence").order_by("number"))
    for candidate in changes:
        print(line_of(candidate))
    reach, target = reach_of(project)
    first, last = ends(project)
    pace = seconds_of(last) / seconds_of(first)
    saved = [1 - bound * pace for bound in (reach.share, *reversed(reach.interval))]
    structural = [c for c in changes if not c.revision.moved]
    figures: dict[str, Any] = {
        "experiments": made.count(),
        "stages": dict(Counter(made.values_list("stage", flat=True))),
        "solid": solid,
        "landed": len(changes),
        "landed_by_author": dict(Counter(candidate.author for candidate in changes)),
        "landed_structural": len(structural),
        "first_score": round(fmean(target), 4),
        "last_score": round(mean_score(last), 4),
        "compute_share": round(reach.share, 4),
        "compute_share_interval": [round(bound, 4) for bound in reach.interval],
        "extrapolated": reach.extrapolated,
        "seconds_per_flop": round(pace, 3),
        "time_saved": round(saved[0], 4),
        "time_saved_interval": [round(bound, 4) for bound in saved[1:]],
        "seeds": [FRESH_SEED, FRESH_SEED + FIRST_SEEDS - 1],
        "runs": project.runs.count(),
        "runs_measuring": project.runs.filter(seed__gte=FRESH_SEED).count(),
        "seconds": round(seconds),
    }
    print(
        f"\nThe last baseline is where the first one ends after {reach.share:.1%} of its compute "
        f"(95% {reach.interval[0]:.1%} to {reach.interval[1]:.1%}); time saved {saved[0]:.1%} "
        f"({saved[1]:.1%} to {saved[2]:.1%}), processor seconds counted."
    )
    print(
        f"Of {len(changes)} landed changes {len(structural)} change the structure, and every one that the playbook proposed is "
        "in the literature: that part is a plain recipe catching up with what is known. The rest turns constants."
    )
    print(json.dumps(figures))
    return 0 if solid >= LEAST_SOLID and saved[0] >= LEAST_SAVED else 1


def mean_score(version: BaselineVersion) -> float:
    """Over its measuring runs at the whole budget."""
    runs = version.runs.completed().filter(seed__gte=FRESH_SEED, patch_set=None, budget_share=1.0)
    return fmean(float(score or 0) for score in runs.values_list("score", flat=True))


def line_of(candidate: Candidate) -> str:
    """One landed change: author, effect when it landed, what it was."""
    evidence = candidate.evidence
    effect = "" if evidence is None or evidence.effect is None else f"{evidence.effect:+.4f}"
    said = str(candidate.details.get("idea") or candidate.hypothesis)
    return f"{candidate!s:6} {candidate.author:10} {effect:>8}  {said[:90]}"


if __name__ == "__main__":
    main()
