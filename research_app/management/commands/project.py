"""`manage.py project create|list|pause|resume|retry|archive|bring-back|moved|adopt|import|rejudge|export|report`"""

import getpass
from argparse import ArgumentParser
from collections.abc import Callable
from keyword import iskeyword
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from research_app.loop.land.external_moves import AdoptionRefused, adopt, notice
from research_app.loop.project.archive_project import ArchivedProject, archive_project, bring_back
from research_app.loop.project.delete_project import DeletionRefused, delete_project
from research_app.loop.project.projects import ProjectRefused, configure, create_project
from research_app.loop.propose.propose import close_round, open_round, pause, resume
from research_app.loop.propose.registered import PROPOSERS
from research_app.loop.reconcile import retry_reference_runs
from research_app.management.base import SignoffCommand
from research_app.management.door_verbs import add_door_verbs, inspect_repository, try_repository
from research_app.management.history_verbs import add_history_verbs, bring_in, export, judge_again, write_report
from research_app.models import ExternalMove, Project, Round
from research_app.project_file.project_file import ProjectFile, ProjectFileError, read_project_file
from research_app.repository import RepositoryError, left_out
from training.corpus import CorpusError
from training.registry import UnknownVariant


def find_project(slug: str) -> Project:
    """The project, or an error that lists those that there are."""
    try:
        return Project.objects.get(slug=slug)
    except Project.DoesNotExist:
        known = ", ".join(Project.objects.values_list("slug", flat=True)) or "none yet"
        raise CommandError(f"There is no project {slug!r}; there are: {known}.") from None


class Command(SignoffCommand):
    help = "Create and manage projects."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create", help="create a project: its repository, its baseline branch and its first runs")
        create.add_argument("name", help="name of the project")
        create.add_argument(
            "--repo", default="", metavar="PATH_OR_URL", help="repository to copy (default: the built-in target)"
        )
        create.add_argument("--config", type=Path, metavar="FILE.toml", help="the project file")
        create.add_argument(
            "--propose",
            metavar="NAMES",
            help=f"keep proposing with these proposers ({', '.join(PROPOSERS)}), comma-separated",
        )
        add_door_verbs(verbs)
        configure_ = verbs.add_parser(
            "configure",
            help="change the project file: allowed paths, policy and margins at any time, the rest until the first score",
        )
        configure_.add_argument("name", help="name of the project")
        configure_.add_argument("--config", type=Path, metavar="FILE.toml", required=True, help="the new project file")
        delete = verbs.add_parser("delete", help="delete a project in which nothing has been measured or decided")
        delete.add_argument("name", help="name of the project")
        verbs.add_parser("list", help="list all projects and their state")
        for verb, words in (
            ("pause", "stop proposing"),
            ("resume", "resume proposing"),
            ("retry", "retry baseline runs that need attention"),
            ("archive", "archive a project: nothing new starts in it"),
            ("bring-back", "restore an archived project"),
        ):
            verbs.add_parser(verb, help=words).add_argument("name", help="name of the project")
        verbs.add_parser("moved", help="show commits that were pushed to the baseline branch outside Signoff").add_argument(
            "name", help="name of the project"
        )
        take = verbs.add_parser("adopt", help="accept commits pushed outside Signoff as the new baseline")
        take.add_argument("name", help="name of the project")
        take.add_argument("commit", help="the tip as printed by `moved`; refused if the branch has moved since")
        take.add_argument("--reason", required=True, help="why it may become the baseline without having been judged")
        add_history_verbs(verbs)
        stop = verbs.add_parser("stop-rounds", help="close the open rounds of a project")
        stop.add_argument("name", help="name of the project")

    def handle(self, *args: Any, **options: Any) -> None:
        verb = options["verb"].replace("-", "_")
        getattr(self, f"{verb}_" if iskeyword(verb) else verb)(options)

    def create(self, options: dict[str, Any]) -> None:
        proposers = [name for name in (options["propose"] or "").split(",") if name]
        try:
            for name in proposers:
                PROPOSERS.named(name)
            file = self.read(options["config"]) if options["config"] else None
            project = create_project(options["name"], source=options["repo"], file=file, actor="command line")
        except (ProjectRefused, ProjectFileError, RepositoryError, CorpusError, UnknownVariant) as error:
            raise CommandError(str(error)) from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        if proposers:
            open_round(project, proposers, None, "command line")
        for line in left_out(project.repository, project.tip().commit).sentences:
            self.stderr.write(line)
        runs = project.file.baseline.runs
        self.stdout.write(f"Project {project.slug}: {runs} baseline runs are queued, baseline {project.tip().commit[:12]}.")

    def inspect(self, options: dict[str, Any]) -> None:
        inspect_repository(options, self.stdout)

    def try_(self, options: dict[str, Any]) -> None:
        try:
            try_repository(options, self.read(options["config"]), self.stdout)
        except ProjectFileError as error:
            raise CommandError(str(error)) from error

    def configure(self, options: dict[str, Any]) -> None:
        project = find_project(options["name"])
        try:
            configure(project, self.read(options["config"]), "command line")
        except (ProjectRefused, ProjectFileError) as error:
            raise CommandError(str(error)) from error
        project.refresh_from_db()
        self.stdout.write(f"Project {project.slug}: policy version {project.policy_version}.")

    def delete(self, options: dict[str, Any]) -> None:
        project = find_project(options["name"])
        try:
            delete_project(project, "command line")
        except DeletionRefused as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Project {options['name']} is deleted. What happened in it stays in the audit log.")

    def read(self, path: Path) -> ProjectFile:
        try:
            return read_project_file(path.read_text(encoding="utf-8"), path.name)
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"The project file {path} cannot be read: {error}") from error

    def list(self, options: dict[str, Any]) -> None:
        for project in Project.objects.order_by("slug"):
            waiting = project.candidates.waiting_for_review().count()
            state = "archived" if project.archived_at else "paused" if project.paused else "active"
            self.stdout.write(f"{project.slug}\t{state}\tbaseline {project.tip().number}\t{waiting} waiting for review")

    def pause(self, options: dict[str, Any]) -> None:
        pause(find_project(options["name"]), "command line")

    def resume(self, options: dict[str, Any]) -> None:
        resume(find_project(options["name"]), "command line")

    def archive(self, options: dict[str, Any]) -> None:
        self.put_away(archive_project, options["name"])

    def bring_back(self, options: dict[str, Any]) -> None:
        self.put_away(bring_back, options["name"])

    def put_away(self, act: Callable[[Project, str], None], name: str) -> None:
        try:
            act(find_project(name), "command line")
        except ArchivedProject as error:
            raise CommandError(str(error)) from error

    def retry(self, options: dict[str, Any]) -> None:
        retry_reference_runs(find_project(options["name"]), "command line")

    def moved(self, options: dict[str, Any]) -> None:
        project = find_project(options["name"])
        move = self.move_of(project)
        if move is None:
            self.stdout.write(f"The branch of {project.slug} is where Signoff left it: baseline {project.tip().number}.")
            return
        self.stdout.write(f"{move.commit}  ({move.added} new commits, {move.left} of baseline {move.before.number} left out)")
        for commit in move.new_commits:
            claims = f"  says that it lands {', '.join(commit.claims)}" if commit.claims else ""
            self.stdout.write(f"  {commit.commit[:12]}  {commit.author}: {commit.subject}{claims}")
        self.stdout.write(f"Nothing lands until: manage.py project adopt {project.slug} {move.commit[:12]} --reason …")

    def adopt(self, options: dict[str, Any]) -> None:
        project = find_project(options["name"])
        move = self.move_of(project)
        if move is None or len(options["commit"]) < 7 or not move.commit.startswith(options["commit"]):
            there = f"there waits {move.commit}" if move else "nothing waits to be taken over"
            raise CommandError(f"{options['commit']} is not what the branch of {project.slug} was moved to: {there}.")
        try:
            version = adopt(move, None, options["reason"], f"command line ({getpass.getuser()})")
        except (AdoptionRefused, RepositoryError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{project.slug}: baseline {version.number} is {version.commit[:12]}.")

    def move_of(self, project: Project) -> ExternalMove | None:
        """The move that waits, looked at anew."""
        try:
            return notice(project, project.repository.tip())
        except RepositoryError as error:
            raise CommandError(str(error)) from error

    def import_(self, options: dict[str, Any]) -> None:
        self.stdout.write(bring_in(find_project(options["name"]), options))

    def export(self, options: dict[str, Any]) -> None:
        self.stdout.write(export(find_project(options["name"]), options))

    def report(self, options: dict[str, Any]) -> None:
        self.stdout.write(write_report(find_project(options["name"]), options))

    def rejudge(self, options: dict[str, Any]) -> None:
        self.stdout.write(judge_again(find_project(options["name"]), options))

    def stop_rounds(self, options: dict[str, Any]) -> None:
        for round_ in Round.objects.filter(project=find_project(options["name"]), closed_at=None):
            close_round(round_, "Closed from the command line.", "command line")
