"""How long it is at its stage."""

from django.db.models import F

from research_app.web.candidates.columns import Column, Order

COLUMN = Column(
    "changed",
    "Changed",
    hint="how long it is at its stage",
    orders=(
        Order("changed", "changed last", F("stage_since").desc()),
        Order("still", "unchanged longest", F("stage_since").asc()),
    ),
    by_default=True,
    order=13,
)
