"""docs/how-to/bring-your-repository.md can be followed to the letter: from a repository to the first judged change, nothing
edited."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from research_app.home import CODE
from tests.installation import Installation, wait_until
from tests.tutorial import follow
from tests.walk.state import Database

pytestmark = pytest.mark.one_in(2)  # each is long

GUIDE = CODE / "docs" / "how-to" / "bring-your-repository.md"


@pytest.fixture
def signoff(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "var", SIGNOFF_DEVICES="cpu:2")
    made.migrate()
    yield made
    made.end()


@pytest.mark.slow
def test_a_repository_is_looked_at_tried_created_and_its_first_change_judged(signoff: Installation, tmp_path: Path) -> None:
    make, look, trial, create, change, submit = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    follow(make, tmp_path, signoff.home)
    written = follow(look, tmp_path, signoff.home)
    assert "# train.py line 8 seeds with 1337" in written and 'source = "nanogpt"' in written
    tried = follow(trial, tmp_path, signoff.home)
    assert "yes Does the seed change the result?" in tried and "It can be created: project create" in tried
    assert re.search(r"> step 0: train loss [\d.]+, val loss [\d.]+  → step = 0", tried)
    follow(create, tmp_path, signoff.home)
    follow(change, tmp_path, signoff.home)
    signoff.start()
    follow(submit, tmp_path, signoff.home)
    database = Database(signoff.home)
    wait_until(lambda: database.snapshot().candidate("tiny", 1).stage in ("ready", "dropped", "inconclusive", "invalid"), 300)
    candidate = database.snapshot().candidate("tiny", 1)
    assert candidate.stage == "ready", candidate.why
    assert "learning_rate = 0.02" in (tmp_path / "tiny" / "train.py").read_text(), "the folder is not touched"
