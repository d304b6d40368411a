"""Time saved at equal loss."""

from research_app.web.candidates.columns import SAVED, Column, Order

COLUMN = Column(
    "saved",
    "Time saved",
    hint="to the baseline's loss; where fresh seeds confirmed it",
    orders=(
        Order("saved", "most time saved first", SAVED.desc(nulls_last=True)),
        Order("costs", "least time saved first", SAVED.asc(nulls_last=True)),
    ),
    order=3,
)
