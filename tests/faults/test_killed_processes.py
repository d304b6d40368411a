"""`kill -9` of anything during a loop: every candidate comes to rest, none twice, and no process is left behind.

The main suite kills each kind of worker once; `make test-faults` kills the supervisor too, and goes on for many seeds.
"""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from research_app.home import CODE
from tests.installation import Installation, alive, carrying, wait_until
from tests.small_project import PATTERN, TRAIN, source_repository

pytestmark = pytest.mark.slow
MARK = "SIGNOFF_TEST_MARK"
EXPERIMENTS = 12 if "FAULT_SEEDS" in os.environ else 6
KINDS = ("train.cpu", "orchestrate", "broker")
SEEDS = range(int(os.environ.get("FAULT_SEEDS", "1")))
SLOW_TRAIN = TRAIN.replace("for step in STEPS:\n", "for step in STEPS:\n    time.sleep(0.05)\n").replace(
    "import random", "import random\nimport time"
)
PROJECT = f"""
[train]
wall_limit_seconds = 30
[metric]
source = "pattern"
key = "score"
pattern = '''{PATTERN}'''
[budget]
kind = "wall_seconds"
amount = 30
[data]
corpus = "none"
[policy]
calibration_runs = 4
confirm_runs = 2
n_max = 2
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(tmp_path / "home", SIGNOFF_DEVICES="cpu:2", LEASE_SECONDS="4", **{MARK: str(tmp_path)})
    source = source_repository(tmp_path / "source", text=SLOW_TRAIN)
    (tmp_path / "project.toml").write_text(PROJECT)
    installation.migrate()
    created = installation.command(
        "project", "create", "small", "--repo", str(source), "--config", str(tmp_path / "project.toml")
    )
    assert created.returncode == 0, created.stderr
    yield installation
    for process in carrying(MARK, str(tmp_path)):
        with suppress(psutil.NoSuchProcess):
            process.kill()


class Loop:
    """`manage.py loop` with workers of its own, as a process."""

    def __init__(self, home: Installation) -> None:
        words = ["loop", "--project", "small", "--experiments", str(EXPERIMENTS), "--json"]
        self.process = subprocess.Popen(
            [sys.executable, str(CODE / "manage.py"), *words],
            env=home.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.told: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr
        self.told.extend(iter(self.process.stderr.readline, ""))

    def victims(self, kind: str) -> list[psutil.Process]:
        """Its running services of one kind."""
        words = {"train.cpu": "train.cpu", "orchestrate": "orchestrate", "broker": "valkey-server"}[kind]
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):
                if words in " ".join(child.cmdline()):
                    found.append(child)
        return found


def rows(home: Installation, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(home.home / "signoff.sqlite3") as database:
        return database.execute(query).fetchall()


def count(home: Installation, query: str) -> int:
    return int(str(rows(home, query)[0][0]))


@pytest.mark.parametrize("seed", SEEDS)
def test_all_candidates_come_to_rest_whatever_is_killed(home: Installation, seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    loop = Loop(home)
    wait_until(lambda: count(home, "SELECT count(*) FROM research_app_run WHERE state = 'finished'") >= 2, 60)
    killed = []
    for kind in chance.sample(KINDS * 2 if seed else KINDS, k=len(KINDS) * (2 if seed else 1)):
        time.sleep(chance.uniform(0.2, 2.0))
        if victims := loop.victims(kind):
            victim = chance.choice(victims)
            os.kill(victim.pid, signal.SIGKILL)
            killed.append(kind)
    out, _ = loop.process.communicate(timeout=180)
    assert len(killed) >= len(KINDS), loop.told
    report = json.loads(out.splitlines()[-1])
    assert report["experiments"] == EXPERIMENTS, (report, loop.told)
    idle = "'invalid','crashed','dropped','inconclusive','ready'"
    assert count(home, f"SELECT count(*) FROM research_app_candidate WHERE stage IN ({idle})") == EXPERIMENTS
    assert count(home, "SELECT count(*) FROM research_app_candidate WHERE needs_attention <> ''") == 0
    refused = count(home, "SELECT count(*) FROM research_app_candidate WHERE duplicate_of_id IS NOT NULL")
    assert count(home, "SELECT count(*) FROM research_app_patchset") == EXPERIMENTS - refused, "each was entered once"
    came_to_rest = f"SELECT subject_id FROM research_app_event WHERE kind = 'stage changed' AND data ->> 'to' IN ({idle})"
    once_each = rows(home, came_to_rest)
    assert len(once_each) == len(set(once_each)) == EXPERIMENTS, "each candidate came to rest once"
    one_seed = "SELECT patch_set_id, seed FROM research_app_run WHERE patch_set_id IS NOT NULL"
    trained = rows(home, one_seed)
    assert len(trained) == len(set(trained)), "no seed of a candidate was counted twice"
    assert home.command("audit", "verify").returncode == 0
    assert alive(carrying(MARK, str(tmp_path))) == []


@pytest.mark.skipif("FAULT_SEEDS" not in os.environ, reason="long: make test-faults")
def test_a_killed_supervisor_leaves_no_process_and_the_next_loop_goes_on(home: Installation, tmp_path: Path) -> None:
    loop = Loop(home)
    wait_until(lambda: count(home, "SELECT count(*) FROM research_app_run WHERE state = 'running'") >= 2, 60)
    loop.process.kill()
    loop.process.wait()
    assert alive(carrying(MARK, str(tmp_path))) == []
    again = Loop(home)
    again.process.communicate(timeout=180)
    assert again.process.returncode == 0, again.told
    wanted = count(home, "SELECT count(*) FROM research_app_candidate")
    assert wanted == 2 * EXPERIMENTS, "the first round is finished too"
    assert count(home, "SELECT count(*) FROM research_app_run WHERE state = 'running'") == 0
