"""`manage.py project inspect|try`: a repository before it is a project."""

import shlex
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from research_app.evidence.digits import number
from research_app.loop.project.bring import try_here
from research_app.loop.project.try_report import TryReport
from research_app.loop.train.idle_gpus import GpusAtWork
from research_app.project_file.project_file import ProjectFile
from research_app.repository import RepositoryError
from research_app.survey.draft import NothingTrains
from research_app.survey.look import inspect
from training.device_lock import StillHeld

MARKS = {True: "yes ", False: "NO  ", None: "    "}
LAST_LINES = 12


def add_door_verbs(verbs: Any) -> None:
    """Declare both verbs."""
    look: ArgumentParser = verbs.add_parser("inspect", help="inspect a repository and draft a project file for it")
    look.add_argument("repo", metavar="PATH_OR_URL", help="the repository")
    look.add_argument("--branch", default="", help="branch to inspect (default: the repository's default branch)")
    look.add_argument("--out", type=Path, metavar="FILE.toml", help="write the draft to this file instead of printing it")
    look.add_argument(
        "--words",
        default="",
        metavar='"WORD …"',
        help='options to append to the training command: --words="--max_iters=100 --n_layer=2"',
    )
    trial: ArgumentParser = verbs.add_parser(
        "try", help="try a project file: two seeds and one repeat in the sandbox, then a report"
    )
    trial.add_argument("config", type=Path, metavar="FILE.toml", help="the project file")
    trial.add_argument("--repo", required=True, metavar="PATH_OR_URL", help="the repository")


def inspect_repository(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """Print or write the project file. Raises CommandError."""
    try:
        words = shlex.split(options["words"])
    except ValueError as error:
        raise CommandError(f"--words is no words of a shell: {error}.") from error
    try:
        text = inspect(options["repo"], options["branch"], words)
        if options["out"] is None:
            stdout.write(text, ending="")
            return
        with options["out"].open("x", encoding="utf-8") as file:
            file.write(text)
    except (RepositoryError, NothingTrains) as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"The project file cannot be written: {error}") from error
    then = f"project try {options['out']} --repo {options['repo']}"
    stdout.write(f"Wrote {options['out']}. Look through it, then: {then}")


def try_repository(options: dict[str, Any], file: ProjectFile, stdout: OutputWrapper) -> None:
    """Try it here and now, and print the report. Raises CommandError where no project can be made of it."""
    try:
        report = try_here(options["repo"], options["config"].read_text(encoding="utf-8"), file, say=stdout.write)
    except (GpusAtWork, StillHeld) as busy:
        raise CommandError(str(busy)) from busy
    if report.failed:
        raise CommandError(report.failed)
    show(report, stdout)
    if not report.good:
        raise CommandError("Not yet: mend what is marked NO, and try again.")
    stdout.write(f"\nIt can be created: project create NAME --repo {options['repo']} --config {options['config']}")


def show(report: TryReport, stdout: OutputWrapper) -> None:
    """The report as lines: what the runs printed and what was read off it, then the checks."""
    first = report.runs[0]
    matched = [line for line in first.lines if line.values]
    stdout.write(f"\nWhat {first.words} printed ({len(matched)} lines were read, > marks them):")
    for line in first.lines[-LAST_LINES:] if not matched else (*matched[:3], *matched[-3:]):
        values = (
            "  → " + ", ".join(f"{name} = {number(value, 6)}" for name, value in line.values.items()) if line.values else ""
        )
        stdout.write(f"{'>' if line.values else ' '} {line.text}{values}")
    stdout.write("")
    for check in report.checks:
        stdout.write(f"{MARKS[check.good]}{check.question} {check.answer}")
        if check.mend:
            stdout.write(f"       → {check.mend}")
