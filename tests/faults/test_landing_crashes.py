"""`kill -9` in the middle of a landing: a seeded slice of what `make test-crash` does to every crash point twenty times."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from research_app.models import Event
from tests.faults.landing_crashes import KINDS, Scene, check, crash, points_of, recover, without_broker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]
KILLS = 2  # of each kind of landing


@pytest.fixture(autouse=True)
def _without_broker() -> Iterator[None]:
    with without_broker():
        yield


@pytest.mark.one_in(2)
@pytest.mark.parametrize("kind", KINDS)
def test_a_landing_that_is_killed_anywhere_ends_as_it_would_have_ended(kind: str, tmp_path: Path) -> None:
    chance = random.Random(f"{kind} 3")
    scene = Scene(kind, tmp_path)
    points, _ = points_of(scene)
    assert len(points) > 15 and any(point.startswith("git ") for point in points), "every statement is a point"
    for point, hits in chance.sample(sorted(points.items()), k=KILLS):
        crash(scene, point, chance.randint(1, hits), chance)
        recover([scene], travel=True)
        check(scene)
    assert list(Event.objects.faults()) == []
