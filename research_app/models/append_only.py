"""Database triggers that make the audit log append-only: updates and deletions are refused by the database itself.

So is any row but the one that follows the last: SQLite's INSERT OR REPLACE takes the place of a row without a deletion that a
trigger would see.
"""

from django.db.backends.base.base import BaseDatabaseWrapper

TABLE = "research_app_event"
REFUSAL = "the audit log is append-only"
GENESIS = "0" * 64
LAST = f"FROM {TABLE} ORDER BY sequence DESC LIMIT 1"
FOLLOWS = (
    f"NEW.sequence = COALESCE((SELECT sequence {LAST}), 0) + 1 "
    f"AND NEW.previous_hash = COALESCE((SELECT hash {LAST}), '{GENESIS}')"
)
REFUSES = f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"

SQLITE = {
    "event_no_update": f"CREATE TRIGGER event_no_update BEFORE UPDATE ON {TABLE} {REFUSES}",
    "event_no_delete": f"CREATE TRIGGER event_no_delete BEFORE DELETE ON {TABLE} {REFUSES}",
    "event_follows": f"CREATE TRIGGER event_follows BEFORE INSERT ON {TABLE} WHEN NOT ({FOLLOWS}) {REFUSES}",
}
POSTGRESQL_FUNCTIONS = (
    "CREATE OR REPLACE FUNCTION event_append_only() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$",
    "CREATE OR REPLACE FUNCTION event_follows() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN IF NOT ({FOLLOWS}) THEN RAISE EXCEPTION '{REFUSAL}'; END IF; RETURN NEW; END $$",
)
POSTGRESQL = {
    "event_no_change": f"CREATE OR REPLACE TRIGGER event_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {TABLE} "
    "FOR EACH STATEMENT EXECUTE FUNCTION event_append_only()",
    "event_follows": f"CREATE OR REPLACE TRIGGER event_follows BEFORE INSERT ON {TABLE} "
    "FOR EACH ROW EXECUTE FUNCTION event_follows()",
}


def install(connection: BaseDatabaseWrapper) -> None:
    """Create the triggers, those of an earlier version anew."""
    postgresql = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        for function in POSTGRESQL_FUNCTIONS if postgresql else ():
            cursor.execute(function)
        for name, statement in (POSTGRESQL if postgresql else SQLITE).items():
            if not postgresql:
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
            cursor.execute(statement)


def remove(connection: BaseDatabaseWrapper) -> None:
    """Drop the triggers (test databases are emptied between tests)."""
    postgresql = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        for name in POSTGRESQL if postgresql else SQLITE:
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}" + (f" ON {TABLE}" if postgresql else ""))


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """Names of the triggers that are not there, switched off, or not what they should be. One query."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT t.tgname, p.prosrc FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
                "WHERE t.tgrelid = %s::regclass AND NOT t.tgisinternal AND t.tgenabled <> 'D'",
                [TABLE],
            )
            there = {name: source for name, source in cursor.fetchall() if REFUSAL in source}
            return [name for name in POSTGRESQL if name not in there]
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", [TABLE])
        triggers = dict(cursor.fetchall())
        return [name for name, statement in SQLITE.items() if triggers.get(name) != statement]
