"""Tables with tabs. candidates.tsv begins with the columns of a results table, so that `manage.py project import` reads it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from research_app.evidence.averages import mean
from research_app.histories.export import ExportFormat
from research_app.histories.formats._plain_rows import row_of, write_about
from research_app.histories.records import CandidateRecord, Export, RunRecord

FORMULA = re.compile(r"[=+\-@]")  # with which a spreadsheet would take a text for something to compute
OF_CANDIDATES = [name for name in CandidateRecord.__dataclass_fields__ if name not in ("status", "commit", "mean", "diff")]
OF_RUNS = [name for name in RunRecord.__dataclass_fields__ if name != "facts"]


def write(export: Export, folder: Path) -> None:
    """candidates.tsv, runs.tsv with a column for each fact, curves.tsv with a line for each point, about.json."""
    metric = cell(export.metric)
    _table(folder / "candidates.tsv", ["commit", metric, "status", "description", *OF_CANDIDATES], candidates(export))
    facts = sorted({name for run, _ in export.runs() for name in run.facts})
    columns = [*OF_RUNS, *(f"fact {name}" for name in facts)]
    _table(folder / "runs.tsv", columns, (run_cells(run, facts) for run, _ in export.runs()))
    _table(folder / "curves.tsv", ["run", "series", "step", "value"], points(export))
    write_about(export, folder)


def candidates(export: Export) -> Iterator[Sequence[Any]]:
    """The baseline as the project began, then every candidate."""
    first = export.project.baseline_versions.order_by("number").first()
    if first:
        scores = first.runs.scored().of_baseline().filter(budget_share=1.0).values_list("score", flat=True)
        middle = mean([score for score in scores if score is not None])
        yield [first.commit, middle, "baseline", "baseline 0", *[None] * len(OF_CANDIDATES)]
    for row in export.candidates():
        cells = row_of(row)
        yield [row.commit, row.mean, row.status, row.title, *(cells[name] for name in OF_CANDIDATES)]


def run_cells(run: RunRecord, facts: Sequence[str]) -> Sequence[Any]:
    cells = row_of(run)
    return [*(cells[name] for name in OF_RUNS), *(run.facts.get(name) for name in facts)]


def points(export: Export) -> Iterator[Sequence[Any]]:
    for run, curves in export.runs():
        for name, (steps, values) in curves.items():
            for step, value in zip(steps.tolist(), values.tolist(), strict=True):
                yield run.run, name, step, value


def _table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\t".join(map(cell, columns)) + "\n")
        file.writelines("\t".join(map(cell, row)) + "\n" for row in rows)


def cell(value: Any) -> str:
    """A value in one cell: no tab or line end, numbers with all their digits, and no text that a spreadsheet would compute."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime):
        return value.isoformat()
    text = "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    text = " ".join(text.split())
    return f"'{text}" if FORMULA.match(text) else text


FORMAT = ExportFormat("tsv", "tables with tabs: candidates.tsv as a results table, runs.tsv, curves.tsv", write)
