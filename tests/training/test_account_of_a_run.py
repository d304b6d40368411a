"""What a run used is measured from outside, whatever it starts and however it hides that."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.training.test_sandbox_filter import ALLOW, MACHINES, verdict
from tests.training_samples import Rig, small_corpus
from training import account, process
from training.account import ControlGroup
from training.sandbox import Level
from training.sandbox.seccomp import NEW_NAMESPACES, Where
from training.spec import Outcome

SECONDS = 0.6  # of work that each script does where it might not be seen
BURN = f"""
import ctypes, os, signal, sys, threading, time
def burn():
    start = time.thread_time()
    while time.thread_time() - start < {SECONDS}: pass
def done(path='done'):
    open(path, 'w').close()
def wait():
    while not os.path.exists('done'): time.sleep(0.02)
os.chdir(os.environ['HOME'])
"""
THREADS = {
    "in a thread": "t = threading.Thread(target=burn); t.start(); t.join()",
    "when the interpreter ends": "import atexit; atexit.register(burn)",
    "after its output is closed": "print('score: 1', flush=True); os.close(1); burn(); os._exit(0)",
    "in a program that takes its place": (
        "print('score: 1', flush=True)\n"
        "os.execv(sys.executable, [sys.executable, '-c', 'import time\\nwhile time.process_time() < SECONDS: pass'])"
    ).replace("SECONDS", str(SECONDS)),
}
CHILD = "if os.fork() == 0:\n    burn(); done(); os._exit(0)\n"
PROCESSES = {
    "in a child that is waited for": CHILD + "os.wait()",
    "in a child that is ignored": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n" + CHILD + "wait()",
    "in an orphan": (
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        burn(); done()\n    os._exit(0)\nwait()"
    ),
    "in a renamed orphan": (
        "if os.fork() == 0:\n    if os.fork() == 0:\n        ctypes.CDLL(None).prctl(15, b'kworker/0:1', 0, 0, 0)\n"
        "        burn(); done()\n    os._exit(0)\nwait()"
    ),
    "in a clone that sends no signal": (
        "if ctypes.CDLL(None).syscall(56 if os.uname().machine == 'x86_64' else 220, 0, 0, 0, 0, 0) == 0:\n"
        "    burn(); done(); os._exit(0)\nwait()"
    ),
}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    folder = tmp_path_factory.mktemp("account")
    return Rig(folder, small_corpus(folder / "data"))


def used(rig: Rig, script: str, **limits: object) -> float:
    result = rig.run_script(f"{BURN}{script}\nprint('score: 1')", **limits)
    assert result.outcome is Outcome.completed, (result.reason, result.log)
    return float(result.facts["cpu_seconds"])


@pytest.mark.parametrize("where", THREADS)
def test_work_of_the_one_process_is_accounted_wherever_it_is_done(rig: Rig, where: str) -> None:
    assert used(rig, THREADS[where]) >= SECONDS


@pytest.mark.parametrize("where", PROCESSES)
def test_work_of_other_processes_is_accounted_however_they_detach_themselves(rig: Rig, where: str) -> None:
    assert used(rig, PROCESSES[where], processes=4) >= SECONDS


@pytest.mark.parametrize("where", PROCESSES)
def test_the_task_clock_accounts_where_there_is_no_control_group(rig: Rig, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "own_group", lambda: None)
    result = rig.run_script(f"{BURN}{PROCESSES[where]}\nprint('score: 1')", processes=4)
    if result.facts["account"] == "sampled":
        pytest.skip("this kernel gives no task clock to ordinary users")
    assert result.facts["account"] == "task clock"
    assert result.facts["cpu_seconds"] >= SECONDS


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without control groups and without the task clock."""
    source = process.LAUNCHER.read_text()
    launcher = tmp_path / "launcher.py"
    launcher.write_text(source.replace('{"x86_64": 298, "aarch64": 241}', "{}"))
    assert launcher.read_text() != source
    monkeypatch.setattr(process, "LAUNCHER", launcher)
    monkeypatch.setattr(account, "own_group", lambda: None)


@pytest.mark.parametrize("where", THREADS)
def test_one_process_is_its_own_complete_account(rig: Rig, where: str, bare: None) -> None:
    result = rig.run_script(f"{BURN}{THREADS[where]}\nprint('score: 1')")
    assert result.facts["account"] == "one process"
    assert result.facts["cpu_seconds"] >= SECONDS


def test_several_processes_are_sampled_where_nothing_better_is_to_be_had(rig: Rig, bare: None) -> None:
    result = rig.run_script(f"{BURN}{PROCESSES['in a child that is ignored']}\nprint('score: 1')", processes=4)
    assert result.facts["account"] == "sampled"
    assert result.facts["cpu_seconds"] >= SECONDS / 3  # what a child did since it was last seen is missed


@pytest.mark.parametrize("level", [Level.strong, Level.basic])
@pytest.mark.parametrize(
    "start",
    [
        "import subprocess; subprocess.run(['true'])",
        "import os; os.fork()",
        "import os; os.posix_spawn('/bin/true', ['true'], {})",
        "import multiprocessing as m; m.get_context('fork').Process(target=print).start()",
        "import multiprocessing as m; m.get_context('spawn').Process(target=print).start()",
        "import ctypes, os; c = ctypes.CDLL(None, use_errno=True)\n"
        "if c.syscall(56 if os.uname().machine == 'x86_64' else 220, 17, 0, 0, 0, 0) < 0: raise OSError(ctypes.get_errno(), "
        "os.strerror(ctypes.get_errno()))",
    ],
)
def test_a_run_that_starts_a_process_is_told_what_to_write_into_the_project_file(rig: Rig, start: str, level: Level) -> None:
    result = rig.run_script(start + "\nprint('score: 1')", level=level)
    assert result.outcome is Outcome.crashed
    assert "[train] processes = 8" in result.reason


def test_more_processes_than_the_project_file_names_end_the_run(rig: Rig) -> None:
    script = "import os, time\nfor _ in range(6):\n    if os.fork() == 0: break\ntime.sleep(20)"
    result = rig.run_script(script, processes=3, wall_limit=20.0)
    assert result.outcome is Outcome.crashed
    assert "allows 3" in result.reason


@pytest.mark.parametrize("machine", MACHINES)
def test_threads_are_let_through_and_processes_are_not_whatever_else_their_flags_say(machine: str) -> None:
    alone, thread, clone = Where(processes=False), 0x10000, (56, 220)
    assert verdict(alone, machine, clone, 0x3D0F00) == ALLOW  # what pthread_create asks for
    for flags in (0, 17, 0x4111, 0x1200011, 0xFFFFFFFF & ~thread & ~NEW_NAMESPACES):
        assert verdict(alone, machine, clone, flags) == 0x50000 | errno.ECHILD
        assert verdict(Where(), machine, clone, flags) == ALLOW
    for call in ((57, 0), (58, 0))[: 2 if machine == "x86_64" else 0]:
        assert verdict(alone, machine, call) == 0x50000 | errno.ECHILD


def test_no_control_group_is_left_and_those_of_killed_workers_are_removed() -> None:
    parent = account.own_group()
    with ControlGroup() as group:
        if not group.folder or parent is None:
            pytest.skip("no control group can be made here")
        left = parent / f"{account.NAME}-{2**22 + 1}-0"  # no process has this number
        left.mkdir()
        with ControlGroup():
            assert not left.exists()
        assert os.path.isdir(group.folder)
    assert not os.path.exists(group.folder)
