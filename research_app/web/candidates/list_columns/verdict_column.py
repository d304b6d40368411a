"""Verdict and stage."""

from research_app.web.candidates.columns import RANK, Column, Order

COLUMN = Column(
    "state",
    "Verdict",
    orders=(
        Order("verdict", "by verdict, solid first", RANK.asc()),
        Order("invalid", "by verdict, invalid first", RANK.desc()),
    ),
    by_default=True,
    order=5,
)
