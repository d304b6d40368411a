"""The shortlist in the order of the page, with the price of each one's next rung."""

from collections.abc import Iterator, Sequence

from django.http import HttpRequest

from research_app.loop.scale_up.price import pace_of
from research_app.models import Project
from research_app.web.csv_lists.csv_list import CsvList
from research_app.web.csv_lists.lists._of_candidates import COLUMNS, cells
from research_app.web.shared.cells import Cell
from research_app.web.shortlist.shortlisted import ORDERS, items_of, ordered


def rows(request: HttpRequest, project: Project) -> Iterator[Sequence[Cell]]:
    """As many queries as the page."""
    rungs = project.file.upper_rungs
    items = items_of(request, project, rungs, {rung.name: pace_of(project, rung) for rung in rungs})
    order = order if (order := request.GET.get("sort", "")) in ORDERS else next(iter(ORDERS))
    for item in ordered(items, order, priced=any(rung.price for rung in rungs)):
        option = item.next
        price = (option.rung.name, option.price.runs, option.price.hours, option.price.money) if option else (None,) * 4
        clashes = " ".join(str(each.other) for each in item.conflicts)
        yield (*cells(item.candidate, item.row.effect), *price, clashes)


LIST = CsvList(
    "shortlist",
    "the shortlist in the order of the page",
    (*COLUMNS, "next rung", "its runs", "device hours", "money", "conflicts with"),
    rows=rows,
)
