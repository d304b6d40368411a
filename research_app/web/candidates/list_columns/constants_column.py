"""The constants that the diff touches."""

from research_app.web.candidates.columns import Column

COLUMN = Column("constants", "Constants", hint="constants that the diff touches", order=8)
