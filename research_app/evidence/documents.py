"""Documents that an older version kept: what is missing in them is left out, and nothing is made up for it."""

from collections.abc import Mapping
from typing import Any


def part_of(document: Mapping[str, Any] | None, name: str, *needed: str) -> Mapping[str, Any]:
    """A part of a document; empty where it is not there, or has no value for one of the keys that are needed."""
    part = (document or {}).get(name)
    return part if isinstance(part, Mapping) and has_all(part, needed) else {}


def rows_of(document: Mapping[str, Any] | None, name: str, *needed: str) -> list[Mapping[str, Any]]:
    """The rows of a list in a document that have a value for every key that is needed."""
    rows = (document or {}).get(name)
    return [row for row in rows if isinstance(row, Mapping) and has_all(row, needed)] if isinstance(rows, list) else []


def words_of(document: Mapping[str, Any] | None, name: str) -> str:
    """A text in a document; empty where there is none."""
    return str((document or {}).get(name) or "")


def has_all(part: Mapping[str, Any], needed: tuple[str, ...]) -> bool:
    return all(part.get(name) is not None for name in needed)
