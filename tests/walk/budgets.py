"""What a page may cost: the most queries of each route, in one place, and the most seconds of any."""

from collections.abc import Mapping

SECONDS = 2.0
"""Of the processor, commands such as git included; of the clock, where the machine has nothing else to do. So the walk measures
the same on a busy machine."""

DRAWN = 6.0
"""Of the files of a figure, which a process of their own draws while the page is there already."""

USUAL = 30
QUERIES: Mapping[str, int] = {
    "project": 65, "inbox": 70, "baseline": 36, "candidate": 50, "preview": 40, "shortlist": 62,
    "report": 40, "report-markdown": 40,
}  # fmt: skip
"""By route; all others may make USUAL. Each is what the page needs with a full project, and a few more; a report tells all."""


def seconds(route: str) -> float:
    return DRAWN if route.endswith("figure-file") else SECONDS


def most(route: str) -> int:
    return QUERIES.get(route, USUAL)
