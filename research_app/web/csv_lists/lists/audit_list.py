"""Events of the audit log, newest first, as the page filters them."""

import json
from collections.abc import Iterator, Sequence

from django.http import HttpRequest

from research_app.models import Event, Project
from research_app.models.event import HIDDEN
from research_app.web.audit.audit import EventFilters
from research_app.web.csv_lists.csv_list import CsvList
from research_app.web.shared.cells import Cell


def rows(request: HttpRequest) -> Iterator[Sequence[Cell]]:
    """Three queries."""
    kinds = list(Event.objects.order_by("kind").values_list("kind", flat=True).distinct())
    form = EventFilters(request.GET, list(Project.objects.order_by("slug")), kinds)
    for event in form.found().iterator(chunk_size=500):
        slug = event.project.slug if event.project else ""
        data = json.dumps(
            {key: value for key, value in event.data.items() if key not in HIDDEN}, ensure_ascii=False, sort_keys=True
        )
        yield (event.sequence, event.at, slug, event.kind, event.actor, event.subject_type, event.subject_id, data, event.hash)


LIST = CsvList(
    "audit",
    "events of the audit log, newest first",
    ("number", "at", "project", "kind", "by", "about", "its id", "data", "hash"),
    rows_of_all=rows,
)
