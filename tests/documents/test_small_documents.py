"""Documents of a few keys: rows of before read, damage is left out, and nothing raises."""

import json
from collections.abc import Callable

import pytest

from research_app.documents import rows_read
from research_app.models.documents.candidate_origin import origin_read
from research_app.models.documents.moved_constants import moves_read
from research_app.models.documents.noise_event import NoiseEvent
from research_app.models.documents.outside_commit import OutsideCommit
from research_app.models.documents.typed_column import rows_written
from tests.documents.test_evidence_document import ODD, changed, ways_of

COMMITS = [
    {"commit": "a" * 40, "subject": "Fix", "author": "ada", "at": "2026-11-30T10:00:00+00:00", "claims": ["C-3"]},
    {"commit": "b" * 40, "subject": "", "author": "", "at": "", "claims": []},
]
STORED: dict[str, tuple[Callable[[object], object], object]] = {
    "commits": (lambda stored: rows_read(OutsideCommit, stored), COMMITS),
    "details": (
        origin_read,
        {"knobs": {"a.py:LR": 0.1}, "was": {"a.py:LR": 0.2}, "removes": 3, "stack_check": 1, "combines": [1, 2]},
    ),
    "moved": (moves_read, {"a.py:LR": [0.1, 0.2], "a.py:NAME": ["x", "y"]}),
    "noise": (
        NoiseEvent.read,
        {"sigma": 0.01, "degrees": 8, "scale": "S", "left_out": [{"group": "C-1", "times": 60.0}], "before": 0.02},
    ),
}


def test_rows_of_before_are_read_as_they_were_written() -> None:
    commits = rows_read(OutsideCommit, COMMITS)
    assert [each.claims for each in commits] == [("C-3",), ()] and json.loads(json.dumps(rows_written(commits))) == COMMITS
    origin = origin_read(STORED["details"][1])
    assert (origin.knobs, origin.was, origin.removes, origin.combines) == ({"a.py:LR": 0.1}, {"a.py:LR": 0.2}, 3, (1, 2))
    assert moves_read(STORED["moved"][1]) == {"a.py:LR": (0.1, 0.2), "a.py:NAME": ("x", "y")}
    noise = NoiseEvent.read(STORED["noise"][1])
    assert (noise.sigma, noise.before, [each.group for each in noise.left_out]) == (0.01, 0.02, ["C-1"])


@pytest.mark.parametrize("name", STORED)
def test_whatever_one_value_became_nothing_raises(name: str) -> None:
    read, stored = STORED[name]
    for way in ways_of(stored):
        for value in (KeyError, *ODD):
            read(changed(stored, way, value))
    for value in ODD:
        read(value)


def test_a_proposers_own_memory_beside_it_is_no_damage() -> None:
    assert origin_read({"version": 7, "removes": 2, "file": "train.py"}).removes == 2


def test_a_change_of_which_one_move_cannot_be_read_is_not_taken_for_a_smaller_one() -> None:
    assert moves_read({"a.py:LR": [0.1, 0.2], "a.py:B": [1]}) == {}
