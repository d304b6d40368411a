"""Landings: the queue and what left it, newest first."""

from collections.abc import Iterator, Sequence

from django.http import HttpRequest

from research_app.models import Project
from research_app.web.csv_lists.csv_list import CsvList
from research_app.web.csv_lists.lists._of_candidates import COLUMNS, cells
from research_app.web.shared.cells import Cell
from research_app.web.shared.effects import effect_of


def rows(request: HttpRequest, project: Project) -> Iterator[Sequence[Cell]]:
    """One query."""
    landings = project.landings.select_related("candidate__project", "candidate__evidence", "version")
    for landing in landings.defer("candidate__evidence__numbers").order_by("-pk").iterator(chunk_size=500):
        version = landing.version.number if landing.version else None
        mine = cells(landing.candidate, effect_of(landing.candidate.evidence))
        yield (landing.state, version, landing.commit, landing.queued_at, landing.ended_at, landing.reason, *mine)


COLUMNS_OF_ALL = ("landing", "baseline", "commit", "queued", "ended", "reason", *COLUMNS)
LIST = CsvList("landings", "landings, newest first", COLUMNS_OF_ALL, rows=rows)
