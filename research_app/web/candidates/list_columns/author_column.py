"""Who proposed it."""

from django.db.models import F

from research_app.web.candidates.columns import Column, Order
from research_app.web.shared.effects import Row


def text(row: Row) -> object:
    return row.candidate.author


COLUMN = Column(
    "author",
    "Author",
    text=text,
    orders=(Order("author", "by author", F("author").asc()), Order("author-z", "by author, from Z", F("author").desc())),
    order=6,
)
