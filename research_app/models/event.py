"""The audit log: append-only, hash-chained. Database triggers refuse updates and deletions (migration 0002)."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any, Self

from django.db import connection, models, transaction
from django.utils import timezone

from research_app.models.append_only import GENESIS
from research_app.models.event_kinds import EventKind
from research_app.models.seal import Sealed, seals_of, storable

if TYPE_CHECKING:
    from research_app.models.candidate import Candidate

SEALED, UNSEALED, VOIDED = "sealed", "unsealed", "voided"
HIDDEN = (SEALED, UNSEALED, VOIDED)  # keys of an event's data that are for `manage.py audit verify` alone
SUBJECT_TYPES = {"ablation": "stackcheck"}  # models that were renamed: events of before are hashed with the earlier name
ADVISORY_LOCK = 7_446_633  # any constant: all writers of the chain on PostgreSQL take this one


def subject_type(subject: models.Model) -> str:
    """What events call the model of their subject: the name under which the first of them was hashed."""
    name = subject._meta.model_name or ""
    return SUBJECT_TYPES.get(name, name)


class EventQuerySet(models.QuerySet["Event"]):
    def about(self, subject: models.Model) -> Self:
        """Events of one object, oldest first."""
        return self.filter(subject_type=subject_type(subject), subject_id=subject.pk).order_by("sequence")

    def seal(
        self,
        rows: Iterable[models.Model | Sealed],
        kind: EventKind,
        subject: models.Model,
        actor: str,
        project: models.Model | None,
        **data: Any,
    ) -> "Event":
        """Append an event that vouches for some rows: one that changes afterwards is found by `manage.py audit verify`."""
        return self.record(kind, subject, actor, project, **data, **{SEALED: seals_of(rows)})

    def record(self, kind: EventKind, subject: models.Model, actor: str, project: models.Model | None, **data: Any) -> "Event":
        """Append one event to the chain, inside the caller's transaction. Costs two statements."""
        return self._append(kind, [(subject, project)], actor, data)[0]

    def record_many(self, kind: EventKind, subjects: Sequence["Candidate"], actor: str, **data: Any) -> None:
        """Append one such event about each of these candidates. Costs two statements for every 500 of them."""
        for start in range(0, len(subjects), 500):
            self._append(kind, [(each, each.project) for each in subjects[start : start + 500]], actor, data)

    def _append(
        self, kind: EventKind, about: Sequence[tuple[models.Model, models.Model | None]], actor: str, data: dict[str, Any]
    ) -> list["Event"]:
        if not connection.in_atomic_block:
            raise transaction.TransactionManagementError("An event is written in the transaction of what it tells.")
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        last = self.model.objects.order_by("-sequence").only("sequence", "hash").first()
        sequence, previous = (last.sequence, last.hash) if last else (0, GENESIS)
        events, data = [], storable(data)
        for number, (subject, project) in enumerate(about, sequence + 1):
            event = self.model(
                sequence=number,
                previous_hash=previous,
                at=timezone.now(),
                kind=str(kind),
                actor=actor,
                subject_type=subject_type(subject),
                subject_id=subject.pk,
                project_id=project.pk if project else None,
                data=data,
            )
            event.hash = previous = event.compute_hash()
            events.append(event)
        return self.bulk_create(events)

    def head(self) -> str:
        """Hash of the newest event: what landings and exports carry, so that a truncated chain is noticed."""
        return self.order_by("-sequence").values_list("hash", flat=True).first() or GENESIS

    def faults(self) -> Iterator[str]:
        """Every break of the chain as a sentence, first one first. Reads the whole table in order."""
        expected, previous = 1, GENESIS
        for event in self.order_by("sequence").iterator(chunk_size=2000):
            if event.sequence != expected:
                yield f"event {expected} is missing (the next one is {event.sequence})"
            if event.previous_hash != previous:
                yield f"event {event.sequence} does not follow the event before it"
            if event.hash != event.compute_hash():
                yield f"event {event.sequence} was altered after it was written"
            expected, previous = event.sequence + 1, event.hash


class Event(models.Model):
    """One thing that happened: who did what to which object, when, chained to the event before it."""

    sequence = models.PositiveBigIntegerField(primary_key=True)
    at = models.DateTimeField()
    project = models.ForeignKey("research_app.Project", null=True, on_delete=models.PROTECT, db_constraint=False)
    kind = models.CharField(max_length=60)
    actor = models.CharField(max_length=200)
    subject_type = models.CharField(max_length=60)
    subject_id = models.BigIntegerField()
    data: "models.JSONField[dict[str, object], dict[str, object]]" = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    objects = EventQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["subject_type", "subject_id"], name="event_of_object"),  # a candidate's own events
            models.Index(fields=["project", "-sequence"], name="event_of_project"),  # the audit page, here and below
            models.Index(fields=["kind", "-sequence"], name="event_of_kind"),
            models.Index(fields=["actor", "-sequence"], name="event_by_actor"),
            models.Index(fields=["at"], name="event_at"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence}: {self.kind} by {self.actor}"

    def compute_hash(self) -> str:
        """SHA-256 over the canonical JSON of every field but the hash itself."""
        content = [
            self.sequence,
            self.at.astimezone(UTC).isoformat(timespec="microseconds"),
            self.project_id,
            self.kind,
            self.actor,
            self.subject_type,
            self.subject_id,
            self.data,
            self.previous_hash,
        ]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()
