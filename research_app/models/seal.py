"""Seals: what a row held when an event told of it.

The event carries them, so that `manage.py audit verify` (research_app/audit/) finds a row that was altered, removed or added.

A seal has one digest over all sealed columns and a short one for each, which is salted with the first: it names the column that
was altered, and nobody can find a hidden value from it by trying.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import models

SHORT = 8  # hexadecimal digits of a column's digest
canonical_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode

Content = Mapping[str, Any]
Seal = dict[str, Any]  # {"digest": …, "columns": {name: digest}}, as it stands in an event


@dataclass(frozen=True)
class Sealed:
    """The content of one row, or of several that belong together, under the key that an event names it by."""

    key: str  # such as "run 12"
    content: Content

    def seal(self) -> Seal:
        """What the event keeps of it."""
        digest = digest_of([self.key, self.content])
        return {"digest": digest, "columns": {name: column_digest(digest, name, self.content[name]) for name in self.content}}


def sealed(row: models.Model) -> Sealed:
    """A row with the columns that its model names as SEALED; as it stands in the database, where it was read from there."""
    columns: Sequence[str] = row.SEALED  # type: ignore[attr-defined]
    return Sealed(key_of(type(row), row.pk), {name: getattr(row, name) for name in columns})


def key_of(model: type[models.Model], pk: int) -> str:
    """What an event calls a row."""
    return f"{model._meta.model_name} {pk}"


def seals_of(rows: Iterable[models.Model | Sealed]) -> dict[str, Seal]:
    """The seals of some rows, by key."""
    sealed_rows = [row if isinstance(row, Sealed) else sealed(row) for row in rows]
    return {each.key: each.seal() for each in sealed_rows}


def altered(seal: Seal, now: Sealed) -> list[str]:
    """The columns that no longer are what was sealed; empty where all are. A column that is gone is left out."""
    names = [name for name in seal["columns"] if name in now.content]
    content = {name: now.content[name] for name in names}
    if len(names) == len(seal["columns"]) and digest_of([now.key, content]) == seal["digest"]:
        return []
    changed = [name for name in names if column_digest(seal["digest"], name, content[name]) != seal["columns"][name]]
    return changed or (["its seal"] if len(names) == len(seal["columns"]) else [])


def digest_of(value: Any) -> str:
    """SHA-256 over the canonical JSON of a value: the same before and after either database had it."""
    text = canonical_json(plain(value))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def column_digest(salt: str, name: str, value: Any) -> str:
    """A short digest of one column, meaningless to who does not know the whole row."""
    return digest_of([salt, name, value])[:SHORT]


def plain(value: Any) -> Any:
    """A value as JSON has it, numbers as PostgreSQL gives them back: 1e22 as a whole number, no negative zero."""
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value.is_integer() else value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, bytes | memoryview):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, str) else value


def storable(value: Any) -> Any:
    """The same value with the numbers that PostgreSQL would give back in another form in that form: what is hashed as text
    before it is stored must be the same text afterwards."""
    if isinstance(value, float) and value.is_integer() and (abs(value) >= 1e16 or value == 0):
        return int(value) if value else 0.0
    if isinstance(value, Mapping):
        return {str(key): storable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [storable(each) for each in value]
    return value
