"""Whatever tries to get out of the sandbox is stopped, at both levels, whoever started the worker; without, it gets out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.escape.users import ROOT, as_ordinary_user
from tests.installation import alive
from training.escape.stage import Stage
from training.sandbox import Level

LEVELS = [Level.strong, Level.basic]


@pytest.mark.parametrize("level", LEVELS)
def test_every_attempt_is_stopped(level: Level) -> None:
    with Stage() as stage:
        findings = stage.examine(level)
    assert (findings.trouble, findings.escaped) == ("", [])
    assert len(findings.attempts) >= 60


def test_without_a_sandbox_most_attempts_get_out_and_are_noticed() -> None:
    with Stage() as stage:
        findings = stage.examine(Level.none)
    out = {name for name, evidence in findings.attempts.items() if evidence}
    assert {
        "read a key file",
        "read the gate shard",
        "TCP to the machine",
        "kill another process",
        "find other processes in /proc",
    } <= out
    assert "another process was ended" in findings.harm
    assert len(out) > 40


def test_what_the_attempts_are_aimed_at_ends_with_a_worker_that_is_killed() -> None:
    staged = """if True:
        from training.escape.stage import Stage
        with Stage() as stage:
            print(stage.victim.pid, stage.folder, flush=True)
            input()
    """
    with subprocess.Popen(
        [sys.executable, "-c", staged], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout
        pid, folder = worker.stdout.readline().split()
        victim = psutil.Process(int(pid))
        worker.kill()
    shutil.rmtree(folder)
    assert alive([victim]) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="the tests above are this one when an ordinary user runs them")
def test_every_attempt_is_stopped_when_an_ordinary_user_runs_the_worker(tmp_path: Path) -> None:
    home = Path("/var/tmp") / f"signoff-user-{os.getpid()}"
    home.mkdir()
    try:
        command = as_ordinary_user([sys.executable, "-B", "-m", "tests.escape", "--quick", "--json"], home)
        found = subprocess.run(command, cwd=ROOT, env={**os.environ, "TMPDIR": str(home)}, stdout=subprocess.PIPE, check=True)
    finally:
        subprocess.run(["rm", "-rf", str(home)], check=True)
    columns = json.loads(found.stdout)
    assert set(columns) == {"strong, user", "basic, user"}
    for column in columns.values():
        assert len(column) >= 60
        assert {name: got for name, got in column.items() if got} == {}
