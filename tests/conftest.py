"""What all tests share: the database with its audit triggers, and a real broker."""

import os
import subprocess
from collections.abc import Iterator

import pytest
from django.db import connection

from research_app import broker
from research_app.models import append_only
from tests.settings import remove_home

# Processes that tests start read the settings of the product; the home is the tests' own.
os.environ["DJANGO_SETTINGS_MODULE"] = "research_app.settings"


def pytest_unconfigure() -> None:
    remove_home()


@pytest.fixture
def _django_db_helper(_django_db_helper: None) -> Iterator[None]:
    """pytest-django's database fixture, with the audit triggers lifted before tables are emptied (after threaded tests)."""
    append_only.install(connection)
    yield
    if not connection.in_atomic_block:  # otherwise a rollback empties them
        append_only.remove(connection)


@pytest.fixture
def running_broker() -> Iterator[None]:
    """A real Valkey, empty, on the socket that the settings of the tests name. Without this fixture no broker answers."""
    with subprocess.Popen(broker.server_command(), stdout=subprocess.DEVNULL) as server:
        broker.wait_until_ready(lambda: server.poll() is None)
        with broker.client() as connection:
            connection.flushall()
        yield
        server.kill()
