"""Whether the database is there and holds the tables of this version; and in a sentence what to do where it does not."""

from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from research_app.environment import without_password
from research_app.home import home


class TablesMissing(Exception):
    """A command cannot work on the database as it is: why, and the fix."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(f"{why}. {fix}")
        self.why, self.fix = why, fix


START = "Start it first: make up"


def require_tables() -> None:
    """Raises TablesMissing before the first start, and where the database is away or of another version."""
    if not there_is_one():
        raise TablesMissing(f"Signoff was not started in {home()} yet: there is no database", START)
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        raise TablesMissing(
            f"The database {place()} cannot be used: {str(error).strip()}", "Look at manage.py doctor."
        ) from error
    if not executor.loader.applied_migrations:
        raise TablesMissing(f"Signoff was not started on {place()} yet: the database is empty", START)
    require_known(executor)
    if missing:
        why = f"The database {place()} is of an earlier version, {len(missing)} step{'s'[: len(missing) > 1]} behind"
        raise TablesMissing(why, "Bring it up to date: manage.py migrate, or make up")


def require_known(executor: MigrationExecutor) -> None:
    """Raises TablesMissing where a later version of Signoff wrote the database."""
    ours = {migration.app_label for migration in executor.loader.disk_migrations.values()}
    applied = executor.loader.applied_migrations
    unknown = sorted(name for app, name in applied if app in ours and (app, name) not in executor.loader.disk_migrations)
    if unknown:
        why = f"The database {place()} was written by a later version of Signoff: its step {unknown[-1]} is not known here"
        raise TablesMissing(why, "Use that version, or bring back the backup from before it.")


def there_is_one() -> bool:
    """Whether there is a database to ask: asking SQLite for one that is not there would make it."""
    file = Path(settings.DATABASES["default"]["NAME"])
    try:
        return connection.vendor != "sqlite" or (file.exists() and file.stat().st_size > 0)
    except OSError:
        return True  # the database itself says what is wrong


def place() -> str:
    """Where the database is, without a password."""
    if connection.vendor == "sqlite":
        return str(settings.DATABASES["default"]["NAME"])
    return without_password(settings.DATABASE_URL)
