import threading

import pytest
from django.db import DatabaseError, connection, transaction

from research_app.models import Event, TaskLease, append_only
from research_app.models.event_kinds import EventKind

pytestmark = pytest.mark.both_databases


def record_one() -> Event:
    row = TaskLease.objects.create(name="of this test")
    with transaction.atomic():
        return Event.objects.record(EventKind.TRIED, row, "a test", None)


@pytest.mark.parametrize("turn", [1, 2])
@pytest.mark.django_db(transaction=True)
def test_the_audit_log_is_append_only_and_empty_in_every_threaded_test(turn: int) -> None:
    assert Event.objects.count() == 0
    event = record_one()
    with pytest.raises(DatabaseError, match="append-only"):
        Event.objects.filter(pk=event.pk).update(actor="somebody else")
    with pytest.raises(DatabaseError, match="append-only"):
        Event.objects.all().delete()


@pytest.mark.django_db
def test_the_audit_log_is_append_only_in_ordinary_tests_too() -> None:
    event = record_one()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Event.objects.filter(pk=event.pk).delete()


@pytest.mark.django_db(transaction=True)
def test_threads_of_a_test_meet_in_one_database() -> None:
    seen: list[int] = []

    def look() -> None:
        try:
            seen.append(Event.objects.count())
        finally:
            connection.close()

    record_one()
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [1]


UPSERT = ("INSERT", "ON CONFLICT (sequence) DO UPDATE SET actor = 'x'")
COLUMNS = "sequence, at, kind, actor, subject_type, subject_id, data, previous_hash, hash"


def insertion(row: Event, verb: str, after: str = "", **changed: object) -> None:
    """Write a row past the models, as somebody with the database's password would."""
    values = {name: getattr(row, name) for name in COLUMNS.split(", ")} | {"data": "{}", "at": row.at.isoformat()} | changed
    marks = ", ".join(["%s"] * len(values))
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute(f"{verb} INTO research_app_event ({COLUMNS}) VALUES ({marks}) {after}", list(values.values()))


@pytest.mark.django_db(transaction=True)
def test_no_row_can_take_the_place_of_another_or_be_put_anywhere_but_at_the_end() -> None:
    first, second = record_one(), record_two()
    verb, after = ("INSERT OR REPLACE", "") if connection.vendor == "sqlite" else UPSERT
    for row in (first, second):
        with pytest.raises(DatabaseError, match="append-only"):
            insertion(row, verb, after, actor="somebody else")
    with pytest.raises(DatabaseError, match="append-only"):
        insertion(second, "INSERT", sequence=7, previous_hash=second.hash)
    with pytest.raises(DatabaseError, match="append-only"):
        insertion(second, "INSERT", sequence=3, previous_hash=first.hash)
    with pytest.raises(DatabaseError, match="append-only"):
        insertion(first, "INSERT", sequence=0)
    if connection.vendor == "sqlite":
        with pytest.raises(DatabaseError, match="append-only"), connection.cursor() as cursor:
            cursor.execute("UPDATE OR REPLACE research_app_event SET sequence = 1 WHERE sequence = 2")
    assert list(Event.objects.order_by("sequence").values_list("sequence", "actor")) == [(1, "a test"), (2, "a test")]


def record_two() -> Event:
    with transaction.atomic():
        return Event.objects.record(EventKind.TRIED_AGAIN, TaskLease.objects.get(), "a test", None)


@pytest.mark.django_db(transaction=True)
def test_triggers_that_are_gone_or_hollow_are_named() -> None:
    assert append_only.missing(connection) == []
    table = append_only.TABLE
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("DROP TRIGGER event_no_delete")
            cursor.execute("DROP TRIGGER event_no_update")
            cursor.execute(f"CREATE TRIGGER event_no_update BEFORE UPDATE ON {table} BEGIN SELECT 1; END")
            assert append_only.missing(connection) == ["event_no_update", "event_no_delete"]
        else:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER event_no_change")
            cursor.execute(f"DROP TRIGGER event_follows ON {table}")
            assert append_only.missing(connection) == ["event_no_change", "event_follows"]
    append_only.install(connection)
    if connection.vendor != "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER event_no_change")
    assert append_only.missing(connection) == []


@pytest.mark.django_db(transaction=True)
def test_figures_of_an_event_read_back_as_they_were_hashed() -> None:
    """PostgreSQL gives 1e22 back as a whole number and −0.0 as 0.0."""
    row = TaskLease.objects.create(name="of this test")
    figures = {"large": 1e22, "larger": [2.5e17], "none": -0.0, "small": 1e-9, "plain": 0.1, "budget": 6e10}
    with transaction.atomic():
        Event.objects.record(EventKind.TRIED, row, "a test", None, figures=figures)
    assert list(Event.objects.faults()) == []
