"""Ablations, newest first."""

from collections.abc import Iterator, Sequence

from django.http import HttpRequest

from research_app.models import Project
from research_app.web.csv_lists.csv_list import CsvList
from research_app.web.shared.cells import Cell


def rows(request: HttpRequest, project: Project) -> Iterator[Sequence[Cell]]:
    """Two queries."""
    checks = project.ablations.select_related("version").prefetch_related("candidates__project").order_by("-pk")
    for check in checks:
        members = " ".join(str(candidate) for candidate in check.candidates.all())
        version, state = check.version.number, check.state
        yield (check.pk, version, members, state, check.reason, check.asked_by, check.created_at, check.ended_at)


LIST = CsvList(
    "ablations",
    "ablations, newest first",
    ("ablation", "baseline", "candidates", "state", "reason", "asked by", "created", "ended"),
    rows=rows,
)
