"""The chain: every event in order, once. Finds what was altered, deleted, swapped, cut off or written anew.

What a chain alone cannot tell (a cut at its end, a rewriting up to its end) the heads tell that stand outside of it: in the
trailers of landings and in checkpoints.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from research_app.audit.index import Index
from research_app.audit.report import Kind, Report
from research_app.models import Event, append_only
from research_app.models.append_only import GENESIS
from research_app.models.event import SEALED, UNSEALED, VOIDED
from research_app.models.event_kinds import EventKind
from research_app.models.seal import canonical_json

COLUMNS = (
    "sequence", "at", "project_id", "kind", "actor", "subject_type", "subject_id", "data", "previous_hash", "hash",
)  # fmt: skip
CHUNK = 2000
SAY_EVERY = 50_000  # events
MOST_LOOKUPS = 20  # searches for where a row came from: each reads the table

Row = tuple[int, datetime, int | None, str, str, str, int, Any, str, str]


@dataclass
class Head:
    """A hash that something outside the log says an event had. `event` where that says which, `met_at` once it was met."""

    hash: str
    where: str
    event: int | None = None
    met_at: int | None = None


@dataclass
class Chain:
    """The reading of one log."""

    report: Report
    index: Index
    heads: Sequence[Head]
    last: int = 0
    last_hash: str = GENESIS
    broken: bool = False  # at the event before
    altered: dict[int, Row] = field(default_factory=dict)

    def read(self) -> None:
        """Read every event, then judge the heads. Memory does not grow with the log."""
        by_hash = {head.hash: head for head in self.heads}
        wanted = {head.event: head for head in self.heads if head.event is not None}
        for row in _rows():
            self._check(row)
            if head := by_hash.get(row[9]):
                head.met_at = row[0]
            if (head := wanted.get(row[0])) and head.hash == row[9]:
                head.met_at = row[0]
            remember(self.index, row)
            self.last, self.last_hash = row[0], row[9]
            if row[0] % SAY_EVERY == 0:
                self.report.progress(f"{row[0]:,} events read")
        self._report_altered()
        self.report.checked["events"] = self.last
        check_heads(self.report, self.heads, self.last)

    def _check(self, row: Row) -> None:
        sequence, previous = row[0], row[8]
        if sequence > self.last + 1:
            first, until = self.last + 1, sequence - 1
            where = f"event {first}" if first == until else f"events {first} to {until}"
            self.report.fault(Kind.EVENT_DELETED, where, f"The next one that is there is event {sequence}.", first)
            self.broken = True
        if compute_hash(row) != row[9]:
            if len(self.altered) < MOST_LOOKUPS:
                self.altered[sequence] = row
            else:
                self.report.fault(Kind.EVENT_ALTERED, f"event {sequence}", "Its content does not have its hash.", sequence)
            self.broken = True
            return
        if previous != self.last_hash and not self.broken:
            where, why = f"event {sequence - 1}", f"Event {sequence} was chained to another one."
            self.report.fault(Kind.EVENT_ALTERED, where, why, sequence - 1)
        self.broken = False

    def _report_altered(self) -> None:
        """Rows whose content does not have their hash: swapped with another one, or altered."""
        origins = {sequence: origin_of(row) for sequence, row in self.altered.items()}
        for sequence, row in self.altered.items():
            origin = origins[sequence]
            if origin is None:
                why = f"Its content does not have its hash. It is “{row[3]}” by {row[4]} about {row[5]} {row[6]}."
                self.report.fault(Kind.EVENT_ALTERED, f"event {sequence}", why, sequence)
            elif origins.get(origin) != sequence or sequence < origin:
                sentence = f"What stands at {sequence} was written as event {origin}."
                self.report.fault(Kind.EVENTS_SWAPPED, f"events {sequence} and {origin}", sentence, min(sequence, origin))


def _rows() -> Iterator[Row]:
    return iter(Event.objects.order_by("sequence").values_list(*COLUMNS).iterator(chunk_size=CHUNK))


def compute_hash(row: Row, sequence: int | None = None) -> str:
    """The hash that a row, or the same content at another place, should have: what Event.compute_hash computes."""
    at = row[1].astimezone(UTC).isoformat(timespec="microseconds")
    content = [row[0] if sequence is None else sequence, at, *row[2:9]]
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def origin_of(row: Row) -> int | None:
    """The sequence that an altered row was written with; None where its content was altered too. Reads the table once."""
    follows = Event.objects.filter(hash=row[8]).values_list("sequence", flat=True).first()
    guesses = [row[0] + 1, row[0] - 1, *([follows + 1] if follows else [])]
    return next((guess for guess in guesses if compute_hash(row, guess) == row[9]), None)


def remember(index: Index, row: Row) -> None:
    """Put into the index what an event says of rows."""
    sequence, project, kind, subject, data = row[0], row[2], row[3], row[6], row[7]
    if not isinstance(data, Mapping):
        return  # it was altered, which is found above
    for key, seal in data.get(SEALED, {}).items():
        topic, _, pk = key.partition(" ")
        index.put(topic, int(pk), sequence, seal, project)
    for key in data.get(UNSEALED, ()):
        topic, _, pk = key.partition(" ")
        index.drop(topic, int(pk), sequence)
    for pk in data.get(VOIDED, ()):
        index.put("voided", pk, sequence, True)
    if kind == EventKind.STAGE_CHANGED:
        index.put("stage", subject, sequence, data.get("to", ""))
    elif kind == EventKind.STACK_FORMED:
        index.put("stage", subject, sequence, data.get("stage"))
    elif kind == EventKind.RUN_FINISHED and SEALED not in data:
        index.put("old run", subject, sequence, data)
    elif kind == EventKind.LANDED:
        index.put("landed", subject, sequence, {"commit": data.get("commit"), "baseline": data.get("baseline")})
    elif kind == EventKind.PROJECT_CREATED and SEALED in data:
        index.put("born", subject, sequence, True)  # all of its rows carry seals
    elif kind == EventKind.CHECKPOINT_KEY_MADE:
        index.put("key", sequence, sequence, data.get("public", ""))


def check_heads(report: Report, heads: Sequence[Head], last: int) -> None:
    """Heads that the log should have and has not: it was cut off, emptied, or written anew."""
    held = max((head.met_at for head in heads if head.met_at is not None), default=0)
    for head in heads:
        if head.met_at is not None and head.event in (None, head.met_at):
            report.checked["heads"] += 1
            continue
        after = f"The last head that agrees is at event {held}." if held else "No head agrees."
        if last == 0:
            report.fault(Kind.LOG_EMPTIED, "event 1", f"{head.where} names a head, and the log is empty.", 1)
        elif head.event is not None and head.event > last:
            where = f"events {last + 1} to {head.event}"
            report.fault(Kind.LOG_TRUNCATED, where, f"{head.where} names event {head.event}; the log ends at {last}.", last + 1)
        else:
            upto = f" to {head.event}" if head.event is not None else " and later"
            why = f"{head.where} names the head {head.hash[:12]}…, which no event has there. {after}"
            report.fault(Kind.LOG_REWRITTEN, f"events {held + 1}{upto}", why, held + 1)


def check_guards(report: Report) -> None:
    """Triggers that keep the log append-only and are not there."""
    for name in append_only.missing(connection):
        why = "The database would let events be changed. Run manage.py migrate, after looking at who took it away."
        report.fault(Kind.GUARD_MISSING, f"trigger {name}", why)
