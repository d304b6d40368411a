"""The baseline version that it is compared with."""

from research_app.web.candidates.columns import Column
from research_app.web.shared.effects import Row


def text(row: Row) -> object:
    return row.candidate.base.number


COLUMN = Column("base", "Base", hint="the baseline version that it is compared with", text=text, order=10)
