"""The scoreboard: a line for each author."""

from collections.abc import Iterator, Sequence

from django.http import HttpRequest

from research_app.models import Project
from research_app.web.csv_lists.csv_list import CsvList
from research_app.web.scoreboard.scoreboard import scores_of
from research_app.web.shared.cells import Cell

COLUMNS = (
    "author", "kind", "proposed", "trained", "solid", "landed", "duplicates", "replicated", "could replicate", "knobs",
    "structural", "gain", "device hours", "dollars",
)  # fmt: skip


def rows(request: HttpRequest, project: Project) -> Iterator[Sequence[Cell]]:
    """As many queries as the page."""
    for s in scores_of(project):
        gain = s.gain.value if s.gain else None
        yield (
            s.author, s.kind, s.proposed, s.trained, s.solid, s.landed, s.duplicates, s.replicated, s.replicable, s.knobs,
            s.structural, gain, s.hours, s.dollars,
        )  # fmt: skip


LIST = CsvList("scoreboard", "authors, most landed first", COLUMNS, rows=rows)
