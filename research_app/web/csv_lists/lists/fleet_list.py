"""Every device that was ever seen."""

from collections.abc import Iterator, Sequence

from django.http import HttpRequest

from research_app.models import Device
from research_app.web.csv_lists.csv_list import CsvList
from research_app.web.shared.cells import Cell


def rows(request: HttpRequest) -> Iterator[Sequence[Cell]]:
    """One query."""
    for device in Device.objects.order_by("name"):
        yield (
            device.name,
            device.kind,
            device.description,
            device.online,
            device.refusal,
            device.sandbox_level,
            device.seen_at,
        )


LIST = CsvList(
    "fleet",
    "devices",
    ("device", "kind", "description", "online", "refuses runs because", "sandbox", "last seen"),
    rows_of_all=rows,
)
