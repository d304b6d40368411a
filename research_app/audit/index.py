"""What the events vouch for, by row: filled while the log is read, kept in a temporary file, so that memory stays constant."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

BATCH = 5000  # entries written at once


@dataclass(frozen=True)
class Entry:
    """What the newest event says of a row. `value`: a seal, or whatever the event tells."""

    pk: int
    event: int
    value: Any
    project: int | None = None


class Index:
    """Entries by topic and key, the newest event's. A context manager.

    Topics are the names of models (seals), "voided" (votes), "stage" (candidates), and "old …" for what events told of a row
    before they carried seals.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[str, int, int, str | None, int | None]] = []

    def __enter__(self) -> Self:
        self.file = sqlite3.connect("")  # a temporary file, gone with the connection
        self.file.execute("PRAGMA journal_mode = OFF")
        self.file.execute("PRAGMA synchronous = OFF")
        self.file.execute(
            "CREATE TABLE entry (topic TEXT, pk INTEGER, event INTEGER, value TEXT, project INTEGER, PRIMARY KEY (topic, pk)) "
            "WITHOUT ROWID"
        )
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def put(self, topic: str, pk: int, event: int, value: Any, project: int | None = None) -> None:
        """Replace what is known of a row."""
        self.waiting.append((topic, pk, event, json.dumps(value), project))
        if len(self.waiting) >= BATCH:
            self.write()

    def drop(self, topic: str, pk: int, event: int) -> None:
        """Forget a row: nobody vouches for it any more."""
        self.waiting.append((topic, pk, event, None, None))

    def write(self) -> None:
        """Put what waits into the file."""
        self.file.executemany("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?)", self.waiting)
        self.waiting.clear()

    def of(self, topic: str) -> Iterator[Entry]:
        """All entries of a topic, by key."""
        self.write()
        query = "SELECT pk, event, value, project FROM entry WHERE topic = ? AND value NOT NULL ORDER BY pk"
        for pk, event, value, project in self.file.execute(query, [topic]):
            yield Entry(pk, event, json.loads(value), project)

    def get(self, topic: str, pk: int) -> Entry | None:
        """One entry."""
        self.write()
        query = "SELECT event, value FROM entry WHERE topic = ? AND pk = ? AND value NOT NULL"
        row = self.file.execute(query, [topic, pk]).fetchone()
        return Entry(pk, row[0], json.loads(row[1])) if row else None

    def first(self, topic: str) -> int | None:
        """The lowest key of a topic: rows below it may be older than what events tell."""
        self.write()
        row = self.file.execute("SELECT MIN(pk) FROM entry WHERE topic = ?", [topic]).fetchone()
        return int(row[0]) if row[0] is not None else None
