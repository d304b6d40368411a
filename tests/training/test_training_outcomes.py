"""Every way a run can end has a name, a reason in words, and an end in time."""

from __future__ import annotations

import signal
import time
import uuid
from itertools import pairwise
from pathlib import Path

import pytest

from tests.training.test_training_environment import marked
from tests.training_samples import SCORING, Rig, small_corpus, values_of
from training import process
from training.failure import Failure
from training.runner import run_training
from training.spec import Outcome, Point

MIB = 1 << 20


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, small_corpus(tmp_path / "data"))


def test_a_run_that_prints_its_score_completes(rig: Rig) -> None:
    result = rig.run_script("print('step 0 loss 2.5'); print('step 1 loss 2.25'); print('score: 0.75')")
    assert (result.outcome, result.score, result.exit_code) == (Outcome.completed, 0.75, 0)
    assert result.self_reported
    assert values_of(rig.points, "loss") == [2.5, 2.25]
    assert result.facts["steps"] == 2
    assert result.started_at <= result.finished_at
    assert 0 < result.train_seconds < 60


def test_a_crash_names_exit_code_and_last_output(rig: Rig) -> None:
    result = rig.run_script("print('loading'); raise RuntimeError('the flux is off')")
    assert (result.outcome, result.exit_code, result.score) == (Outcome.crashed, 1, None)
    assert "exit code 1" in result.reason
    assert "the flux is off" in result.reason


def test_a_crash_by_signal_names_the_signal(rig: Rig) -> None:
    result = rig.run_script("import os; os.abort()")
    assert (result.outcome, result.exit_code) == (Outcome.crashed, -signal.SIGABRT)
    assert "signal 6" in result.reason


def test_a_command_that_does_not_exist_is_a_crash_that_says_so(rig: Rig) -> None:
    result = rig.run_script("", command=("no-such-command",))
    assert result.outcome is Outcome.crashed
    assert "cannot start 'no-such-command'" in result.reason


def test_a_hang_is_timed_out_at_the_wall_limit(rig: Rig) -> None:
    result = rig.run_script("import time; print('working'); time.sleep(600)", wall_limit=1.0)
    assert result.outcome is Outcome.timed_out
    assert "limit of 1 s" in result.reason
    assert "working" in result.reason


def test_a_script_that_ignores_signals_and_closes_its_output_is_timed_out_too(rig: Rig) -> None:
    script = """
import os, signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
os.close(1); os.close(2)
time.sleep(600)
"""
    assert rig.run_script(script, wall_limit=1.0).outcome is Outcome.timed_out


def test_memory_beyond_the_limit_of_one_process_is_out_of_memory(rig: Rig) -> None:
    result = rig.run_script("block = bytearray(600 << 20)", memory_limit=256 * MIB)
    assert result.outcome is Outcome.out_of_memory
    assert "MemoryError" in result.reason


def test_memory_beyond_the_limit_of_all_processes_together_is_out_of_memory(rig: Rig) -> None:
    script = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        break
block = os.urandom(1 << 20) * 90
time.sleep(600)
"""
    result = rig.run_script(script, memory_limit=256 * MIB, wall_limit=30.0, processes=8)
    assert result.outcome is Outcome.out_of_memory
    assert "0.25 GiB" in result.reason


def test_a_kill_from_outside_is_not_called_a_lack_of_memory_unless_the_kernel_counted_one(rig: Rig) -> None:
    result = rig.run_script("import os, signal; print('on it'); os.kill(os.getpid(), signal.SIGKILL)")
    assert (result.outcome, result.exit_code) == (Outcome.crashed, -signal.SIGKILL)
    assert "Killed from outside (SIGKILL)." in result.reason and "by whom is not known" in result.reason
    assert "Last output: on it" in result.reason


def test_a_kill_that_the_kernel_counted_as_one_for_memory_is_out_of_memory(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter(range(100))
    monkeypatch.setattr(process, "kills_for_memory", lambda: next(counts))
    result = rig.run_script("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert result.outcome is Outcome.out_of_memory
    assert "Killed (SIGKILL) while the kernel ran out of memory" in result.reason


def test_a_printed_loss_that_is_not_a_number_is_not_finite(rig: Rig) -> None:
    result = rig.run_script("print('step 3 loss nan'); print('score: 1.0')")
    assert (result.outcome, result.score) == (Outcome.not_finite, None)
    assert "loss = nan" in result.reason


@pytest.mark.parametrize("score", ["9e307", "-1e308", "1" + "0" * 399])
def test_a_printed_score_too_large_for_any_diverged(rig: Rig, score: str) -> None:
    result = rig.run_script(f"print('step 3 loss 2.0'); print('score: {score}')")
    assert (result.outcome, result.score) == (Outcome.diverged, None)
    assert f"the run printed score = {score[:40]}" in result.reason and len(result.reason) < 120


def test_a_printed_score_that_is_no_number_is_quoted(rig: Rig) -> None:
    result = rig.run_script("print('step 3 loss 2.0'); print('score: 1,05')")
    assert (result.outcome, result.score) == (Outcome.no_score, None)
    assert result.reason == "The run printed score = 1,05, which is no number."


def test_a_run_whose_printed_loss_is_not_a_number_is_ended_at_once(rig: Rig) -> None:
    result = rig.run_script("import time; print('step 3 loss nan', flush=True); time.sleep(600)", wall_limit=60.0)
    assert result.outcome is Outcome.not_finite
    assert result.train_seconds < 60


def test_a_run_whose_loss_explodes_is_ended_early(rig: Rig) -> None:
    script = """
import time
for step in range(100):
    print("step", step, "loss", 2.0 if step < 40 else 9.0, flush=True)
time.sleep(600)
"""
    result = rig.run_script(script, wall_limit=60.0)
    assert (result.outcome, result.score) == (Outcome.diverged, None)
    assert "times the lowest it had been" in result.reason


def test_a_run_without_its_metric_has_no_score(rig: Rig) -> None:
    result = rig.run_script("print('step 0 loss 2.5')")
    assert result.outcome is Outcome.no_score
    assert "'score'" in result.reason


def test_a_run_is_cancelled_when_asked_to_stop(rig: Rig) -> None:
    spec = rig.spec(rig.script("import time; time.sleep(600)"))
    started = time.monotonic()
    reason = "The candidate was withdrawn."
    result = run_training(spec, lambda points: None, lambda: reason if time.monotonic() - started > 0.5 else None)
    assert (result.outcome, result.reason) == (Outcome.cancelled, reason)


def test_an_error_while_points_are_stored_ends_the_run_and_is_named_beside_what_it_produced(rig: Rig) -> None:
    script = """
import os, time
print("working", flush=True)
open(os.environ['SIGNOFF_OUT'] + '/series.jsonl', 'w').write('{"step": 0, "train_loss": 1}\\n')
time.sleep(600)
"""
    mark = uuid.uuid4().hex
    spec = rig.spec(rig.script(script), command=("python", "train.py", mark))

    def refuse(points: object) -> None:
        raise ConnectionError("the database is gone")

    result = run_training(spec, refuse, lambda: None)
    assert result.failure == Failure("storing its points", "ConnectionError: the database is gone", may_pass=True)
    assert "working" in result.log and result.train_seconds > 0 and result.outcome is Outcome.no_score
    assert not marked(mark)


def test_points_are_handed_on_while_the_run_trains_at_most_once_a_second(rig: Rig) -> None:
    script = """
import time
for step in range(24):
    print(f'step {step} loss 1.5', flush=True)
    time.sleep(0.1)
print('score: 1')
"""
    calls: list[tuple[float, int]] = []
    points: list[Point] = []
    spec = rig.spec(rig.script(script), scoring=SCORING)

    def collect(new: object) -> None:
        assert isinstance(new, list)
        calls.append((time.monotonic(), len(new)))
        points.extend(new)

    result = run_training(spec, collect, lambda: None)
    assert result.outcome is Outcome.completed
    assert [point.step for point in points] == list(range(24))
    assert 2 <= len(calls) <= result.train_seconds + 1
    assert all(later - earlier >= 0.99 for (earlier, _), (later, _) in pairwise(calls[:-1]))
