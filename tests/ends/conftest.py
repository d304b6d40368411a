"""The world of the ends."""

from collections.abc import Iterator

import pytest

from tests.ends.world import World


@pytest.fixture
def world(transactional_db: None) -> Iterator[World]:
    """A project, a device, and somebody who reads."""
    found = World()
    yield found
    found.close()
