"""Lines added and removed."""

from research_app.web.candidates.columns import Column

COLUMN = Column("lines", "Lines", hint="lines added and removed", order=9)
