"""Repositories of the shapes that people bring come from `git clone` to a judged change with three commands, nothing edited."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.shapes import bring_all, written
from tests.real_shapes import SHAPES


@pytest.mark.slow
@pytest.mark.one_in(4)
@pytest.mark.parametrize("shape", SHAPES)
def test_three_commands_lead_to_a_judged_change(tmp_path: Path, shape: str) -> None:
    tmp_path.chmod(0o755)
    clones = written(tmp_path, [shape])
    brought = bring_all(tmp_path, clones, (), 400)[0]
    assert [command for command, _ in brought.commands] == ["inspect", "try", "create"] and brought.judged
    state = subprocess.run(["git", "status", "--porcelain"], cwd=clones[shape], capture_output=True, text=True, check=True)
    assert state.stdout == "", "nothing in the repository was touched"
