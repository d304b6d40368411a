"""docs/how-to/eight-gpus.md can be followed to the letter, on a simulated driver: its commands, and what its runs were
shown."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from research_app.home import CODE
from tests.installation import Installation, wait_until
from tests.nvml_samples import simulated_library
from training.sandbox import Level, best_level

PAGE = CODE / "docs" / "how-to" / "eight-gpus.md"


def blocks() -> list[str]:
    return re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def signoff(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "var", **simulated_library(tmp_path / "driver"), HOME=str(tmp_path), LOG_LEVEL="WARNING")
    made.slowness = 4.0
    made.migrate()
    yield made
    made.end()


def follow(block: str, home: Installation) -> str:
    """Run one block as a person does; what it printed."""
    block = block.replace(".venv/bin/signoff", f"{sys.executable} {CODE}/manage.py")
    done = subprocess.run(["bash", "-euc", block], cwd=CODE, env=home.environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_what_is_there_is_named_by_its_own_number(signoff: Installation) -> None:
    everything, some, *_ = (follow(block, signoff) for block in blocks()[:2])
    assert re.search(r"devices.*cuda 0: NVIDIA H200; .*cuda 7: NVIDIA H200", everything)
    assert re.search(r"devices +cuda 4: NVIDIA H200; cuda 5: .*cuda 7: NVIDIA H200\n", some) and "cuda 3" not in some


@pytest.mark.one_in(4)
@pytest.mark.slow
def test_runs_on_one_gpu_and_on_eight_share_the_box(signoff: Installation) -> None:
    if best_level(Level.none) is not Level.strong:
        pytest.skip("this machine has no sandbox of the level strong, which runs on several devices need")
    for block in blocks()[2:]:
        follow(block, signoff)
    signoff.start()
    wait_until(lambda: sum("," in each for each in shown(signoff)) >= 2 and len(shown(signoff)) >= 10, 400)
    found = shown(signoff)
    ones = {each for each in found if "," not in each}
    assert set(found) - ones == {"0,1,2,3,4,5,6,7 of 8 process(es)"}
    assert ones <= {f"{number} of 1 process(es)" for number in range(8)} and len(ones) > 1


def shown(home: Installation) -> list[str]:
    """What the runs that ended well say that they were shown."""
    import sqlite3

    with closing(sqlite3.connect(home.home / "signoff.sqlite3")) as database:
        rows = database.execute(
            "select text from research_app_runlog join research_app_run on run_id = id where outcome = 'completed'"
        ).fetchall()
    return [match for (text,) in rows for match in re.findall(r"devices: (.*)", text)]
