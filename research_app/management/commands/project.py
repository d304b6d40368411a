"""`manage.py project create|list|pause|resume|retry`"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from research_app.loop.projects import ProjectRefused, configure, create_project
from research_app.loop.propose import PROPOSERS, UnknownProposer, close_round, open_round, pause, proposer_named, resume
from research_app.loop.reconcile import retry_bank
from research_app.models import Project, Round
from research_app.project_file import ProjectFile, ProjectFileError, read_project_file
from research_app.repository import RepositoryError
from training.corpus import CorpusError


def find_project(slug: str) -> Project:
    """The project, or an error that lists those that there are."""
    try:
        return Project.objects.get(slug=slug)
    except Project.DoesNotExist:
        known = ", ".join(Project.objects.values_list("slug", flat=True)) or "none yet"
        raise CommandError(f"There is no project {slug!r}; there are: {known}.") from None


class Command(BaseCommand):
    help = "Create and look after projects."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create", help="a bare repository with the baseline branch, and its first runs")
        create.add_argument("name")
        create.add_argument(
            "--repo", default="", metavar="PATH_OR_URL", help="copy this repository; default: the default target"
        )
        create.add_argument("--config", type=Path, metavar="FILE.toml", help="the project file")
        create.add_argument(
            "--propose",
            metavar="NAMES",
            help=f"keep proposing with these proposers ({', '.join(PROPOSERS)}), comma-separated",
        )
        configure_ = verbs.add_parser("configure", help="change what may be edited, the policy or the margins")
        configure_.add_argument("name")
        configure_.add_argument("--config", type=Path, metavar="FILE.toml", required=True)
        verbs.add_parser("list", help="all projects and how they stand")
        for verb, words in (
            ("pause", "propose nothing more"),
            ("resume", "propose again"),
            ("retry", "try stuck baseline runs again"),
        ):
            verbs.add_parser(verb, help=words).add_argument("name")
        stop = verbs.add_parser("stop-rounds", help="close the open rounds of a project")
        stop.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, options["verb"].replace("-", "_"))(options)

    def create(self, options: dict[str, Any]) -> None:
        proposers = [name for name in (options["propose"] or "").split(",") if name]
        try:
            for name in proposers:
                proposer_named(name)
            file = self.read(options["config"]) if options["config"] else None
            project = create_project(options["name"], source=options["repo"], file=file, actor="command line")
        except (ProjectRefused, ProjectFileError, RepositoryError, CorpusError, UnknownProposer) as error:
            raise CommandError(str(error)) from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        if proposers:
            open_round(project, proposers, None, "command line")
        runs = project.file.baseline.runs
        self.stdout.write(f"Project {project.slug}: {runs} baseline runs are queued, baseline {project.tip().commit[:12]}.")

    def configure(self, options: dict[str, Any]) -> None:
        project = find_project(options["name"])
        try:
            configure(project, self.read(options["config"]), "command line")
        except (ProjectRefused, ProjectFileError) as error:
            raise CommandError(str(error)) from error
        project.refresh_from_db()
        self.stdout.write(f"Project {project.slug}: policy version {project.policy_version}.")

    def read(self, path: Path) -> ProjectFile:
        try:
            return read_project_file(path.read_text(encoding="utf-8"), path.name)
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"The project file {path} cannot be read: {error}") from error

    def list(self, options: dict[str, Any]) -> None:
        for project in Project.objects.order_by("slug"):
            waiting = project.candidates.waiting_for_review().count()
            state = "paused" if project.paused else "active"
            self.stdout.write(f"{project.slug}\t{state}\tbaseline {project.tip().number}\t{waiting} waiting for review")

    def pause(self, options: dict[str, Any]) -> None:
        pause(find_project(options["name"]), "command line")

    def resume(self, options: dict[str, Any]) -> None:
        resume(find_project(options["name"]), "command line")

    def retry(self, options: dict[str, Any]) -> None:
        retry_bank(find_project(options["name"]), "command line")

    def stop_rounds(self, options: dict[str, Any]) -> None:
        for asked in Round.objects.filter(project=find_project(options["name"]), closed_at=None):
            close_round(asked, "Closed from the command line.", "command line")
