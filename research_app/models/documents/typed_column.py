"""Typed columns: a property that reads a JSON column once per instance, when it is first asked for, and writes it."""

from collections.abc import Callable, Sequence
from typing import Generic, Self, TypeVar, overload

from django.db import models

from research_app.documents import Document, Part, rows_read
from research_app.models.seal import storable

T = TypeVar("T")
P = TypeVar("P", bound=Part)
D = TypeVar("D", bound=Document)
READ = "_typed_columns"  # of an instance: what was read of each column, beside the stored value that it was read from


class TypedColumn(Generic[T]):
    """Reads `column` with `read`, which takes every stored value. Costs a query where the column was deferred."""

    def __init__(self, column: str, read: Callable[[object], T], write: Callable[[T], object]) -> None:
        self.column, self.read, self.write = column, read, write

    @overload
    def __get__(self, row: None, owner: type[models.Model]) -> Self: ...
    @overload
    def __get__(self, row: models.Model, owner: type[models.Model]) -> T: ...
    def __get__(self, row: models.Model | None, owner: type[models.Model]) -> T | Self:
        if row is None:
            return self
        stored = getattr(row, self.column)
        known: dict[str, tuple[object, T]] = row.__dict__.setdefault(READ, {})
        if self.column not in known or known[self.column][0] is not stored:
            known[self.column] = stored, self.read(stored)
        return known[self.column][1]

    def __set__(self, row: models.Model, value: T) -> None:
        """The only way to write the column: as JSON that either database gives back as it is."""
        setattr(row, self.column, storable(self.write(value)))


def document_in(column: str, kind: type[D]) -> TypedColumn[D]:
    """The document of a column."""
    return TypedColumn(column, kind.read, kind.written)


def rows_in(column: str, kind: type[P]) -> TypedColumn[tuple[P, ...]]:
    """The whole rows of a column that holds a list."""
    return TypedColumn(column, lambda stored: rows_read(kind, stored), rows_written)


def rows_written(rows: Sequence[Part]) -> list[dict[str, object]]:
    """Rows as a column holds them."""
    return [row.written() for row in rows]
