"""Rows against what the events vouch for: one that was altered, one that is gone, one that nobody vouches for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models

from research_app.audit.index import Entry, Index
from research_app.audit.report import Kind, Report
from research_app.models import (
    BaselineVersion,
    Candidate,
    Comment,
    Event,
    Evidence,
    ExternalMove,
    ImportedHistory,
    Landing,
    LandingState,
    Note,
    PatchSet,
    ProgramVersion,
    Project,
    Review,
    Run,
    RunLog,
    Series,
    State,
    Widening,
)
from research_app.models.seal import Sealed, altered

CHUNK = 500
Values = Mapping[str, Any]


def _always(row: Values) -> bool:
    return True


def _never(row: Values) -> bool:
    return False


@dataclass(frozen=True)
class Table:
    """Rows of one kind: what a report calls one, to which project it belongs, and whether an event must vouch for it."""

    model: type[models.Model]
    words: str
    project: str  # column with the key of its project
    place: Callable[[Values], str]
    more: tuple[str, ...] = ()  # columns that `place` needs
    must: Callable[[Values], bool] = _always

    @property
    def topic(self) -> str:
        return self.model._meta.model_name or ""

    @property
    def sealed(self) -> tuple[str, ...]:
        columns: tuple[str, ...] = self.model.SEALED  # type: ignore[attr-defined]
        return columns

    def rows(self) -> Iterator[tuple[int, Values]]:
        """All rows by key."""
        columns = dict.fromkeys((*self.sealed, self.project, *self.more))
        rows = self.model._default_manager.order_by("pk").values("pk", *columns)
        return ((int(row["pk"]), row) for row in rows.iterator(chunk_size=CHUNK))

    def now(self, pk: int, row: Values) -> Sealed:
        """A row as it is now, to be held against its seal."""
        return Sealed(f"{self.topic} {pk}", {name: row[name] for name in self.sealed})


def _in_candidate(path: str) -> dict[str, Any]:
    project, number = f"{path}project__slug", f"{path}number"
    place = lambda row: f"{row[project]} C-{row[number]}"  # noqa: E731
    return {"project": f"{path}project_id", "place": place, "more": (project, number)}


def _numbered(words: str) -> dict[str, Any]:
    place = lambda row: f"{row['project__slug']} {words} {row['number']}"  # noqa: E731
    return {"project": "project_id", "place": place, "more": ("project__slug", "number")}


def _run_place(row: Values) -> str:
    number = row["patch_set__candidate__number"]
    arm = f"C-{number}" if number else f"baseline {row['baseline__number']}"
    return f"{row['project__slug']} {arm} seed {row['seed']}"


def _move_place(row: Values) -> str:
    return f"{row['project__slug']} at {row['commit'][:12]}"


def _scored(row: Values) -> bool:
    """A run that was cancelled ends without an event, and without a score."""
    return row["state"] == State.FINISHED and row["score"] is not None


RUN_PLACE = ("project__slug", "baseline__number", "patch_set__candidate__number", "state")
TABLES = (
    Table(Project, "project", "pk", lambda row: str(row["slug"])),
    Table(Candidate, "candidate", **_in_candidate("")),
    Table(PatchSet, "patch set", **_in_candidate("candidate__")),
    Table(Run, "run", "project_id", _run_place, RUN_PLACE, _scored),
    Table(RunLog, "log of run", "run__project_id", lambda row: str(row["run__project__slug"]), ("run__project__slug",), _never),
    Table(Evidence, "evidence", **_in_candidate("patch_set__candidate__")),
    Table(Review, "vote", **_in_candidate("candidate__")),
    Table(BaselineVersion, "baseline version", **_numbered("baseline")),
    Table(Landing, "landing", **_in_candidate("candidate__"), must=lambda row: bool(row["state"] == LandingState.LANDED)),
    Table(ProgramVersion, "program", **_numbered("program")),
    Table(Note, "note", "project_id", lambda row: str(row["project__slug"]), ("project__slug",)),
    Table(
        ExternalMove,
        "move outside Signoff",
        "project_id",
        lambda row: f"{row['project__slug']} at {row['commit'][:12]}",
        ("project__slug",),
    ),
    Table(Comment, "comment", **_in_candidate("thread__candidate__")),
    Table(Widening, "widening", **_in_candidate("candidate__")),
    Table(
        ImportedHistory,
        "imported history",
        "project_id",
        lambda row: f"{row['project__slug']} {row['name']}",
        ("project__slug",),
    ),
)


def check_rows(report: Report, index: Index) -> None:
    """Every row that an event vouches for, and every one that should have such an event."""
    born = {entry.pk for entry in index.of("born")}
    for table in TABLES:
        _check_table(report, index, table, born)
        report.progress(f"{report.checked[table.words]:,} × {table.words}")
    _check_curves(report, index)
    _check_imported(report)


def _check_table(report: Report, index: Index, table: Table, born: set[int]) -> None:
    """Both sides come in the order of their keys, so that neither has to be held in memory."""
    entries, first = index.of(table.topic), index.first(table.topic)
    entry = next(entries, None)
    for pk, row in table.rows():
        while entry and entry.pk < pk:
            _deleted(report, table, entry)
            entry = next(entries, None)
        report.checked[table.words] += 1
        if entry and entry.pk == pk:
            _compare(report, table, entry, row)
            entry = next(entries, None)
        elif table.must(row):
            forged = row[table.project] in born or pk < 1 or (first is not None and pk > first)
            _unsealed(report, index, table, pk, row, forged)
    while entry:
        _deleted(report, table, entry)
        entry = next(entries, None)


def _compare(report: Report, table: Table, entry: Entry, row: Values) -> None:
    if names := altered(entry.value, table.now(entry.pk, row)):
        where = f"{table.words} {entry.pk} ({table.place(row)})"
        what = " and ".join(name.removesuffix("_id").replace("_", " ") for name in names)
        are = "is" if len(names) == 1 else "are"
        report.fault(Kind.ROW_ALTERED, where, f"Its {what} {are} not what {said_by(entry.event)} vouches for.", entry.event)
    elif entry.project not in (None, row[table.project]):
        where = f"{table.words} {entry.pk} ({table.place(row)})"
        report.fault(Kind.PROJECT_MIXED, where, f"{said_by(entry.event)} is of another project.", entry.event)


def _deleted(report: Report, table: Table, entry: Entry) -> None:
    report.fault(
        Kind.ROW_DELETED, f"{table.words} {entry.pk}", f"It is gone; {said_by(entry.event)} vouches for it.", entry.event
    )


def _unsealed(report: Report, index: Index, table: Table, pk: int, row: Values, forged: bool) -> None:
    where = f"{table.words} {pk} ({table.place(row)})"
    if forged:
        report.fault(Kind.ROW_FORGED, where, "No event tells of it.")
        return
    old = index.get("old run", pk) if table.model is Run else None
    if old and (old.value.get("score"), old.value.get("outcome")) != (row["score"], row["outcome"]):
        sentence = f"Its score or outcome is not what {said_by(old.event)} tells."
        report.fault(Kind.ROW_ALTERED, where, sentence, old.event)
    report.cannot(f"{table.words}: written before events carried seals" + (", so only its score and outcome" if old else ""))


def _check_curves(report: Report, index: Index) -> None:
    """The curves of each run that ended, under one seal. A run that trains again has none for a while."""
    for entry in index.of("curves"):
        rows = Series.objects.filter(run_id=entry.pk).values_list("name", "steps", "values")
        now = Sealed(f"curves {entry.pk}", {name: [bytes(steps), bytes(values)] for name, steps, values in rows})
        missing = sorted(set(entry.value["columns"]) - set(now.content))
        if names := altered(entry.value, now) + missing:
            sentence = (
                f"Its {', '.join(names)} {'is' if len(names) == 1 else 'are'} not what {said_by(entry.event)} vouches for."
            )
            report.fault(Kind.ROW_ALTERED, f"curves of run {entry.pk}", sentence, entry.event)
        report.checked["curves"] += 1


def _check_imported(report: Report) -> None:
    """The results of each imported history, under the digest that its own row has, for which an event vouches."""
    for history in ImportedHistory.objects.select_related("project").order_by("pk"):
        report.checked["results of imported histories"] += history.results.count()
        if history.digest_of_rows() != history.rows_digest:
            where = f"imported history {history.pk} ({history.project.slug} {history.name})"
            report.fault(Kind.ROW_ALTERED, where, "Its results are not those that were imported.")


def said_by(sequence: int) -> str:
    """An event in words (one query): only for what is found wrong."""
    row = Event.objects.filter(pk=sequence).values_list("kind", "actor", "at").first()
    return f"event {sequence} (“{row[0]}” by {row[1]}, {row[2]:%Y-%m-%d %H:%M})" if row else f"event {sequence}"
