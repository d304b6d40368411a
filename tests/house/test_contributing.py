"""CONTRIBUTING.md is true: its example is a test that passes, and every command of it is there (tests/house/test_blocks.py)."""

import re
import subprocess
import sys

import pytest

from research_app.home import CODE
from tests.house.blocks import blocks
from tests.settings import for_tests_of_its_own

GUIDE = (CODE / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.one_in(3)
@pytest.mark.slow
def test_the_example_is_a_test_that_passes() -> None:
    [example] = [block.text for block in blocks() if block.document == "CONTRIBUTING.md" and block.kind == "python"]
    mine = CODE / "tests" / "house" / "test_example_of_contributing.py"
    try:
        mine.write_text(example, encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(mine)]
        done = subprocess.run(command, cwd=CODE, env=for_tests_of_its_own(), capture_output=True, text=True, check=False)
    finally:
        mine.unlink(missing_ok=True)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_links_of_it_lead_somewhere() -> None:
    named = re.findall(r"\]\(([^)#]+)\)", GUIDE)
    assert len(named) > 2 and [name for name in named if not (CODE / name).exists()] == []
