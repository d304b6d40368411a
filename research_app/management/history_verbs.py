"""The verbs of `manage.py project` for histories: import, rejudge, export and report (docs/how-to/histories.md)."""

import getpass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from agent.proposal import CATEGORIES
from research_app.histories.bring_in import Imported, ImportRefused, import_history
from research_app.histories.export import FORMATS, ExportRefused, export_project
from research_app.histories.rejudge import RejudgeRefused, rejudge
from research_app.histories.results_table import TableRefused
from research_app.loop.check.check import CheckFailed
from research_app.models import ImportedResult, Project
from research_app.repository import RepositoryError
from research_app.web.history.report import Report, html_of, markdown_of


def add_history_verbs(verbs: Any) -> None:
    """The parsers of the verbs."""
    bring = verbs.add_parser("import", help="import the results of another loop, to compare with the project's own")
    bring.add_argument("name", help="name of the project")
    bring.add_argument("--results", type=Path, required=True, metavar="FILE.tsv", help="its table of results")
    bring.add_argument(
        "--repo",
        default="",
        metavar="PATH_OR_URL",
        help="the repository that the results are about (default: import the results without code)",
    )
    bring.add_argument("--branch", default="", help="the branch that the loop worked on (default: the project's branch)")
    bring.add_argument(
        "--as", dest="called", default="", metavar="NAME", help="a name for this history (default: its branch or file)"
    )
    bring.add_argument(
        "--score", default="", metavar="COLUMN", help="the column that holds the score (default: the metric's key)"
    )
    bring.add_argument(
        "--direction",
        choices=("lower", "higher"),
        default="",
        help="whether lower or higher is better (default: as in the project)",
    )
    again = verbs.add_parser("rejudge", help="re-evaluate an imported change with runs of this project")
    again.add_argument("name", help="name of the project")
    again.add_argument("history", help="name of the imported history")
    again.add_argument("row", type=int, help="number of the row, as on the history's page")
    again.add_argument("--category", choices=CATEGORIES, default="architecture", help="category of the candidate")
    out = verbs.add_parser("export", help="export candidates, runs and curves for other tools")
    out.add_argument("name", help="name of the project")
    words = "; ".join(f"{each.name}: {each.words}" for each in FORMATS.values()).replace("%", "%%")
    out.add_argument("--format", dest="kind", choices=tuple(FORMATS), required=True, help=words)
    out.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="an empty or new folder")
    story = verbs.add_parser("report", help="write a report of the results as one HTML or Markdown file")
    story.add_argument("name", help="name of the project")
    story.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="file to write; its ending, .html or .md, selects the format"
    )


def write_report(project: Project, options: dict[str, Any]) -> str:
    """Write a project's report; where, in words. Raises CommandError."""
    writers = {".html": html_of, ".htm": html_of, ".md": markdown_of, ".markdown": markdown_of}
    out: Path = options["out"]
    if out.suffix.lower() not in writers:
        raise CommandError(f"{out} is neither .html nor .md: the ending says what is written.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(writers[out.suffix.lower()](Report.of(project)), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{out} cannot be written: {error.strerror or error}.") from error
    return f"{out}: {out.stat().st_size:,} bytes. It loads nothing from elsewhere."


def export(project: Project, options: dict[str, Any]) -> str:
    """Export a project; what was written, in words. Raises CommandError."""
    try:
        written = export_project(project, options["kind"], options["out"], f"command line ({getpass.getuser()})")
    except (ExportRefused, OSError) as error:
        raise CommandError(str(error)) from error
    return f"{options['out']}: {', '.join(f'{count:,} {what}' for what, count in written.items())}. Hidden scores stay here."


def bring_in(project: Project, options: dict[str, Any]) -> str:
    """Import a history; what was done, in words. Raises CommandError."""
    names = {"repository": "repo", "branch": "branch", "name": "called", "metric": "score", "direction": "direction"}
    words = {name: options[option] for name, option in names.items()}
    try:
        done = import_history(project, options["results"], actor=f"command line ({getpass.getuser()})", **words)
    except (ImportRefused, TableRefused, RepositoryError) as error:
        raise CommandError(str(error)) from error
    return f"{imported_words(done)}\n{settings.SITE_URL}{done.history.get_absolute_url()}"


def judge_again(project: Project, options: dict[str, Any]) -> str:
    """Submit one row of a history as a candidate; its name. Raises CommandError."""
    rows = ImportedResult.objects.select_related("history__project", "candidate")
    result = rows.filter(history__project=project, history__name=options["history"], number=options["row"]).first()
    if result is None:
        names = ", ".join(project.imported_histories.values_list("name", flat=True)) or "none yet"
        raise CommandError(f"{project.slug} has no row {options['row']} of {options['history']}; its histories: {names}.")
    try:
        return str(rejudge(result, author=getpass.getuser(), category=options["category"]))
    except (RejudgeRefused, CheckFailed, RepositoryError) as error:
        raise CommandError(str(error)) from error


def imported_words(done: Imported) -> str:
    """What an import did, for the terminal."""
    counts = ", ".join(f"{count} {outcome}" for outcome, count in done.counts.items())
    if not done.added and not done.filled:
        return f"{done.history.name} holds this table already: {counts}. Nothing was added."
    where = f"{done.diffs} with their diff" if done.history.source else "no diffs: no repository was named (--repo)"
    more = f"; {done.filled} earlier rows got what the repository says" if done.filled else ""
    return f"{done.history.name}: {done.added} rows added{more}. Now {counts}; {where}. Scores are as reported."
