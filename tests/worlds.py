"""Worlds that many tests begin with: built once in a process, then laid out again from a copy of database and repositories.

What a test finds is what building would give it, to the byte, but for times up to KEPT_SECONDS back. Numbers of rows that
a test adds are nobody else's, so nothing that a process remembers by them is of another test.
"""

import itertools
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Hashable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Model

from research_app.loop import train
from research_app.models import Event, Project

KEPT_SECONDS = 240  # runs of the same 10 minutes are compared in speed; a world is built anew before that could matter
FOLDERS = ("projects", "sources")  # of the home
M = TypeVar("M", bound=Model)
_turn = itertools.count(1)


@dataclass(frozen=True)
class World:
    folder: Path
    row: int  # the key of what was built
    built: float


_worlds: dict[Hashable, World] = {}
_untouched: tuple[Hashable, int] | None = None  # the world that lies in the database, and how much had been changed by then


def world(kind: type[M], build: Callable[[], M], *key: Hashable, on: Model | None = None) -> M:
    """What `build` makes of an empty database, or of the world that `on` came from: from a copy, or built where things changed.

    `key` names everything that `build` depends on.
    """
    global _untouched
    begin = _untouched if on is not None and _as_it_was() else None
    if not _may_be_copied() or not (begin if on is not None else _empty()):
        return build()
    whole = (begin and begin[0], key, train.execute, _environment())
    found = _worlds.get(whole)
    if found is None or time.monotonic() - found.built > KEPT_SECONDS:
        made = build()
        found = _worlds[whole] = World(_kept(f"{next(_turn)}"), made.pk, time.monotonic())
    else:
        _lay_out(found)
    _untouched = whole, connection.connection.total_changes
    return kind._default_manager.get(pk=found.row)


def _may_be_copied() -> bool:
    return connection.vendor == "sqlite" and not connection.in_atomic_block


def _empty() -> bool:
    return not (Project.objects.exists() or Event.objects.exists() or User.objects.exists())


def _as_it_was() -> bool:
    return _untouched is not None and connection.connection is not None and _untouched[1] == connection.connection.total_changes


def _environment() -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("SIGNOFF_")))


def _kept(name: str) -> Path:
    """A copy of database and folders."""
    folder = Path(settings.HOME) / "worlds" / name
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / "database.sqlite3")) as copy:
        connection.connection.backup(copy)
    for part in FOLDERS:
        if (Path(settings.HOME) / part).exists():
            shutil.copytree(Path(settings.HOME) / part, folder / part, symlinks=True)
    return folder


def _lay_out(found: World) -> None:
    for part in FOLDERS:
        shutil.rmtree(Path(settings.HOME) / part, ignore_errors=True)
        if (found.folder / part).exists():
            shutil.copytree(found.folder / part, Path(settings.HOME) / part, symlinks=True)
    with closing(sqlite3.connect(found.folder / "database.sqlite3")) as copy:
        copy.backup(connection.connection)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sqlite_sequence SET seq = seq + %s", [1000 * next(_turn)])
