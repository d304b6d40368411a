"""200 runs on one and on eight GPUs of a pool, by eight workers of which two are killed: a simulated driver, real processes.

Each run prints the mask that it sees and when it began and ended, so that what is checked is what runs were shown and when.
"""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from research_app.home import CODE
from tests.installation import Installation
from tests.nvml_samples import simulated_library
from tests.pool_box import FILE, SCRIPT
from training.sandbox import Level, best_level

SMALL, LARGE = 170, 30
OPERATORS = "8,9,10,11,12,13,14,15"
SECONDS = 400


@dataclass
class Box:
    """A home with the project, and its processes."""

    home: Installation
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.pool_box", *words]
        process = subprocess.Popen(command, env=self.home.environment, cwd=CODE, stdout=subprocess.DEVNULL)
        self.processes.append(process)
        return process

    def run(self, *words: str) -> str:
        command = [sys.executable, "-m", "tests.pool_box", *words]
        done = subprocess.run(command, env=self.home.environment, cwd=CODE, capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    if best_level(Level.none) is not Level.strong:
        pytest.skip("this machine has no sandbox of the level strong, which runs on several devices need")
    driver = simulated_library(tmp_path / "driver", gpus=16)
    driver |= {"CUDA_VISIBLE_DEVICES": OPERATORS, "SIGNOFF_DEVICE": f"cuda:{OPERATORS}"}
    home = Installation(tmp_path / "home", LEASE_SECONDS="6", LOG_LEVEL="ERROR", **driver)
    source = tmp_path / "source"
    source.mkdir()
    (source / "train.sh").write_text(SCRIPT)
    for words in (
        ["init", "-qb", "baseline"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "a"],
    ):
        subprocess.run(["git", *words], cwd=source, check=True)
    (tmp_path / "project.toml").write_text(FILE)
    home.migrate()
    created = home.command("project", "create", "box", "--repo", str(source), "--config", str(tmp_path / "project.toml"))
    assert created.returncode == 0, created.stderr
    made = Box(home)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


@pytest.mark.one_in(4)
@pytest.mark.slow
def test_two_hundred_runs_on_one_pool(box: Box) -> None:
    box.run("queue", str(SMALL), str(LARGE))
    workers = [box.start("work") for _ in range(8)]
    box.start("watch")
    for victim in workers[:2]:  # in the middle, whatever they train then
        time.sleep(8)
        victim.send_signal(signal.SIGKILL)
        box.start("work")
    deadline = time.monotonic() + SECONDS
    for process in box.processes:
        process.wait(timeout=max(1, deadline - time.monotonic()))
    check(json.loads(box.run("report")))


def check(told: dict[str, Any]) -> None:
    """All ended well, each saw just what it had leased, and no device was used twice at one time."""
    runs, masks = told["runs"], OPERATORS.split(",")
    assert len(runs) == SMALL + LARGE and told["busy"] == 0 and told["devices"] == 8
    assert [run["reason"] for run in runs if run["outcome"] != "completed"] == []
    spans: dict[str, list[tuple[int, int, int]]] = {mask: [] for mask in masks}
    for number, run in enumerate(runs):
        mask, device, began, ended = run["saw"]
        assert mask.split(",") == run["leased"] and len(run["leased"]) == run["devices"]
        assert device == ("cuda:0" if run["devices"] == 1 else "cuda")
        for each in mask.split(","):
            spans[each].append((int(began), int(ended), number))
    for used in spans.values():
        used.sort()
        assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(used)), "two runs had one device at one time"
        assert len(used) > LARGE, "every device was lent one by one and together"
    widths = [run["devices"] for run in runs]
    turns = [len(list(group)) for width, group in itertools.groupby(widths) if width == 1]
    assert all(6 <= count <= 24 for count in turns[1:-1]), f"eight or so between two large ones, and not all at once: {turns}"
