"""…/csv/<name>.csv : every list of the product as a table for spreadsheets, with the filters of its page.

A list is a module of `lists/` that holds a `CsvList` under the name `LIST`; its page links to it with `{% csv_link "name" %}`.
Cells are text, numbers, times or nothing; text that a spreadsheet would run as a formula gets an apostrophe before it.
"""

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from research_app.models import Project
from research_app.web.shared.access import get_project, researcher
from research_app.web.shared.cells import Cell, Echo, written
from training.registry import Registry

MOST = 100_000  # rows; a longer list is cut, and its last line says so
BYTE_ORDER_MARK = "\ufeff"  # by which spreadsheets know UTF-8

Rows = Callable[[HttpRequest, Project], Iterable[Sequence[Cell]]]
RowsOfAll = Callable[[HttpRequest], Iterable[Sequence[Cell]]]


@dataclass(frozen=True)
class CsvList:
    """One list: its columns, and its rows as the address of its page filters and orders them.

    Exactly one of `rows` (of a project) and `rows_of_all` (of the installation) is given. Rows are read one by one.
    """

    name: str
    words: str
    columns: Sequence[str]
    rows: Rows | None = None
    rows_of_all: RowsOfAll | None = None


LISTS = Registry("list", "research_app.web.csv_lists.lists", "LIST", CsvList)


@researcher
@require_safe
def project_csv(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """A list of one project."""
    project = get_project(request, slug)
    if name not in LISTS or (rows := LISTS[name].rows) is None:
        raise Http404("There is no such list of a project.")
    return as_csv(LISTS[name], rows(request, project), f"{slug}-{name}")


@researcher
@require_safe
def csv_of_all(request: HttpRequest, name: str) -> HttpResponse:
    """A list of the whole installation."""
    if name not in LISTS or (rows := LISTS[name].rows_of_all) is None:
        raise Http404("There is no such list.")
    return as_csv(LISTS[name], rows(request), name)


def as_csv(listed: CsvList, rows: Iterable[Sequence[Cell]], name: str) -> HttpResponse:
    """The whole answer. Nothing in it is kept by caches: what a person may see changes."""
    response = HttpResponse(lines(listed.columns, rows), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def lines(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    """The lines of the table, at most MOST rows of it."""
    writer = csv.writer(Echo())
    yield BYTE_ORDER_MARK + writer.writerow(columns)
    iterator = iter(rows)
    for row in itertools.islice(iterator, MOST):
        yield writer.writerow([written(cell) for cell in row])
    if next(iterator, None) is not None:
        yield writer.writerow([f"cut after {MOST} rows"])
