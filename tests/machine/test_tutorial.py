"""The tutorial can be followed to the letter: its commands, and the click that they lead to."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installation import Installation, wait_until
from tests.tutorial import TUTORIAL, commands, follow
from tests.walk.state import Database
from tests.walk.visitor import Visitor

CANDIDATE = "/projects/mine/candidates/1/"


@pytest.fixture
def signoff(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "var", SIGNOFF_DEVICES="cpu:2")
    made.migrate()
    yield made
    made.end()


@pytest.mark.one_in(2)
@pytest.mark.slow
def test_a_repository_of_ones_own_is_brought_changed_approved_and_lands(signoff: Installation, tmp_path: Path) -> None:
    make, create, change, submit, log = commands()
    for block in (make, create, change):
        follow(block, tmp_path, signoff.home)
    signoff.start()
    assert "1" in follow(submit, tmp_path, signoff.home)
    database = Database(signoff.home)
    wait_until(lambda: database.snapshot().candidate("mine", 1).stage in ("ready", "dropped", "inconclusive", "invalid"), 240)
    candidate = database.snapshot().candidate("mine", 1)
    assert candidate.stage == "ready", candidate.why
    visitor = Visitor(signoff.url, "admin")
    visitor.sign_in(re.findall(r"http\S+/sign-in/\S+", signoff.output)[0])
    assert "gate 2: into the baseline?" in visitor.ask("/").text
    visitor.send(CANDIDATE, f"{CANDIDATE}approve/")
    wait_until(lambda: database.snapshot().candidate("mine", 1).stage == "landed", 60)
    said = follow(log, tmp_path, signoff.home)
    assert "Candidate: mine/1" in said and "Reviewed-by: admin" in said and "Evidence:" in said
    assert (tmp_path / "mine" / "train.py").read_text().count("LEARNING_RATE = 0.001 ") == 1, "the folder is not touched"


def test_every_picture_of_it_is_there() -> None:
    named = set(re.findall(r"\((pictures/[\w-]+\.png)\)", TUTORIAL.read_text()))
    assert len(named) >= 4
    assert [name for name in sorted(named) if not (TUTORIAL.parent / name).is_file()] == []
