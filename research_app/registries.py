"""Every registry of the product (training/registry.py). They are read at the start, so that a broken module is named there."""

from collections.abc import Iterator
from typing import Any

from training.registry import Registry


def registries() -> Iterator[Registry[Any]]:
    """All of them. Imports the rooms that they stand in."""
    from research_app.web.csv_lists.csv_list import LISTS

    yield from (*read_at_start(), LISTS)


def read_at_start() -> Iterator[Registry[Any]]:
    """All but the lists of pages, which need all pages: those are read with the addresses (urls.py)."""
    from research_app.histories.export import FORMATS
    from research_app.loop.notify.channel import CHANNELS
    from research_app.loop.propose.registered import PROPOSERS
    from research_app.web.candidates.columns import COLUMNS
    from training.budget_kind import BUDGETS
    from training.metric_source import SOURCES

    yield from (BUDGETS, CHANNELS, COLUMNS, FORMATS, PROPOSERS, SOURCES)


def read_registries() -> None:
    """Read the folder of each. Raises BrokenVariant."""
    for registry in read_at_start():
        len(registry)
