"""A run's own end: what its code did, or what was done to it while it trained."""

import os
import signal
import threading

import psutil

from research_app.models import Run
from tests.ends.table import end
from tests.ends.world import World
from tests.small_project import BETTER


@end("It trains to its end", "a real run", "completed … 0.9", again="–")
def test_a_run_that_ends_well(world: World) -> str:
    return world.address(world.train(world.queue(BETTER)))


@end(
    "Its code raises",
    "a real exception",
    "The training command failed with exit code 1. Last output: … RuntimeError: the flux is off",
)
def test_a_run_that_crashes(world: World) -> str:
    return world.address(world.run("raise RuntimeError('the flux is off')"))


@end("Its code aborts", "`os.abort()`", "The training command failed with signal 6.")
def test_a_run_that_aborts(world: World) -> str:
    return world.address(world.run("os.abort()"))


@end(
    "Its command is not there",
    "a command that no machine has",
    "The training command failed with exit code 127. Last output: cannot start 'no-such-command'",
)
def test_a_command_that_is_not_there(world: World) -> str:
    world.configure(train={"command": ["no-such-command"]})
    return world.address(world.train(world.queue(BETTER)))


@end(
    "Somebody kills it",
    "SIGKILL to the training process, from outside",
    "Killed from outside (SIGKILL). The kernel ended nothing for want of memory meanwhile, so by whom is "
    "not known; … Last output: begun",
)
def test_a_run_that_is_killed_from_outside(world: World) -> str:
    run = world.queue(
        (("for step in STEPS:\n"), "import time\nprint('begun', flush=True)\ntime.sleep(60)\nfor step in STEPS:\n")
    )

    def kill() -> None:
        world.wait(lambda: bool(trainers()))
        for process in trainers():
            os.kill(process.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    run = world.train(run)
    thread.join()
    return world.address(run)


def trainers() -> list[psutil.Process]:
    """Training processes of this test, once they have begun to sleep."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            line = process.cmdline()
            asleep = process.status() == psutil.STATUS_SLEEPING and process.cpu_times().user > 0
            if asleep and len(line) == 2 and line[1] == "train.py":
                found.append(process)
        except (psutil.Error, IndexError):
            continue
    return found


@end(
    "It wants more memory than it may have",
    "a real allocation beyond the limit",
    "Ran out of memory. Last output: … MemoryError",
)
def test_a_run_that_wants_too_much_memory(world: World) -> str:
    world.configure(train={"memory_limit_mb": 200})
    return world.address(world.run("block = bytearray(600 << 20)"))


@end(
    "Its processes together hold more than they may",
    "five real processes of 90 MB",
    "Used more than 0.25 GiB of memory, so it was killed.",
)
def test_processes_that_hold_too_much_together(world: World) -> str:
    world.configure(train={"memory_limit_mb": 256, "processes": 8})
    lines = ("import time", "for _ in range(4):", "    if os.fork() == 0:", "        break", "block = os.urandom(1 << 20) * 90")
    return world.address(world.run(*lines, "time.sleep(60)"))


@end(
    "It has more processes than it may",
    "five real processes where two are allowed",
    "processes at once, and its project file allows 2 ([train] processes), so it was killed.",
)
def test_a_run_of_too_many_processes(world: World) -> str:
    world.configure(train={"processes": 2})
    lines = ("import time", "for _ in range(4):", "    if os.fork() == 0:", "        break", "time.sleep(60)")
    return world.address(world.run(*lines))


@end(
    "It hangs, or is far too slow",
    "a real sleep beyond the wall limit",
    "Still running after its limit of 1 s, so it was killed. It hung, or it is much slower than the "
    "baseline. Last output: begun",
)
def test_a_run_that_hangs(world: World) -> str:
    world.configure(train={"wall_limit_seconds": 1})
    return world.address(world.run("import time", "print('begun', flush=True)", "time.sleep(60)"))


@end("A loss that it prints is not a number", "a printed nan", "Training diverged: the run printed train_loss = nan.")
def test_a_loss_that_is_not_a_number(world: World) -> str:
    return world.address(world.run("print('step=1 train_loss=nan', flush=True)"))


@end(
    "Its loss explodes",
    "60 printed losses that rise tenfold",
    "Stopped early: the train loss rose to … A run does not come back from that.",
)
def test_a_loss_that_explodes(world: World) -> str:
    lines = ("import time", "for s in range(30):", "    print(f'step={s} train_loss=2.0', flush=True)")
    more = ("for s in range(30, 60):", "    print(f'step={s} train_loss=20.0', flush=True)", "time.sleep(60)")
    return world.address(world.run(*lines, *more))


@end("Its score is beyond any that a mean could hold", "a printed 1e200", "Training diverged: it ended with a score of 1e+200.")
def test_a_score_that_ran_away(world: World) -> str:
    return world.address(world.train(world.queue(('print(f"score={score:.8f}")', 'print("score=1e200")'))))


@end(
    "It prints a number that is too large for any",
    "a printed 1e305",
    "Training diverged: the run printed score = 1e305.",
)
def test_a_printed_number_too_large_for_any(world: World) -> str:
    return world.address(world.train(world.queue(('print(f"score={score:.8f}")', 'print("score=1e305")'))))


@end(
    "It prints its metric as something else than a number",
    "a printed 1.2.3",
    "The run printed score = 1.2.3, which is no number.",
)
def test_a_metric_that_is_no_number(world: World) -> str:
    return world.address(world.train(world.queue(('print(f"score={score:.8f}")', 'print("score=1.2.3")'))))


@end(
    "It never prints its metric",
    "the line is left out",
    "The run ended without printing its metric 'score' (format pattern; final values found: none).",
)
def test_a_run_without_its_metric(world: World) -> str:
    return world.address(world.train(world.queue(('print(f"score={score:.8f}")', "pass"))))


@end("It makes files without end", "50,001 real files", "It made more than 50000 files, so it was killed.")
def test_a_run_that_floods_its_folder(world: World) -> str:
    lines = ("import time", "out = os.environ['SIGNOFF_OUT']", "for n in range(50_001):", "    open(f'{out}/{n}', 'w').close()")
    return world.address(world.run(*lines, "time.sleep(60)"))


@end(
    "Its series are no plain file",
    "a real link in their place",
    "The run's output was refused: series.jsonl cannot be opened as a plain file",
)
def test_series_that_are_no_plain_file(world: World) -> str:
    return world.address(world.run("os.symlink('/etc/hostname', os.environ['SIGNOFF_OUT'] + '/series.jsonl')"))


@end(
    "Its series grow without end",
    "65 MB really written",
    "The run's output was refused: series.jsonl … allowed",
)
def test_series_that_grow_without_end(world: World) -> str:
    lines = ("with open(os.environ['SIGNOFF_OUT'] + '/series.jsonl', 'w') as f:", "    f.write(('x' * 999 + '\\n') * 70_000)")
    return world.address(world.run(*lines, "import time", "time.sleep(5)"))


@end(
    "Its launcher is killed with it",
    "SIGKILL to the process that watches over the training, from outside",
    "The run and its launcher were killed from outside, by whom is not known.",
)
def test_a_launcher_that_is_killed(world: World) -> str:
    run = world.queue(
        (("for step in STEPS:\n"), "import time\nprint('begun', flush=True)\ntime.sleep(60)\nfor step in STEPS:\n")
    )

    def kill() -> None:
        world.wait(lambda: bool(trainers()))
        for process in psutil.Process().children():
            process.kill()

    thread = threading.Thread(target=kill)
    thread.start()
    run = world.train(run)
    thread.join()
    return world.address(run)


@end(
    "It logs values that cannot be kept",
    "300 series, NaN, a log of 400 kB",
    "Not kept: … values that are not finite; … values of series beyond the first 256 of a run; … bytes "
    "in the middle of the log (at most 262144 are kept).",
    again="–",
)
def test_values_that_are_left_out(world: World) -> str:
    values = '{"step": s, "bad": float("nan"), **{f"m{i}": 1.0 for i in range(300)}}'
    lines = ("import json", "with open(os.environ['SIGNOFF_OUT'] + '/series.jsonl', 'w') as f:", "    for s in range(20):")
    run = world.run(*lines, f"        print(json.dumps({values}), file=f)", "print('y' * 400_000)")
    assert isinstance(run, Run) and run.score is not None
    return world.address(run)
