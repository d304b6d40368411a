"""The one function that runs git."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import psutil
import pytest

from research_app.repository import MINIMUM_VERSION, PatchError, Repository, RepositoryError, git_version
from research_app.repository import git as git_module
from research_app.repository.git import GitError, run_git
from tests.quick_git import ARGUMENTS_IN_USE

ROOM = Path(__file__).parents[2] / "research_app"


def test_the_installed_git_is_new_enough() -> None:
    assert git_version() >= MINIMUM_VERSION


def test_git_that_is_missing_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RepositoryError, match="not installed"):
        git_version()


def test_what_git_says_is_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="exit code 128: fatal: not a git repository"):
        run_git("rev-parse", "HEAD", repository=tmp_path)


def test_a_git_that_hangs_is_stopped_with_its_helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "git").write_text(
        f"#!/bin/sh\n/bin/sleep 61.5 </dev/null >/dev/null 2>&1 &\necho $! > {tmp_path}/helper\nwait\n"
    )
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(RepositoryError, match="took longer than"):
        run_git("fetch", timeout=0.5)
    helper = int((tmp_path / "helper").read_text())
    deadline = time.monotonic() + 10
    while not _ended(helper):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("trouble", ["No space left on device", "Read-only file system"])
def test_a_full_disk_is_not_blamed_on_the_patch(trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository.create(tmp_path / "r.git", "baseline", {"a.py": b"a = 1\n"}, "Begin")
    tip = repository.tip()
    (tmp_path / "git").write_text(f"#!/bin/sh\necho 'error: unable to write file: {trouble}' >&2\nexit 1\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(RepositoryError, match=f"could not write: {trouble.lower()}") as error:
        repository.change_from_patch(tip, "--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-a = 1\n+a = 2\n", "Try", "Ada")
    assert not isinstance(error.value, PatchError)


def test_git_sees_a_clean_environment_and_our_settings_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "git").write_text("#!/bin/sh\nenv\nprintf '%s\\n' \"$@\"\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(git_module, "_CONFIGURATION_ARGUMENTS", ARGUMENTS_IN_USE)
    for name in ("SECRET_KEY", "DATABASE_URL", "GIT_DIR", "GIT_EXTERNAL_DIFF", "GIT_CONFIG_PARAMETERS", "LD_PRELOAD_X"):
        monkeypatch.setenv(name, "leaked")
    lines = run_git("status").stdout.decode().splitlines()
    assert not [line for line in lines if "leaked" in line]
    for expected in ("GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "HOME=/nonexistent"):
        assert expected in lines
    for setting in ("core.hooksPath=/dev/null", "core.fsmonitor=false", "core.fsync=committed,reference"):
        assert lines[lines.index(setting) - 1] == "-c"


def test_nothing_else_in_the_application_runs_git() -> None:
    allowed = {ROOM / "repository" / "git.py", ROOM / "repository" / "objects.py"}
    assert [str(path) for path in ROOM.rglob("*.py") if path not in allowed and _runs_git(path.read_text())] == []
    assert any(_runs_git(path.read_text()) for path in allowed)


def _runs_git(source: str) -> bool:
    """Whether a module imports GitPython, or starts git for more than its version."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=[ast.alias(name=name)]) if name.split(".")[0] == "git":
                return True
            case ast.ImportFrom(level=0, module=str(name)) if name.split(".")[0] == "git":
                return True
            case ast.Call(func=ast.Attribute(value=ast.Name(id="subprocess")), args=[ast.List() | ast.Tuple() as command, *_]):
                match command.elts:
                    case [ast.Constant(value="git"), ast.Constant(value="--version")]:
                        continue
                    case [ast.Constant(value="git"), *_]:
                        return True
    return False
