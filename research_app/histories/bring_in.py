"""Bring a results table in: its rows, and what their commits say where there is a repository. One transaction, one event."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from agent.diff import parse_diff
from research_app.evidence.reported import KEPT, Reported, attempts_of
from research_app.histories.claims_of_code import disagreements
from research_app.histories.results_table import COMMIT, MOST_BYTES, ResultsTable, TableRefused, TableRow, read_table
from research_app.models import Event, ImportedHistory, ImportedResult, Project
from research_app.models.event_kinds import EventKind
from research_app.plain_text import without_refused
from research_app.repository import RepositoryError
from research_app.repository.foreign import ForeignCommit, ForeignRepository, is_ancestor, opened_elsewhere
from research_app.repository.mirror import shown_without_secrets

MOST_MESSAGE = 20_000  # characters of a commit's message that are kept
BATCH = 200
NO_REPOSITORY = "It was imported without a repository."


class ImportRefused(Exception):
    """Nothing was imported; the message says why and what to do."""


@dataclass(frozen=True)
class Imported:
    """What an import did: the history, how many rows are new, of how many more is known now, and how many diffs there are."""

    history: ImportedHistory
    added: int
    filled: int
    diffs: int
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Known:
    """What a repository says of one row."""

    full_commit: str = ""
    author: str = ""
    message: str = ""
    at: datetime | None = None
    diff: str = ""
    why_no_diff: str = ""
    contradictions: Sequence[str] = ()


@dataclass(frozen=True)
class Beside:
    """A repository's word on all rows, and the branch that it was asked about."""

    tip: str = ""
    rows: Mapping[int, Known] = field(default_factory=dict)


def import_history(
    project: Project,
    results: Path,
    *,
    actor: str,
    repository: str = "",
    branch: str = "",
    name: str = "",
    metric: str = "",
    direction: str = "",
) -> Imported:
    """Import a results table, with the commits of `branch` of `repository` where one is named.

    Another import under the same name adds rows at the end and what was not known of earlier ones, and changes nothing else.
    Raises ImportRefused, TableRefused or RepositoryError; then nothing was written.
    """
    table = read_table(content_of(results), results.name, metric, (project.file.metric.key, project.file.metric.name))
    lower = (direction or project.file.metric.direction) == "lower"
    require_direction(table, lower, results.name)
    branch = branch or project.file.baseline.branch
    beside = read_commits(table, repository, branch, results.name) if repository else Beside()
    history = ImportedHistory(
        project=project,
        name=name_of(name or (branch if repository else results.stem)),
        file=without_refused(results.name)[:200],
        file_digest=table.digest,
        source=without_refused(shown_without_secrets(repository))[:500],
        branch=branch[:200] if repository else "",
        tip=beside.tip,
        metric=table.metric[:100],
        lower_is_better=lower,
        imported_by=actor,
    )
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        return write(history, table, beside.rows, actor)


def content_of(results: Path) -> bytes:
    """The bytes of a file, one more than are read where it is larger. Raises ImportRefused."""
    try:
        if not results.is_file():
            raise ImportRefused(f"There is no file {results}. Name the results table, such as results.tsv.")
        with results.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ImportRefused(f"{results} cannot be read: {error.strerror or error}.") from error


def name_of(text: str) -> str:
    """What the project calls a history. Raises ImportRefused."""
    name = " ".join(without_refused(text).split())[:100]
    if not name:
        raise ImportRefused("The history needs a name: give one with --as NAME.")
    return name


def require_direction(table: ResultsTable, lower: bool, name: str) -> None:
    """Raises TableRefused where most keeps would be losses: then the other direction is better."""
    keeps = [each.gain for each in attempts_of(reported_rows(table.rows), lower) if each.row.outcome == "keep"]
    worse = sum(gain < 0 for gain in keeps)
    if len(keeps) >= 3 and worse > len(keeps) / 2:
        direction, other = ("lower", "higher") if lower else ("higher", "lower")
        raise TableRefused(
            f"{name}: {worse} of {len(keeps)} keeps would be losses if {direction} {table.metric} is better. "
            f"If {other} is better, say --direction {other}."
        )


def reported_rows(rows: Iterable[TableRow]) -> list[Reported]:
    """Rows of a file for research_app/evidence/reported.py."""
    return [Reported(row.number, row.outcome, row.reported, row.description, row.commit.lower(), row.at) for row in rows]


# What the repository says


def read_commits(table: ResultsTable, source: str, branch: str, results: str) -> Beside:
    """What the commits of a branch say of the rows that name one. Raises RepositoryError."""
    with opened_elsewhere(source, branch) as repository:
        full_names = repository.find(row.commit.lower() for row in table.rows if COMMIT.fullmatch(row.commit))
        commits = repository.about(full_names.values())
        return Beside(repository.head, dict(known_of(table.rows, full_names, commits, repository, results)))


def known_of(
    rows: Sequence[TableRow],
    full_names: Mapping[str, str],
    commits: Mapping[str, ForeignCommit],
    repository: ForeignRepository,
    results: str,
) -> Iterator[tuple[int, Known]]:
    """What each row's commit says; its diff is against what was kept before it, where it stands on that."""
    incumbent = ""
    for row in rows:
        commit = full_names.get(row.commit.lower(), "")
        about = commits.get(commit)
        if about is None:
            yield row.number, Known(why_no_diff=why_not_found(row))
            continue
        parent = about.parents[0] if about.parents else ""
        stands = incumbent and incumbent != commit and is_ancestor(commits, incumbent, commit)
        known = Known(
            commit, without_refused(about.author)[:200], without_refused(about.message)[:MOST_MESSAGE], about.at,
        )  # fmt: skip
        yield (
            row.number,
            known if row.outcome == "baseline" else with_diff(known, row, repository, incumbent if stands else parent, results),
        )
        incumbent = commit if row.outcome in KEPT else incumbent


def why_not_found(row: TableRow) -> str:
    if row.outcome == "baseline":
        return ""
    if not COMMIT.fullmatch(row.commit):
        return "The table names no commit."
    return f"The repository has no commit {row.commit[:12]}, or several: what was discarded is often reset away."


def with_diff(known: Known, row: TableRow, repository: ForeignRepository, base: str, results: str) -> Known:
    """The same with the diff, or why there is none, and what of the row's words its code contradicts."""
    try:
        diff = without_file(repository.changed(base, known.full_commit), results)
    except RepositoryError as error:
        return replace(known, why_no_diff=f"Its diff cannot be kept: {error}"[:300])
    if not diff:
        return replace(known, why_no_diff="Its commit changes nothing but the results table.")
    if "\0" in diff:
        return replace(known, why_no_diff="Its diff holds NUL bytes.")
    sentences = disagreements(f"{row.description}\n{known.message}", repository, base, known.full_commit, diff)
    return replace(known, diff=diff, contradictions=sentences)


def without_file(diff: str, name: str) -> str:
    """A diff without the file of that name at the top: a loop may commit its results table."""
    lines = diff.split("\n")
    for file in reversed(parse_diff(diff)):
        if file.path == name:
            del lines[file.first : file.stop]
    return "\n".join(lines) if any(lines) else ""


# Rows


def write(new: ImportedHistory, table: ResultsTable, known: Mapping[int, Known], actor: str) -> Imported:
    """Rows that are new, and what is now known of earlier ones; inside the caller's transaction. Raises ImportRefused."""
    history = ImportedHistory.objects.filter(project=new.project, name=new.name).first()
    there = list(history.results.order_by("number")) if history else []
    if history:
        require_same(history, there, new, table)
        names = ("file", "file_digest", "imported_by", *(("source", "branch", "tip") if new.source else ()))
        changed = [name for name in names if getattr(history, name) != getattr(new, name)]
        for name in changed:
            setattr(history, name, getattr(new, name))
    else:
        history, changed = new, []
        history.save()
    filled = fill(there, known)
    added = [result_of(history, row, known.get(row.number, Known())) for row in table.rows[len(there) :]]
    ImportedResult.objects.bulk_create(added, batch_size=BATCH)
    rows = there + added
    counts = {outcome: sum(row.outcome == outcome for row in rows) for outcome in ("keep", "discard", "crash", "baseline")}
    if added or filled or "file_digest" in changed or "tip" in changed:
        history.rows_digest, history.imported_at = history.digest_of_rows(), timezone.now()
        history.save()
        event_data: dict[str, object] = {
            "name": history.name,
            "file": history.file,
            "file_digest": history.file_digest,
            "source": history.source,
        }
        event_data |= {"branch": history.branch, "tip": history.tip, "new_rows": len(added), **counts}
        Event.objects.seal([history], EventKind.HISTORY_IMPORTED, history, actor, history.project, **event_data)
    return Imported(history, len(added), filled, sum(bool(row.diff) for row in rows), counts)


def require_same(history: ImportedHistory, there: Sequence[ImportedResult], new: ImportedHistory, table: ResultsTable) -> None:
    """Raises ImportRefused where the file is not the same table, grown."""
    other = f"To import it beside that one, give it a name of its own: --as NAME. {history.name} stays as it is."
    if (history.metric, history.lower_is_better) != (new.metric, new.lower_is_better):
        raise ImportRefused(f"{history.name} was imported with another score ({history.metric}) or direction. {other}")
    if len(table.rows) < len(there):
        raise ImportRefused(f"{history.name} has {len(there)} rows already, and {new.file} has {len(table.rows)}. {other}")
    for row, result in zip(table.rows, there, strict=False):
        for name, mine, theirs in (
            ("commit", result.commit, row.commit),
            ("outcome", result.outcome, row.outcome),
            (history.metric, result.reported, row.reported),
            ("description", result.description, row.description),
        ):
            if mine != theirs:
                raise ImportRefused(
                    f"{new.file}, line {row.line}: the {name} is not what {history.name} has for row {row.number}; "
                    f"an import adds rows and changes none. {other}"
                )


def result_of(history: ImportedHistory, row: TableRow, known: Known) -> ImportedResult:
    """A new row."""
    added, removed = lines_of(known.diff)
    return ImportedResult(
        history=history, number=row.number, outcome=row.outcome, reported=row.reported, description=row.description,
        extra=dict(row.extra), commit=row.commit, full_commit=known.full_commit, author=known.author or row.author,
        message=known.message, at=row.at or known.at, diff=known.diff, added=added, removed=removed,
        why_no_diff=known.why_no_diff or ("" if known.diff or row.outcome == "baseline" else NO_REPOSITORY),
        contradictions=list(known.contradictions),
    )  # fmt: skip


def fill(there: Sequence[ImportedResult], known: Mapping[int, Known]) -> int:
    """Write down what a repository says of rows that were imported without it; how many those are."""
    filled = []
    for result in there:
        code_claims = known.get(result.number)
        if code_claims is None or result.full_commit or not code_claims.full_commit:
            continue
        result.full_commit, result.message, result.diff, result.why_no_diff = (
            code_claims.full_commit, code_claims.message, code_claims.diff, code_claims.why_no_diff,
        )  # fmt: skip
        result.author, result.at = result.author or code_claims.author, result.at or code_claims.at
        result.contradictions = list(code_claims.contradictions)
        result.added, result.removed = lines_of(code_claims.diff)
        filled.append(result)
    names = ["full_commit", "message", "diff", "why_no_diff", "author", "at", "contradictions", "added", "removed"]
    ImportedResult.objects.bulk_update(filled, names, batch_size=BATCH)
    return len(filled)


def lines_of(diff: str) -> tuple[int, int]:
    """Lines that a diff adds and removes."""
    kinds = [line.kind for file in parse_diff(diff) for line in file.lines] if diff else []
    return kinds.count("added"), kinds.count("removed")


def title_of_result(result: ImportedResult) -> str:
    """Its words in one line."""
    return re.sub(r"\s+", " ", result.description or result.message.partition("\n")[0]).strip() or f"row {result.number}"
