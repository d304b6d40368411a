"""What waits at the gates of all projects, longest first."""

from collections.abc import Iterator, Sequence

from django.http import HttpRequest

from research_app.models import Candidate
from research_app.web.csv_lists.csv_list import CsvList
from research_app.web.csv_lists.lists._of_candidates import COLUMNS, cells
from research_app.web.shared.cells import Cell
from research_app.web.shared.effects import effect_of


def rows(request: HttpRequest) -> Iterator[Sequence[Cell]]:
    """One query."""
    waiting = Candidate.objects.waiting_for_review().with_evidence().defer("patch_set__diff", "evidence__numbers")
    for candidate in waiting.order_by("stage_since", "pk").iterator(chunk_size=500):
        yield (candidate.project.slug, candidate.stage_since, *cells(candidate, effect_of(candidate.evidence)))


LIST = CsvList("inbox", "what waits at the gates, longest first", ("project", "since", *COLUMNS), rows_of_all=rows)
