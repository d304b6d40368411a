"""Device time of its runs."""

from research_app.web.candidates.columns import SPENT, Column, Order

COLUMN = Column(
    "spent",
    "Device time",
    hint="of all its runs so far: lost attempts and all devices counted",
    orders=(
        Order("dearest", "most device time first", SPENT.desc(nulls_last=True)),
        Order("cheapest", "least device time first", SPENT.asc(nulls_last=True)),
    ),
    order=11,
)
