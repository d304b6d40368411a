"""Device time: the one sum of what runs have taken, in SQL. `Run.device_seconds` is the same for one row in memory.

    device time = (attempts that were lost + this training) × devices

A run that trains counts up to now; one that waits, or that a worker failed on, counts what it took before.
"""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Case, F, FloatField, Func, Sum, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Greatest
from django.db.models.sql.compiler import SQLCompiler


class SecondsSince(Func):
    """Seconds from a moment in a column until now, as a float, on both databases."""

    output_field = FloatField()
    template = "EXTRACT(EPOCH FROM (CLOCK_TIMESTAMP() - %(expressions)s))"

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra_context: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        return self.as_sql(compiler, connection, template="((julianday('now') - julianday(%(expressions)s)) * 86400.0)")


def device_seconds() -> Combinable:
    """Device time of each row of a query on runs, in seconds; never NULL."""
    training = Case(
        When(train_seconds__isnull=False, then=F("train_seconds")),
        When(state="running", started_at__isnull=False, then=Greatest(SecondsSince(F("started_at")), 0.0)),
        default=0.0,
        output_field=FloatField(),
    )
    return (F("earlier_seconds") + training) * F("devices")


def total_device_seconds() -> Coalesce:
    """Device time of the rows of a group, or of all rows, in seconds; 0 for none."""
    return Coalesce(Sum(device_seconds(), output_field=FloatField()), 0.0)
