"""What all tests share: the database with its audit triggers, and a real broker."""

import os
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from pytest_django import DjangoDbBlocker

from research_app.home import CODE
from research_app.machine import broker
from research_app.models import Project, append_only
from tests import kept_tables, lanes
from tests.factories import make_project
from tests.quick_git import wait_for_no_disk
from tests.settings import remove_home

# Processes that tests start read the settings of the product; the home is the tests' own.
os.environ["DJANGO_SETTINGS_MODULE"] = "research_app.settings"
wait_for_no_disk()


# The second database has every fourth of its tests at a commit: SQLite has them all.
EACH = 4 if os.environ.get("DATABASE_URL", "").startswith("postgres") else 1


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of cases that are many of a kind, run one in so many, others at every commit; all of them with EVERY_CASE=yes."""
    if os.environ.get("EVERY_CASE") or len({item.path for item in items}) == 1:  # who names one file wants all of it
        return
    turn = commit()
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        marker = item.get_closest_marker("one_in")
        of = marker.args[0] if marker else EACH
        (left if zlib.crc32(f"{turn} {item.nodeid}".encode()) % of else kept).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def commit() -> str:
    """The commit that is checked out; "" outside git."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=CODE, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def pytest_addoption(parser: pytest.Parser) -> None:
    lanes.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(lanes.Lanes(config))
    cache = config.pluginmanager.has_plugin("cacheprovider")  # may be switched off
    kept_tables.PLACE.folder = config.cache.mkdir("tables") if cache else Path(settings.HOME) / "tables"
    kept_tables.PLACE.folder.mkdir(exist_ok=True)


def pytest_unconfigure() -> None:
    remove_home()


@pytest.fixture(scope="session")
def tables_to_make(django_db_modify_db_settings: None) -> IO[str] | None:
    """None where this run begins with kept tables, a tenth of migrating; otherwise what to close when they are made."""
    if connection.vendor != "sqlite":
        return None
    lock = kept_tables.first_of_all()
    if not kept_tables.lay_out(Path(settings.DATABASES["default"]["TEST"]["NAME"])):
        return lock
    lock.close()
    return None


@pytest.fixture(scope="session")
def django_db_keepdb(tables_to_make: IO[str] | None) -> bool:
    """Whether the tests begin with tables that are there; the home goes with them in any case."""
    return connection.vendor == "sqlite" and tables_to_make is None


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, tables_to_make: IO[str] | None, django_db_blocker: DjangoDbBlocker) -> None:
    """The tables, kept for the next run and for the processes beside this one."""
    if tables_to_make:
        with django_db_blocker.unblock(), tables_to_make:
            kept_tables.keep()


@pytest.fixture
def _django_db_helper(_django_db_helper: None) -> Iterator[None]:
    """pytest-django's database fixture, with the audit triggers lifted before tables are emptied (after threaded tests)."""
    append_only.install(connection)
    yield
    if not connection.in_atomic_block:  # otherwise a rollback empties them
        append_only.remove(connection)


@pytest.fixture(autouse=True)
def nothing_counted_before() -> None:
    """What a process counts (requests of a token in a minute) is forgotten: the next test's rows have the same numbers."""
    cache.clear()


@pytest.fixture
def project(db: None) -> Project:
    """A project with a real repository and its reference runs; tests of trained projects have their own."""
    return make_project()


@pytest.fixture
def no_earlier_repositories() -> None:
    """Remove the repositories of tests before this one: their rows are gone, and `audit verify` would miss them."""
    shutil.rmtree(Path(settings.HOME) / "projects", ignore_errors=True)


@pytest.fixture
def running_broker() -> Iterator[None]:
    """A real Valkey, empty, on the socket that the settings of the tests name. Without this fixture no broker answers."""
    with subprocess.Popen(broker.server_command(), stdout=subprocess.DEVNULL) as server:
        broker.wait_until_ready(lambda: server.poll() is None)
        with broker.client() as connection:
            connection.flushall()
        yield
        server.kill()
