"""Documents: what a JSON column holds, as a type. Reading takes every row there is, writing is the only way to make one.

`read` returns what is whole in a stored value. A part that an older version did not write, or that was damaged, is left out
as if it were not there: an optional key by itself, a part together with what it needs, a row of a list alone, a list of
numbers as a whole. Nothing is made up for it, and nothing is raised. docs/decisions/0029-documents.md has the reasons.

Reading never writes: what a column holds stays as it is, byte for byte, with everything that hashes and seals cover.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Strict, ValidationError, ValidationInfo
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Location = tuple[int | str, ...]
READING = {"reading": True}
A_WHOLE_ROW = {"missing", "model_type", "value_error"}  # what is wrong with a row of a list, and not with one of its values


MOST = 1.7e308


def _readable(value: float, info: ValidationInfo) -> float:
    """A figure as it is. What is read must be finite; what is written is looked at by who freezes it."""
    if info.context is READING and not abs(value) <= MOST:
        raise PydanticCustomError("beyond", "not a finite number that a page can show")
    return value


Figure = Annotated[Annotated[int, Strict()] | Annotated[float, Strict()], AfterValidator(_readable)]
"""A number as it stands in JSON, whole or not: no text, no truth value, and what is read is finite."""
Whole = Annotated[int, Strict()]
Truth = Annotated[bool, Strict()]
Text = str


class Part(BaseModel):
    """A part of a document. Fields without a default are needed: without them the part is not there."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def read(cls, stored: object) -> Self | None:
        """What is whole of a stored value; None where something that is needed is not there."""
        while True:
            try:
                return cls.model_validate(stored, context=READING)
            except ValidationError as damage:
                damaged = {_to_leave_out(stored, error["loc"], error["type"]) for error in damage.errors(include_url=False)}
            if () in damaged:
                return None
            stored = _without(stored, damaged)

    @classmethod
    def of(cls, value: "DataclassInstance") -> Self:
        """The part that keeps a value of the program, with the fields that both have. Raises ValidationError."""
        return cls.model_validate(asdict(value))

    def written(self) -> dict[str, object]:
        """What is stored: the keys that were given a value, whatever the value is."""
        return self.model_dump(exclude_unset=True)


class Document(Part):
    """What one column holds as a whole. All fields have a default.

    A document that names no version is of version 1. A reader that meets a version it does not know reads nothing, because a
    key may mean something else there.
    """

    version: Literal[1] = 1

    @classmethod
    def read(cls, stored: object) -> Self:
        """What is whole of a stored value: an empty document where nothing is."""
        if isinstance(stored, Mapping) and isinstance(stored.get("version", 1), int) and stored.get("version", 1) != 1:
            return cls()
        return super().read(stored) or cls()


P = TypeVar("P", bound=Part)


def rows_read(kind: type[P], stored: object) -> tuple[P, ...]:
    """The whole rows of a stored list."""
    rows = stored if isinstance(stored, list | tuple) else ()
    return tuple(row for each in rows if (row := kind.read(each)) is not None)


def _to_leave_out(stored: object, location: Location, trouble: str) -> Location:
    """The smallest thing that can be left out for an error: a key, a row of a list, or a list of values as a whole."""
    place = _existing(stored, location)
    while place and isinstance(place[-1], int) and trouble not in A_WHOLE_ROW:
        place = place[:-1]  # without one of its numbers the others would stand in another place
    return place


def _existing(stored: object, location: Location) -> Location:
    """How far a location of an error leads into what is stored: beyond it stand keys that are missing, and names of types."""
    for depth, key in enumerate(location):
        if not _has(stored, key):
            return location[:depth]
        stored = _at(stored, key)
    return location


def _has(stored: object, key: int | str) -> bool:
    if isinstance(stored, list | tuple):
        return isinstance(key, int) and key < len(stored)
    return isinstance(stored, Mapping) and key in stored


def _without(stored: object, places: Iterable[Location]) -> object:
    """A copy of a stored value without some places in it; what lies beside them is not copied."""
    heads: dict[int | str, set[Location]] = {}
    for head, *rest in places:
        heads.setdefault(head, set()).add(tuple(rest))
    kept = {key: _without(_at(stored, key), rests) for key, rests in heads.items() if () not in rests}
    if isinstance(stored, Mapping):
        return {key: kept.get(key, value) for key, value in stored.items() if key in kept or key not in heads}
    if isinstance(stored, list | tuple):
        return [kept.get(key, value) for key, value in enumerate(stored) if key in kept or key not in heads]
    return stored


def _at(stored: object, key: int | str) -> object:
    return stored[key] if isinstance(stored, Mapping | list | tuple) else None  # type: ignore[index]
