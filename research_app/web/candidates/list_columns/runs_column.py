"""How many runs the evidence rests on."""

from django.db.models import F

from research_app.web.candidates.columns import Column, Order

COLUMN = Column(
    "n",
    "n",
    hint="runs of the candidate / of the baseline",
    orders=(
        Order("runs", "most runs first", F("evidence__candidate_n").desc(nulls_last=True)),
        Order("few", "fewest runs first", F("evidence__candidate_n").asc(nulls_last=True)),
    ),
    by_default=True,
    order=4,
)
