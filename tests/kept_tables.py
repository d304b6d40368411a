"""The empty tables of an earlier run of the tests, as long as the migrations that make them are the same."""

import fcntl
import hashlib
import os
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import django
from django.conf import settings
from django.db import connection

MIGRATIONS = Path(__file__).parent.parent / "research_app" / "migrations"
MIGRATING_TAKES = 90.0  # seconds, on a slow machine


@dataclass
class Place:
    """Where this process keeps tables; nowhere outside pytest."""

    folder: Path | None = None


PLACE = Place()


def kept_in(folder: Path) -> Path:
    """The file that tables of these migrations are kept in."""
    told = hashlib.sha256(f"{django.VERSION} {sqlite3.sqlite_version} {settings.INSTALLED_APPS}".encode())
    for path in sorted(MIGRATIONS.glob("*.py")):
        told.update(path.name.encode() + b"\0" + path.read_bytes())
    return folder / f"{told.hexdigest()[:20]}.sqlite3"


def lay_out(database: Path) -> bool:
    """Begin a database of SQLite with kept tables; False where there are none of these migrations."""
    if PLACE.folder is None or not (kept := kept_in(PLACE.folder)).exists():
        return False
    shutil.copyfile(kept, database)
    return True


def first_of_all() -> IO[str]:
    """Wait while another process makes tables to keep; what is returned is closed once this one's are kept.

    Not forever: where migrating fails, the other process keeps its lock to its end.
    """
    assert PLACE.folder
    lock = (PLACE.folder / "lock").open("w")
    deadline = time.monotonic() + MIGRATING_TAKES
    while time.monotonic() < deadline:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        time.sleep(0.1)
    return lock


def keep() -> None:
    """Keep the tables as they are, in place of those of other migrations."""
    assert PLACE.folder
    kept = kept_in(PLACE.folder)
    made = kept.with_suffix(f".{os.getpid()}")
    connection.ensure_connection()
    with closing(sqlite3.connect(made)) as copy:
        connection.connection.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
    for old in PLACE.folder.glob("*.sqlite3"):
        old.unlink(missing_ok=True)
    made.replace(kept)
