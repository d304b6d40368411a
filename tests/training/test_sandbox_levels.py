"""Which level holds is found by trying; below the minimum nothing runs, and the message says what to do."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.training_samples import Rig, small_corpus
from training.runner import run_training
from training.sandbox import Level, NoSandbox, best_level, confinement, landlock, probe
from training.sandbox import probe as find
from training.sandbox.probe import found
from training.spec import Outcome

SECRET = "import os; print('user', os.getuid()); open(os.environ['HOME'] + '/kept', 'w').write('x'); print('score: 1')"


@pytest.fixture(autouse=True)
def _found_anew() -> Iterator[None]:
    found.cache_clear()
    yield
    found.cache_clear()


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, small_corpus(tmp_path / "data"))


def bubblewrap(monkeypatch: pytest.MonkeyPatch, path: str | None) -> None:
    monkeypatch.setattr(confinement, "find_bubblewrap", lambda: path)


def no_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "version", lambda: 0)


def script(folder: Path, text: str) -> str:
    path = folder / "bwrap"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_levels_are_ordered() -> None:
    assert Level.strong.at_least(Level.basic) and Level.basic.at_least(Level.basic)
    assert not Level.none.at_least(Level.basic) and not Level.basic.at_least(Level.strong)


def test_with_bubblewrap_the_strong_level_holds_and_nothing_is_to_be_mended() -> None:
    assert find(Level.basic) == probe(Level.basic)
    assert (find(Level.basic).level, find(Level.basic).fix) == (Level.strong, "")


def test_without_bubblewrap_the_basic_level_holds_and_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    bubblewrap(monkeypatch, None)
    result = find(Level.basic)
    assert result.level is Level.basic
    assert "bubblewrap is not installed" in result.reasons[0]
    assert "apt-get install bubblewrap" in result.fix


def test_without_landlock_too_runs_are_refused_in_time_with_the_fix(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    bubblewrap(monkeypatch, None)
    no_landlock(monkeypatch)
    started = time.monotonic()
    with pytest.raises(NoSandbox) as refused:
        rig.run_script(SECRET)
    assert time.monotonic() - started < 30
    for words in ("level basic", "bubblewrap is not installed", "no Landlock", "apt-get install bubblewrap", "lsm=landlock"):
        assert words in str(refused.value)
    assert not (rig.folder / "scratch-0" / "kept").exists()


def test_a_project_that_demands_more_than_there_is_runs_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    bubblewrap(monkeypatch, None)
    with pytest.raises(NoSandbox, match="level strong"):
        rig.run_script(SECRET, minimum_level=Level.strong)
    assert best_level(Level.basic) is Level.basic


def test_a_project_that_accepts_no_sandbox_runs_without_and_says_so(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    bubblewrap(monkeypatch, None)
    no_landlock(monkeypatch)
    result = rig.run_script(SECRET, minimum_level=Level.none)
    assert (result.outcome, result.sandbox_level) == (Outcome.completed, "none")


def test_it_runs_without_one_where_this_machine_has_one_too(rig: Rig) -> None:
    result = rig.run_script("print('score: 1')", minimum_level=Level.none)
    assert (result.outcome, result.sandbox_level) == (Outcome.completed, "none")


def test_a_bubblewrap_that_may_make_no_name_spaces_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "bwrap: Creating new namespace failed: Operation not permitted"
    bubblewrap(monkeypatch, script(tmp_path, f"echo '{said}' >&2; exit 1"))
    result = find(Level.basic)
    assert result.level is Level.basic
    assert said in result.reasons[0]
    assert "kernel.apparmor_restrict_unprivileged_userns" in result.fix


def test_a_bubblewrap_with_a_hole_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bubblewrap(monkeypatch, script(tmp_path, 'exec bwrap --perms 0755 --dir /var --ro-bind /var/tmp /var/tmp "$@"'))
    result = find(Level.basic)
    assert result.level is Level.basic
    assert "read a key file" in result.reasons[0]


@pytest.mark.parametrize("level", [Level.strong, Level.basic])
def test_the_level_is_stored_with_the_run_and_as_root_the_run_is_somebody_else(rig: Rig, level: Level) -> None:
    result = rig.run_script(SECRET, level=level)
    assert (result.outcome, result.sandbox_level) == (Outcome.completed, level)
    if os.geteuid() == 0:
        user = int(result.log.split()[1])
        assert user > 60000
        assert (rig.folder / "scratch-0" / "kept").stat().st_uid == user


@pytest.mark.parametrize("level", [Level.strong, Level.basic])
def test_text_that_the_corpus_is_from_cannot_be_read_while_other_packages_can(rig: Rig, level: Level) -> None:
    folder = rig.folder / "of-packages"
    (folder / "visible").mkdir(parents=True)
    (folder / "corpus.json").write_text('{"recipe": {"web": ["pygments", "click"]}}')
    source = """
import sysconfig, pathlib, numpy, safetensors
site = pathlib.Path(sysconfig.get_path('purelib'))
for name in ('pygments', 'click', 'numpy'):
    try: print(name, len((site / name / '__init__.py').read_text()) > 100)
    except OSError as error: print(name, type(error).__name__)
raise SystemExit(1)
"""
    tree = rig.script(source, f"reads-{level}")
    result = run_training(rig.spec(tree, level=level, data=folder / "visible", served=False), lambda points: None, lambda: None)
    said = [line.split() for line in result.log.splitlines()]  # a library may warn of something before
    lines = dict(words for words in said if len(words) == 2)
    assert lines["numpy"] == "True"
    assert {lines["pygments"], lines["click"]} <= {"FileNotFoundError", "PermissionError"}


@pytest.mark.parametrize("level", [Level.strong, Level.basic])
def test_what_honest_training_code_does_works_inside(rig: Rig, level: Level) -> None:
    source = """
import concurrent.futures, contextlib, fcntl, hashlib, multiprocessing, os, shutil, sqlite3, subprocess, sys
import tempfile, threading, time
def square(n): return n * n
if __name__ == '__main__':
    WORKERS
    with concurrent.futures.ThreadPoolExecutor(4) as threads: assert list(threads.map(square, [3])) == [9]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'file'); open(path, 'wb').write(bytes(1000)); os.replace(path, path + '2')
    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
    child.terminate()
    assert child.wait() == -15
    assert subprocess.run(['sh', '-c', 'echo hello'], capture_output=True, text=True).stdout == 'hello\\n'
    assert os.cpu_count() and open('/proc/cpuinfo').read() and open('/proc/self/statm').read()
    open('/dev/null', 'w').write('x'); assert len(os.urandom(8)) == 8 and time.localtime()
    os.chdir(os.environ['HOME'])
    with contextlib.closing(sqlite3.connect('notes.db')) as notes:
        notes.execute('create table t (n)'); notes.execute('insert into t values (1)'); notes.commit()
    with open('lock', 'w') as lock: fcntl.flock(lock, fcntl.LOCK_EX); fcntl.lockf(lock, fcntl.LOCK_EX)
    print('score: 1')
"""
    pool = "with multiprocessing.Pool(2) as pool: assert pool.map(square, range(9))[-1] == 64"
    child = "child = multiprocessing.Process(target=square, args=[3]); child.start(); child.join(); assert child.exitcode == 0"
    workers = pool if level is Level.strong else child  # without /dev/shm there are no locks between processes
    result = rig.run_script(source.replace("WORKERS", workers), level=level, processes=8)
    assert result.outcome is Outcome.completed, result.log


@pytest.mark.one_in(2)
def test_compiled_code_works_inside(rig: Rig) -> None:
    source = "import torch; print('score:', float(torch.compile(lambda x: x * 2)(torch.ones(1))))"
    result = rig.run_script(source, level=Level.strong, memory_limit=4 << 30, processes=64)
    assert (result.outcome, result.score) == (Outcome.completed, 2.0), result.log


def test_a_command_without_a_folder_of_its_own_writes_nowhere(tmp_path: Path) -> None:
    from training.process import Process, clean_environment

    code = "\n".join(
        f"try: open('{folder}/x', 'w'); print('wrote {folder}')\nexcept OSError: pass"
        for folder in ("/tmp", "/dev/shm", "/dev", "/", tmp_path)
    )
    for level in (Level.strong, Level.basic):
        kept = confinement.Confinement(level, (), None, "cpu", 1 << 28, 32, 1 << 20, 0)
        command = confinement.confined([sys.executable, "-I", "-c", code + "\nprint('done')"], kept)
        with Process(command, cwd=tmp_path, environment=clean_environment(tmp_path), memory_limit=1 << 28) as process:
            assert process.wait(20)
        assert process.log.text() == "done\n"


@pytest.mark.parametrize("level", [Level.strong, Level.basic])
def test_what_is_hidden_is_hidden_under_every_name_that_leads_to_it(tmp_path: Path, level: Level) -> None:
    from training.process import Process, clean_environment

    real, link = tmp_path / "real", tmp_path / "link"
    (real / "open").mkdir(parents=True)
    (real / "closed").mkdir()
    for folder in ("open", "closed"):
        (real / folder / "text").write_text(folder)
    link.symlink_to(real)
    code = "\n".join(
        f"try: print(open('{place}/text').read())\nexcept OSError as error: print(type(error).__name__)"
        for place in (link / "open", real / "open", link / "closed", real / "closed")
    )
    kept = confinement.Confinement(level, (link,), None, "cpu", 1 << 28, 32, 1 << 20, 0, hidden=(link / "closed",))
    command = confinement.confined([sys.executable, "-I", "-c", code], kept)
    with Process(command, cwd=tmp_path, environment=clean_environment(tmp_path), memory_limit=1 << 28) as process:
        process.wait(20)
        lines = process.log.text().split()
    assert lines[:2] == ["open", "open"]
    assert {*lines[2:]} <= {"FileNotFoundError", "PermissionError"} and len(lines) == 4
