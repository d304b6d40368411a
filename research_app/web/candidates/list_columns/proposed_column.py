"""When it was proposed."""

from django.db.models import F

from research_app.web.candidates.columns import Column, Order

COLUMN = Column(
    "proposed",
    "Proposed",
    orders=(Order("newest", "newest first", F("number").desc()), Order("oldest", "oldest first", F("number").asc())),
    order=12,
)
