"""Two changes of the default target that each help alone and undo each other: the second must not land on stale evidence.

    python -m benchmarks.stale_evidence [--home FOLDER] [--budget 8e10] [--seed 0]

Both patches of benchmarks/conflicting/ let half of the attention's channels read the byte before, one inside the attention
and one in the block that calls it. Alone, each is a large gain; together the channels read two bytes back. Git merges them
without a conflict. Both are proposed on the same baseline, judged by the real loop on real runs and approved; then the queue
decides. The same --seed on the same machine gives the same runs. With --home, a stopped run goes on where it was. Exits with 1
unless both were solid alone, the first landed, and the second came back with the reason.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from research_app.models import Candidate, Project

PATCHES = Path(__file__).parent / "conflicting"
NAME = "stale-evidence"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--home", type=Path, help="folder of the installation that is made for this (default: a new one)")
    options.add_argument("--budget", type=float, default=8e10, help="training FLOPs of one run")
    options.add_argument("--seed", type=int, default=0, help="another number draws other seeds for the confirmations")
    chosen = options.parse_args()
    os.environ["SIGNOFF_HOME"] = str(chosen.home or tempfile.mkdtemp(prefix="stale-evidence-"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "research_app.settings"
    import django

    django.setup()
    logging.getLogger("research_app").setLevel(logging.ERROR)  # no broker: messages are taken from their rows
    from research_app import set_up

    begun = time.monotonic()
    with set_up.hold_home():
        set_up.migrate()
        project = prepared(chosen.budget, chosen.seed)
        work_off()
        alone = told(project)
        approve_all(project)
        work_off()
        sys.exit(report(project, alone, time.monotonic() - begun))


def prepared(budget: float, seed: int) -> Project:
    """The project with both candidates; made once, then found."""
    from research_app.loop.check.check import submit
    from research_app.loop.project.projects import create_project
    from research_app.models import Project
    from research_app.project_file.project_file import ProjectFile

    if found := Project.objects.filter(slug=NAME).first():
        return found
    file = ProjectFile.model_validate({"budget": {"amount": budget}})
    project = create_project(NAME, file=file, actor="benchmark")
    Project.objects.filter(pk=project.pk).update(last_number=100 * seed)  # the numbers of candidates draw their seeds
    for patch in sorted(PATCHES.glob("*.patch")):
        submit(project, patch.read_text(), patch.stem.replace("-", " "), category="architecture", author="benchmark")
    return project


def work_off() -> None:
    """Do what workers would do, in this process, until nothing is left to do."""
    from research_app.loop import tasks
    from research_app.models import Message, Run

    while message := Message.objects.order_by("pk").first():
        Message.objects.filter(pk=message.pk).delete()
        getattr(tasks, message.task)(message.object_id)
        if message.task == "train":
            ended = Run.objects.filter(state="finished").count()
            print(f"{ended} of {Run.objects.count()} runs", file=sys.stderr, flush=True)


def approve_all(project: Project) -> None:
    """Approve both, in order, with what a person would see."""
    from django.contrib.auth.models import User

    from research_app.access import Role, set_role
    from research_app.loop.review.review import Seen, approve

    person, _ = User.objects.get_or_create(username="reviewer")
    set_role(person, Role.APPROVER)
    for candidate in project.candidates.with_evidence().filter(stage="ready").order_by("number"):
        approve(candidate, person, Seen.of(candidate))


def told(project: Project) -> list[dict[str, Any]]:
    """Where each candidate stands, with its evidence in sigma."""
    return [row(candidate) for candidate in project.candidates.with_evidence().order_by("number")]


def row(candidate: Candidate) -> dict[str, Any]:
    evidence = candidate.evidence
    effect = evidence.effect if evidence else None
    sigma = evidence.sigma if evidence else None
    return {
        "candidate": candidate.hypothesis,
        "stage": candidate.stage,
        "verdict": evidence.verdict if evidence else None,
        "effect_in_sigma": round(effect / sigma, 2) if effect is not None and sigma else None,
        "on_baseline": evidence.patch_set.base.number if evidence else None,
        "why": candidate.why,
    }


def report(project: Project, alone: list[dict[str, Any]], seconds: float) -> int:
    """Print both stories, then all figures as one line of JSON. Returns the exit status."""
    from research_app.models import Run

    first, second = told(project)
    for before, after in zip(alone, (first, second), strict=True):
        print(f"{before['candidate']}: alone {before['verdict']}, {before['effect_in_sigma']} sigma; then {after['stage']}")
        print(f"  {after['why']}")
    good = all(each["verdict"] == "solid" for each in alone) and first["stage"] == "landed"
    good = good and second["stage"] == "ready" and "no longer holds" in second["why"] and second["on_baseline"] == 1
    figures = {"alone": alone, "afterwards": [first, second], "versions": project.baseline_versions.count()}
    figures |= {"runs": Run.objects.count(), "seconds": round(seconds), "held": good}
    print(json.dumps(figures))
    return 0 if good else 1


if __name__ == "__main__":
    main()
