"""`manage.py candidate submit|revise|widen|show|retry`"""

import getpass
import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet
from django.forms.models import model_to_dict

from agent.proposal import CATEGORIES
from research_app.loop.check.check import CheckFailed, submit
from research_app.loop.propose.revise import RevisionRefused, next_number, revise
from research_app.loop.reconcile import retry
from research_app.loop.review.review import ReviewRefused
from research_app.loop.review.widen import widen
from research_app.management.base import SignoffCommand
from research_app.management.commands.project import find_project
from research_app.models import Candidate, Event, Run, StageMoved
from research_app.repository import RepositoryError, patch_text


class Command(SignoffCommand):
    help = "Submit, revise, inspect and retry candidates."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        submitting = verbs.add_parser("submit", help="submit a patch as a candidate and print its number")
        submitting.add_argument("--project", required=True, help="name of the project")
        submitting.add_argument("--patch", required=True, metavar="FILE", help="a unified diff, or - for standard input")
        submitting.add_argument(
            "--title", default="", help="the change in one short line (default: the beginning of the hypothesis)"
        )
        submitting.add_argument("--hypothesis", required=True, help="what the change should do, and why")
        submitting.add_argument("--category", choices=CATEGORIES, default="architecture", help="what kind of change it is")
        submitting.add_argument("--author", default=getpass.getuser(), help="default: your login name")
        revising = verbs.add_parser("revise", help="answer a request for changes with another patch set")
        revising.add_argument("project", help="name of the project")
        revising.add_argument("number", type=int, help="number of the candidate")
        revising.add_argument(
            "--patch", required=True, metavar="FILE", help="the whole change against the baseline, or - for standard input"
        )
        revising.add_argument("--message", default="", help="what changed since the last patch set")
        revising.add_argument("--author", default=getpass.getuser(), help="default: your login name")
        widening = verbs.add_parser("widen", help="let one candidate exceed the resource envelope, and re-evaluate it")
        widening.add_argument("project", help="name of the project")
        widening.add_argument("number", type=int, help="number of the candidate")
        widening.add_argument(
            "--times", type=float, required=True, help="limit as a multiple of the baseline's use, for example 1.8"
        )
        widening.add_argument("--reason", required=True, help="recorded in the audit log")
        widening.add_argument("--by", required=True, metavar="USER", help="user with the role approver")
        for verb, words in (
            ("show", "print everything known about a candidate"),
            ("retry", "retry what failed or crashed"),
        ):
            one = verbs.add_parser(verb, help=words)
            one.add_argument("project", help="name of the project")
            one.add_argument("number", type=int, help="number of the candidate")
            if verb == "show":
                one.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, options["verb"])(options)

    def submit(self, options: dict[str, Any]) -> None:
        project = find_project(options["project"])
        if not options["hypothesis"].strip():
            raise CommandError("Say with --hypothesis what the change should do.")
        try:
            text = read_patch(options["patch"])
            words = {"title": options["title"], "category": options["category"], "author": options["author"]}
            candidate = submit(project, text, options["hypothesis"], **words)
        except OSError as error:
            raise CommandError(f"The patch {options['patch']} cannot be read: {error}") from error
        except (CheckFailed, RepositoryError, ValueError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(str(candidate.number))

    def revise(self, options: dict[str, Any]) -> None:
        candidate = self.find(options)
        try:
            revise(candidate, author=options["author"], patch=read_patch(options["patch"]), message=options["message"])
        except OSError as error:
            raise CommandError(f"The patch {options['patch']} cannot be read: {error}") from error
        except (RevisionRefused, CheckFailed, RepositoryError, StageMoved) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{candidate} gets patch set {next_number(candidate)}; votes given before are void.")

    def widen(self, options: dict[str, Any]) -> None:
        candidate = self.find(options)
        try:
            person = User.objects.get(username=options["by"], is_active=True)
            widen(candidate, person, options["times"], options["reason"])
        except User.DoesNotExist:
            raise CommandError(f"There is no active account {options['by']}; `manage.py person list` shows them.") from None
        except (ReviewRefused, StageMoved) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{candidate} may use {options['times']:g} times what the baseline uses, and is judged again.")

    def find(self, options: dict[str, Any]) -> Candidate:
        project = find_project(options["project"])
        try:
            return project.candidates.with_evidence().get(number=options["number"])
        except Candidate.DoesNotExist:
            raise CommandError(
                f"Project {project.slug} has no candidate {options['number']}; the newest is {project.last_number}."
            ) from None

    def retry(self, options: dict[str, Any]) -> None:
        retry(self.find(options), "command line")

    def show(self, options: dict[str, Any]) -> None:
        candidate = self.find(options)
        if options["json"]:
            self.stdout.write(json.dumps(everything(candidate), cls=DjangoJSONEncoder, indent=2))
            return
        self.stdout.write(f"{candidate}  {candidate.title}  {candidate.get_stage_display()}  {candidate.why}")
        self.stdout.write(candidate.hypothesis)
        for run in candidate_runs(candidate):
            self.stdout.write(f"run {run.pk}  seed {run.seed}  {run.outcome or run.state}  {run.score or ''}  {run.reason}")
        if candidate.patch_set:
            self.stdout.write(candidate.patch_set.diff)


def read_patch(name: str) -> str:
    """A patch from a file, or from standard input for "-", as its bytes say. Raises OSError, PatchError."""
    return patch_text(sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes())


def candidate_runs(candidate: Candidate) -> QuerySet[Run]:
    """All runs of all patch sets, in order."""
    return Run.objects.filter(patch_set__candidate=candidate).order_by("pk")


def everything(candidate: Candidate) -> dict[str, Any]:
    """A candidate with its patch sets, evidence, runs, votes, landings and events, as plain data."""
    hidden = {"lease_until", "leased_by", "fence_token"}

    def plain(row: Any) -> dict[str, Any]:
        return {name: value for name, value in model_to_dict(row).items() if name not in hidden}

    return plain(candidate) | {
        "state": candidate.get_stage_display(),
        "created_at": candidate.created_at,
        "stage_since": candidate.stage_since,
        "patch_sets": [plain(row) for row in candidate.patch_sets.all()],
        "evidence": plain(candidate.evidence) if candidate.evidence else None,
        "runs": [plain(row) for row in candidate_runs(candidate)],
        "reviews": [
            plain(row) | {"reviewer": row.reviewer.get_username()} for row in candidate.reviews.select_related("reviewer")
        ],
        "landings": [plain(row) for row in candidate.landings.all()],
        "events": [
            {
                "sequence": row.sequence,
                "at": row.at,
                "kind": row.kind,
                "actor": row.actor,
                "data": row.data,
                "hash": row.hash,
            }
            for row in Event.objects.about(candidate)
        ],
    }
