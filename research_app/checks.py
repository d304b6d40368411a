"""What `manage.py check` says of this installation."""

from typing import Any

from django.core import checks
from django.db import connection

from research_app.machine.fleet import UnknownDevice, local_devices

MANY_WRITERS = 8  # training devices; beyond that SQLite's single writer is the bottleneck
POSTGRESQL_ADVISED = f"More than {MANY_WRITERS} devices train: use PostgreSQL (DATABASE_URL), see docs/how-to/operating.md"


@checks.register(checks.Tags.compatibility)
def sqlite_with_many_devices(app_configs: Any, **options: Any) -> list[checks.CheckMessage]:
    """PostgreSQL is advised where many devices write to SQLite."""
    if connection.vendor != "sqlite":
        return []
    try:
        writers = len(local_devices())
    except UnknownDevice as error:
        return [checks.Error(str(error), id="signoff.E001")]
    if writers <= MANY_WRITERS:
        return []
    return [
        checks.Info(f"{writers} devices of this machine would write to SQLite.", hint=POSTGRESQL_ADVISED, id="signoff.I001")
    ]
