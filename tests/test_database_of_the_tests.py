import threading

import pytest
from django.db import DatabaseError, connection, transaction

from research_app.models import Event, TaskLease

pytestmark = pytest.mark.both_databases


def record_one() -> Event:
    row = TaskLease.objects.create(name="of this test")
    with transaction.atomic():
        return Event.objects.record("tested", row, "a test", None)


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
