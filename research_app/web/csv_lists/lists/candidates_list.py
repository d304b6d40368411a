"""Candidates, as the page filters and orders them."""

from collections.abc import Iterator, Sequence

from django.http import HttpRequest

from research_app.models import Candidate, Project
from research_app.web.candidates.candidates import FilterForm, facets, filtered, for_list, ordered
from research_app.web.candidates.columns import DEFAULT_ORDER
from research_app.web.csv_lists.csv_list import CsvList
from research_app.web.csv_lists.lists._of_candidates import COLUMNS, cells
from research_app.web.shared.cells import Cell
from research_app.web.shared.effects import effect_of

MOST_NAMED = 20  # constants of one candidate


def rows(request: HttpRequest, project: Project) -> Iterator[Sequence[Cell]]:
    """Three queries."""
    form = FilterForm(request.GET, *facets(project, request.GET.get("constant", "")), project.file.metric.name)
    listed = ordered(filtered(Candidate.objects.filter(project=project), form), form.chosen("sort") or DEFAULT_ORDER)
    for candidate in for_list(listed).select_related("base").iterator(chunk_size=500):
        names = candidate.patch_set.touched.split() if candidate.patch_set else []
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        constants = " ".join(names[:MOST_NAMED]) + more
        mine = cells(candidate, effect_of(candidate.evidence))
        yield (*mine, candidate.base.number, candidate.kind, constants, candidate.created_at, candidate.hypothesis)


LIST = CsvList(
    "candidates",
    "candidates, filtered and in the order of the page",
    (*COLUMNS, "base", "kind", "constants", "proposed", "hypothesis"),
    rows=rows,
)
