"""The empty tables of an earlier run of the tests, as long as the migrations that make them are the same."""

import hashlib
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import django
from django.conf import settings
from django.db import connection

MIGRATIONS = Path(__file__).parent.parent / "research_app" / "migrations"


def kept_in(folder: Path) -> Path:
    """The file that tables of these migrations are kept in."""
    told = hashlib.sha256(f"{django.VERSION} {sqlite3.sqlite_version} {settings.INSTALLED_APPS}".encode())
    for path in sorted(MIGRATIONS.glob("*.py")):
        told.update(path.name.encode() + b"\0" + path.read_bytes())
    return folder / f"{told.hexdigest()[:20]}.sqlite3"


def lay_out(folder: Path) -> bool:
    """Begin with kept tables; False where there are none of these migrations, or the tests run on another database."""
    if connection.vendor != "sqlite" or not (kept := kept_in(folder)).exists():
        return False
    shutil.copyfile(kept, settings.DATABASES["default"]["TEST"]["NAME"])
    return True


def keep(folder: Path) -> None:
    """Keep the tables as they are, in place of those of other migrations."""
    if connection.vendor != "sqlite":
        return
    kept = kept_in(folder)
    made = kept.with_suffix(f".{os.getpid()}")
    connection.ensure_connection()
    with closing(sqlite3.connect(made)) as copy:
        connection.connection.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
    for old in folder.glob("*.sqlite3"):
        old.unlink(missing_ok=True)
    made.replace(kept)
