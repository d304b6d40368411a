"""What a run sees of the worker, what it leaves behind, and the outcome of its output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.training_samples import SCORING, Rig, small_corpus
from training.process import BoundedLog, clean_text
from training.sandbox import Level
from training.spec import Outcome

ROOT = Path(__file__).parents[2]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, small_corpus(tmp_path / "data"))


def test_a_run_sees_only_the_allowed_environment(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://secret")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("USER", "ada")
    rig.run_script("import json, os; json.dump(dict(os.environ), open(os.environ['HOME'] + '/seen.json', 'w'))", seed=7)
    seen = json.loads((rig.folder / "scratch-0" / "seen.json").read_text())
    assert not {"DATABASE_URL", "PYTHONPATH"} & set(seen)
    assert seen["USER"] == seen["LOGNAME"] == "signoff", "a name that nobody has, for getpass.getuser()"
    assert {name for name in seen if not name.startswith("SIGNOFF_")} <= {
        "PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "LC_CTYPE",
        "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED",
        "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "CUBLAS_WORKSPACE_CONFIG",
    }  # fmt: skip
    assert seen["SIGNOFF_SEED"] == "7"
    assert seen["SIGNOFF_BUDGET_KIND"] == "train_flops"
    assert float(seen["SIGNOFF_BUDGET"]) == 3e8
    assert seen["SIGNOFF_DATA"] == str(rig.corpus.visible)
    assert seen["HOME"] == seen["SIGNOFF_OUT"] == str(rig.folder / "scratch-0")


def test_no_core_dump_is_written_and_the_kernel_would_take_the_run_first(rig: Rig) -> None:
    script = "import resource; print('core', resource.getrlimit(resource.RLIMIT_CORE), open('/proc/self/oom_score_adj').read())"
    assert "core (0, 0) 1000" in rig.run_script(script).log


def test_a_daemon_that_the_run_left_is_gone_when_the_run_ends(rig: Rig) -> None:
    script = """
import os, sys, time
os.chdir(os.environ['HOME'])
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for fd in range(3):
            os.close(fd)
        open('daemon', 'w').close()
        time.sleep(600)
    os._exit(0)
while not os.path.exists('daemon'):
    time.sleep(0.01)
print('score: 1')
"""
    mark = uuid.uuid4().hex
    result = rig.run_script(script, command=("python", "train.py", mark), wall_limit=30.0, processes=8)
    assert result.outcome is Outcome.completed
    assert (rig.folder / "scratch-0" / "daemon").exists()
    assert not marked(mark)


@pytest.mark.parametrize("level", [Level.strong, Level.basic, Level.none])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_running_when_the_worker_is_killed(rig: Rig, number: signal.Signals, level: Level) -> None:
    tree = rig.script("""
import os, time
os.chdir(os.environ['HOME'])
if os.fork() == 0:
    os.setsid()  # a grandchild that detached itself
    open('grandchild', 'w').close()
    time.sleep(600)
open('child', 'w').close()
time.sleep(600)
""")
    spec, mark = rig.spec(tree), uuid.uuid4().hex
    worker = subprocess.Popen(
        [sys.executable, "-c", f"from tests.training.test_training_environment import run_forever; run_forever({str(tree)!r}, "
         f"{str(spec.scratch)!r}, {str(rig.corpus.folder)!r}, {str(level)!r}, {mark!r})"],
        cwd=ROOT,
    )  # fmt: skip
    wait_until(lambda: all((spec.scratch / name).exists() for name in ("child", "grandchild")))
    assert len(marked(mark)) > 2
    worker.send_signal(number)
    worker.wait()
    wait_until(lambda: not marked(mark))


def run_forever(tree: str, scratch: str, corpus: str, level: str, mark: str) -> None:
    """What the killed worker of the test above executes."""
    from training.runner import run_training
    from training.spec import Budget, RunSpec

    spec = RunSpec(
        run=1, tree=Path(tree), scratch=Path(scratch), command=("python", "train.py", mark), seed=1, device="cpu",
        budget=Budget("tokens", 1), wall_limit=600, data=Path(corpus) / "visible", scoring=SCORING, level=Level(level),
        processes=8,
    )  # fmt: skip
    run_training(spec, lambda points: None, lambda: None)


def marked(mark: str) -> list[psutil.Process]:
    """The processes that have a word in their command line: their numbers inside a sandbox are not those outside.

    Only those without the worker, which has it within a longer word.
    """
    return [process for process in psutil.process_iter(["cmdline"]) if mark in (process.info["cmdline"] or ())]


def wait_until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_killed_launcher_takes_its_command_along_and_is_reported(rig: Rig) -> None:
    script = "import os, signal, time; os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)"
    result = rig.run_script(script, wall_limit=20.0, level=Level.none)
    assert (result.outcome, result.exit_code) == (Outcome.crashed, None)
    assert "killed from outside" in result.reason


def test_a_long_log_keeps_head_and_tail_and_says_how_much_was_cut(rig: Rig) -> None:
    script = "print('first line')\nfor n in range(40000): print('filler', n)\nprint('last line')"
    result = rig.run_script(script, log_limit=4096)
    assert result.log.startswith("first line\n")
    assert result.log.endswith("last line\n")
    assert "bytes of output cut here]" in result.log
    assert len(result.log) < 4096 + 100


def test_a_bounded_log_accounts_for_every_byte() -> None:
    log = BoundedLog(100)
    for number in range(1000):
        log.add(b"%04d\n" % number)
    head, _, rest = log.text().partition("\n[")
    cut, _, tail = rest.partition(" bytes of output cut here]\n")
    assert (head, tail) == ("".join(f"{n:04}\n" for n in range(10)), "".join(f"{n:04}\n" for n in range(990, 1000)))
    assert int(cut) == 5000 - 100


def test_control_characters_are_stripped_from_the_log(rig: Rig) -> None:
    script = r"import os; os.write(1, b'\x1b[31mred\x1b[0m\x00\x07 a\tb\r\n50%\r100%\n\xe2\x80\xaereversed\xff\n')"
    assert rig.run_script(script).log == "red a\tb\n50%\n100%\nreversed\ufffd\n"


def test_terminal_titles_and_invisible_characters_are_stripped() -> None:
    assert clean_text(b"\x1b]0;owned\x07title \xe2\x80\x8bzero\xc2\x85 width") == "title zero width"


def test_a_flood_of_output_does_not_outlive_the_limit(rig: Rig) -> None:
    result = rig.run_script("while True: print('x' * 8000)", wall_limit=1.0, log_limit=8192)
    assert result.outcome is Outcome.timed_out
    assert len(result.log) < 10_000


def test_files_of_the_worker_are_not_inherited(rig: Rig) -> None:
    kept = os.open(ROOT / "pyproject.toml", os.O_RDONLY)
    os.set_inheritable(kept, True)
    try:
        result = rig.run_script("import os; print('open', sorted(os.listdir('/proc/self/fd'))[:-1])", served=False)
    finally:
        os.close(kept)
    assert "open ['0', '1', '2']" in result.log
