"""`kill -9` of the worker in the middle of a long run on a larger rung: the run goes on where it saved, and is counted once."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.installation import Installation, carrying, wait_until
from tests.small_project import NUMBER, source_repository

pytestmark = [pytest.mark.slow, pytest.mark.skipif("FAULT_SEEDS" not in os.environ, reason="long: make test-faults")]
MARK = "SIGNOFF_TEST_MARK"
TRAIN = '''"""Count to eighty at M, slowly, and say at the end where this attempt began."""

import os
import random
import time

LEARNING_RATE = 0.01
kept = os.path.join(os.environ["SIGNOFF_OUT"], "resume.step")
begun = int(open(kept).read()) if os.path.exists(kept) else 0
large = os.environ["SIGNOFF_SCALE"] == "M"
for step in range(begun, 80 if large else 3):
    print(f"step={step} train_loss={3 / (step + 1):.6f} seconds={step}", flush=True)
    with open(kept + ".partial", "w") as file:
        file.write(str(step))
    os.replace(kept + ".partial", kept)
    time.sleep(0.1 if large else 0)
print(f"score={begun + random.Random(os.environ['SIGNOFF_SEED']).random():.6f}")
'''
PATTERN = rf"step=(?P<step>\d+) train_loss=(?P<train_loss>{NUMBER}) seconds=(?P<seconds>\d+)|score=(?P<score>{NUMBER})"
PROJECT = f"""
[train]
wall_limit_seconds = 60
[metric]
source = "pattern"
key = "score"
pattern = '''{PATTERN}'''
[budget]
kind = "wall_seconds"
amount = 10
[data]
corpus = "none"
[policy]
calibration_runs = 2
[baseline]
runs = 2
[[ladder]]
name = "S"
[[ladder]]
name = "M"
budget = 8
"""
LARGE = """
from django.db import transaction
from research_app.loop.runs import request_run
from research_app.models import Project, Purpose
project = Project.objects.get()
with transaction.atomic():
    request_run(project, project.tip(), None, Purpose.SCALE_UP, 1, scale="M")
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(tmp_path / "home", SIGNOFF_DEVICES="cpu:1", LEASE_SECONDS="4", **{MARK: str(tmp_path)})
    source = source_repository(tmp_path / "source", text=TRAIN)
    (tmp_path / "project.toml").write_text(PROJECT)
    installation.migrate()
    words = ["project", "create", "small", "--repo", str(source), "--config", str(tmp_path / "project.toml")]
    made = installation.command(*words)
    assert made.returncode == 0, made.stderr
    yield installation
    installation.end()
    for process in carrying(MARK, str(tmp_path)):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def row(home: Installation, columns: str) -> tuple[object, ...]:
    """Of the one run at M."""
    with sqlite3.connect(home.home / "signoff.sqlite3") as database:
        return tuple(database.execute(f"SELECT {columns} FROM research_app_run WHERE scale = 'M'").fetchone() or ())


def test_a_long_run_goes_on_from_what_it_saved_after_its_worker_was_killed(home: Installation) -> None:
    home.start()
    queued = home.command("shell", "-c", LARGE)
    assert queued.returncode == 0, queued.stderr
    wait_until(lambda: bool(row(home, "progress")) and float(str(row(home, "progress")[0])) > 0.2, 90)
    killed = home.services["train.cpu.0"]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: row(home, "state")[0] == "finished", 120)
    outcome, score, resumed, attempts, earlier = row(home, "outcome, score, resumed_at, attempts, earlier_seconds")
    assert outcome == "completed"
    assert float(str(score)) > 10, "its second attempt did not begin at the beginning"
    assert float(str(resumed)) > 0.1 and attempts == 1, "it went further, so that its attempts begin anew"
    assert float(str(earlier)) > 1, "and the device time of the first is counted"
    with sqlite3.connect(home.home / "signoff.sqlite3") as database:
        kinds = [kind for (kind,) in database.execute("SELECT kind FROM research_app_event ORDER BY sequence")]
    assert kinds.count("run lost its worker") == 1 and kinds.count("run resumed") == 1
    wait_until(lambda: not any((home.home / "runs").glob("*-*")), 30)
    assert home.command("audit", "verify").returncode == 0
