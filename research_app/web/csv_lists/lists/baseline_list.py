"""Versions of the baseline, newest first, with the mean of their own runs."""

from collections.abc import Iterator, Sequence

from django.http import HttpRequest

from research_app.models import Project
from research_app.web.baseline.baseline import versions
from research_app.web.csv_lists.csv_list import CsvList
from research_app.web.shared.cells import Cell


def rows(request: HttpRequest, project: Project) -> Iterator[Sequence[Cell]]:
    """Those that the page has."""
    for each in versions(project):
        landed = " ".join(str(landing.candidate) for landing in each.landings)
        version = each.version
        yield (version.number, version.commit, version.created_at, landed, each.mean, each.std, each.n, each.undone)


LIST = CsvList(
    "baseline",
    "versions of the baseline, newest first",
    ("baseline", "commit", "since", "landed", "mean score", "standard deviation", "n", "taken back"),
    rows=rows,
)
