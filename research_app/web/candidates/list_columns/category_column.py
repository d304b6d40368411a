"""What kind of change it is."""

from django.db.models import F

from research_app.web.candidates.columns import Column, Order
from research_app.web.shared.effects import Row


def text(row: Row) -> object:
    return row.candidate.category


COLUMN = Column(
    "category",
    "Category",
    text=text,
    orders=(
        Order("category", "by category", F("category").asc()),
        Order("category-z", "by category, from Z", F("category").desc()),
    ),
    order=7,
)
