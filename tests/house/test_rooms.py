"""The rooms import one way, without a circle, and the picture of them is the one that the code draws."""

import subprocess
import sys
from pathlib import Path

from research_app.home import CODE
from tests.rooms import PACKAGES, PICTURE, drawn, imports, layers


def test_nothing_imports_upwards() -> None:
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=CODE, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_every_folder_of_the_product_is_a_room() -> None:
    known = {room for row in layers() for room in row}
    folders = {f"research_app.{path.parent.name}" for path in Path(CODE, "research_app").glob("*/__init__.py")}
    assert folders - known == {"research_app.migrations"}
    assert set(PACKAGES[1:]) <= known


def test_the_picture_shows_the_imports_of_now() -> None:
    assert PICTURE.read_text() == drawn(), "draw it again: python -m tests.rooms"


def test_the_loop_stands_above_the_statistics_in_it() -> None:
    found = imports()
    assert found["research_app.loop", "research_app.evidence"] > 20
    assert ("research_app.evidence", "research_app.loop") not in found
