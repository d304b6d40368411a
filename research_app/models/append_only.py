"""Database triggers that make the audit log append-only: updates and deletions are refused by the database itself."""

from django.db.backends.base.base import BaseDatabaseWrapper

TABLE = "research_app_event"

SQLITE = {
    "install": [
        f"CREATE TRIGGER IF NOT EXISTS event_no_{verb} BEFORE {verb} ON {TABLE} "
        f"BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        for verb in ("update", "delete")
    ],
    "remove": [f"DROP TRIGGER IF EXISTS event_no_{verb}" for verb in ("update", "delete")],
}
POSTGRESQL = {
    "install": [
        "CREATE OR REPLACE FUNCTION event_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$",
        f"CREATE OR REPLACE TRIGGER event_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {TABLE} "
        "FOR EACH STATEMENT EXECUTE FUNCTION event_append_only()",
    ],
    "remove": [f"DROP TRIGGER IF EXISTS event_no_change ON {TABLE}"],
}


def _execute(connection: BaseDatabaseWrapper, what: str) -> None:
    statements = POSTGRESQL if connection.vendor == "postgresql" else SQLITE
    with connection.cursor() as cursor:
        for statement in statements[what]:
            cursor.execute(statement)


def install(connection: BaseDatabaseWrapper) -> None:
    """Create the triggers where they are missing."""
    _execute(connection, "install")


def remove(connection: BaseDatabaseWrapper) -> None:
    """Drop the triggers (test databases are emptied between tests)."""
    _execute(connection, "remove")
