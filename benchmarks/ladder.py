"""A real ladder S → M on the default target: a change whose gain holds at the larger scale, and one whose gain does not.

    python -m benchmarks.ladder [--home FOLDER] [--patches NAME …] [--seed 0]

Each patch goes through the real loop: checks, screening, replication and confirmation at S, the shortlist, an approved
scale-up, four seeds of both arms at M with the baseline's loss curve there, and the verdict. Prints what the page says of
each. With --home, a stopped run goes on where it was, and --patches adds further ones to the same baseline runs.
Exits with 1 when no patch transfers, or when all do that were solid at S.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.diff import lines_of
from benchmarks.decisions import IMPROVEMENTS, candidates_at_rest, train_until

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from research_app.models import Candidate, Project

NAME = "ladder"
HERE = Path(__file__).parent
HOLDS = "rotary positions"
DOES_NOT_HOLD = "one-block-at-any-scale"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--home", type=Path, help="folder of the installation that is made for this (default: a new one)")
    named = "patches of benchmarks/, or ideas of the playbook"
    options.add_argument("--patches", nargs="+", default=[HOLDS, DOES_NOT_HOLD], metavar="NAME", help=named)
    options.add_argument("--seed", type=int, default=0, help="another number draws other seeds for the confirmations")
    chosen = options.parse_args()
    patches = {name: patch_of(name) for name in chosen.patches}
    os.environ["SIGNOFF_HOME"] = str(chosen.home or tempfile.mkdtemp(prefix="ladder-"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "research_app.settings"
    import django

    django.setup()
    from research_app import set_up

    begun = time.monotonic()
    with set_up.hold_home():
        project = prepare(chosen.seed)
        for name, patch in patches.items():
            enter(project, name, patch)
        train_until("candidates decided at S", candidates_at_rest(project))
        scale_up_all(project)
        train_until("scale-ups ended", candidates_at_rest(project))
        sys.exit(report(project, time.monotonic() - begun))


def prepare(seed: int) -> Project:
    """The project with the default target's ladder, and the person who approves; made once, then found."""
    from research_app import set_up
    from research_app.loop.project.projects import create_project
    from research_app.models import Project

    set_up.migrate()
    if found := Project.objects.filter(slug=NAME).first():
        return found
    project = create_project(NAME, actor="benchmark")
    Project.objects.filter(pk=project.pk).update(last_number=1000 * seed)
    return project


def person() -> User:
    """Who approves the scale-ups of this benchmark."""
    from django.contrib.auth.models import User

    from research_app.access import Role, set_role

    user, created = User.objects.get_or_create(username="benchmark")
    if created:
        set_role(user, Role.APPROVER)
    return user


def enter(project: Project, name: str, patch: str) -> None:
    """Submit one patch, once."""
    from research_app.loop.check.check import submit

    if project.candidates.filter(hypothesis=name).exists():
        return
    submit(project, patch, name, category="architecture", author="benchmark")


def patch_of(name: str) -> str:
    """A patch of benchmarks/, or an idea of the playbook on the default target."""
    from agent.ideas import BY_NAME
    from training.targets import DEFAULT

    if idea := BY_NAME.get(name):
        text = (DEFAULT / "train.py").read_text()
        new = idea.applied(text, idea.dials[0])
        return "".join(unified_diff(lines_of(text), lines_of(new), "a/train.py", "b/train.py"))
    for folder in (HERE, IMPROVEMENTS):
        if (path := folder / f"{name}.patch").is_file():
            return path.read_text()
    ideas = ", ".join(sorted(BY_NAME))
    raise SystemExit(f"{name!r} is neither a patch in benchmarks/ nor an idea of the playbook. Its ideas: {ideas}.")


def scale_up_all(project: Project) -> None:
    """Approve M for everything that is on the shortlist."""
    from research_app.loop.review.review import Seen
    from research_app.loop.scale_up.shortlist import Pick, Plan, approve_scale_ups
    from research_app.models import Stage

    waiting = project.candidates.filter(stage=Stage.SHORTLISTED).with_evidence().order_by("number")
    seeds = project.file.rung("M").seeds
    for candidate in waiting:
        pick = Pick(candidate, Seen.of(candidate), [Plan("M", seeds)])
        approve_scale_ups(project, [pick], person(), "A run of the benchmark." if candidate.reason_needed else "")


def report(project: Project, seconds: float) -> int:
    """Print a row for each patch and rung, then all figures as one line of JSON. Returns the exit status."""
    from research_app.loop.scale_up.price import account_of, pace_of

    rows = [row for candidate in project.candidates.order_by("number") for row in rows_of(candidate)]
    print(f"{'patch':44} {'rung':>4} {'n':>7} {'gain':>9} {'± se':>8} {'saved':>7} {'95% interval':>16} {'verdict':>14}")
    for row in rows:
        saved = "" if row["saved"] is None else f"{row['saved']:7.0%} {row['low']:8.0%} …{row['high']:5.0%}"
        gain = f"{row['gain']:+9.4f} {row['error']:8.4f}" if row["gain"] is not None else f"{'hidden':>18}"
        print(f"{row['patch']:44} {row['rung']:>4} {row['n']:>7} {gain} {saved:>24} {row['verdict']:>14}")
        print(f"     {row['sentence']}")
    paces = {rung.name: pace_of(project, rung).seconds for rung in project.file.rungs}
    spent = account_of(project).spent
    verdicts = {row["patch"]: row["verdict"] for row in rows if row["rung"] == "M"}
    totals = {
        "verdicts": verdicts,
        "runs_at_M": project.runs.filter(scale="M").count(),
        "seconds_of_a_run": paces,
        "device_hours_at_M": spent.hours,
        "seconds": round(seconds),
    }
    print(json.dumps(totals))
    return 0 if "passes" in verdicts.values() and len(set(verdicts.values())) > 1 else 1


def rows_of(candidate: Candidate) -> list[dict[str, Any]]:
    """What was measured on each rung."""
    from research_app.models import Evidence

    rows = []
    for evidence in Evidence.objects.filter(patch_set__candidate=candidate).order_by("pk"):
        told = evidence.numbers.get("savings") or {}  # type: ignore[attr-defined]
        transfer = evidence.numbers.get("transfer") or {}  # type: ignore[attr-defined]
        if evidence.scale == "S" and "confirmation" not in evidence.numbers:
            continue  # an earlier look
        passed = {True: "passes", False: "does not pass", None: evidence.verdict}[transfer.get("passed")]
        rows.append(
            {
                "patch": candidate.hypothesis,
                "rung": evidence.scale,
                "n": f"{evidence.candidate_n} / {evidence.baseline_n}",
                "gain": evidence.effect,
                "error": evidence.standard_error,
                "saved": told.get("saved"),
                "low": told.get("low"),
                "high": told.get("high"),
                "verdict": passed,
                "sentence": transfer.get("sentence") or evidence.reason,
            }
        )
    return rows


if __name__ == "__main__":
    main()
