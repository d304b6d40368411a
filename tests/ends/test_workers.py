"""A run whose worker is lost, frozen or asked to stop, and one that a person ends."""

import os
import signal
import time
from datetime import timedelta

import pytest
from django.db import transaction

from research_app.loop.reconcile import reconcile
from research_app.loop.runs import cancel
from research_app.loop.train import train
from research_app.models import Run, State, lease
from research_app.models.lease import MAX_ATTEMPTS, Lease
from tests.ends.table import end
from tests.ends.world import PAUSE, World
from training.spec import Outcome

SLOW = (PAUSE, "import time\nprint('step=0 train_loss=9.0', flush=True)\ntime.sleep(60)\n" + PAUSE)
BRIEF = (PAUSE, "import time\nprint('step=0 train_loss=9.0', flush=True)\ntime.sleep(3)\n" + PAUSE)


@end(
    "Its worker's process is killed",
    "SIGKILL to a real worker on this host",
    "The attempt before: its worker died: there is no process … on … any more. It is tried again.",
    again="up to 3 times, without a pause",
)
def test_a_worker_that_is_killed_once(world: World) -> str:
    run = world.queue(SLOW)
    world.kill(world.worker(run))
    world.lease_runs_out(run)
    reconcile()
    run = world.fresh(run)
    assert run.state == State.QUEUED and run.last_error.startswith("its worker died: there is no process")
    return world.address(run)


@end(
    "Its worker is killed again and again",
    "SIGKILL to three real workers",
    "Training was interrupted 3 times (seed 1); the last time: its worker died: there is no process … on … any more.",
    inbox="C-1: screening Training was interrupted 3 times (seed 1); the last time: its worker died",
    again="by “Try again”",
)
def test_workers_that_are_killed_again_and_again(world: World) -> str:
    run = world.queue(SLOW)
    for _ in range(MAX_ATTEMPTS):
        world.kill(world.worker(run))
        world.lease_runs_out(run)
        reconcile()
    return world.address(world.train(run))


@end(
    "Nothing more is heard of a worker elsewhere",
    "a lease of another host that runs out, three times",
    "the last time: its worker (elsewhere/cpu.0 pid 7) went offline: killed, frozen or cut off, which is not known from here.",
    inbox="its worker (elsewhere/cpu.0 pid 7) went offline: killed, frozen or cut off, which is not known from here.",
    again="by “Try again”",
)
def test_a_worker_elsewhere_that_falls_silent(world: World) -> str:
    run = world.queue(SLOW)
    for _ in range(MAX_ATTEMPTS):
        assert Run.claim_next(run.queue, world.device)
        Run.objects.filter(pk=run.pk).update(leased_by="elsewhere/cpu.0 pid 7")
        world.lease_runs_out(run)
        reconcile()
    return world.address(world.train(run))


@end(
    "Its worker freezes for longer than its lease",
    "SIGSTOP to a real worker, its run taken by another, then SIGCONT",
    "completed … score",
    again="yes, and the frozen worker's outcome is not written",
)
def test_a_worker_that_freezes(world: World) -> str:
    run = world.queue(BRIEF)
    pid = world.worker(run)
    os.kill(pid, signal.SIGSTOP)
    world.lease_runs_out(run)
    reconcile()
    assert "is there, but did not renew its lease" in world.fresh(run).last_error
    run = world.train(run)
    os.kill(pid, signal.SIGCONT)
    world.ended(pid)
    again = world.fresh(run)
    assert (again.outcome, again.score, again.finished_at) == (Outcome.completed, run.score, run.finished_at)
    return world.address(again)


@end(
    "Its lease cannot be renewed",
    "the heartbeat of a real run raises (injected)",
    "The attempt before: its lease could not be renewed: ValueError: a bug (…). It is tried again after a pause.",
    again="up to 3 times, with a pause; the run is stopped at once",
)
def test_a_lease_that_cannot_be_renewed(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(lease, "LEASE", timedelta(seconds=0.8))
    monkeypatch.setattr(Lease, "renew", lambda _: (_ for _ in ()).throw(ValueError("a bug")))
    run = world.train(world.queue(SLOW))
    assert run.state == State.QUEUED and "its lease could not be renewed: ValueError: a bug" in run.last_error
    return world.address(run)


@end(
    "Its worker is asked to stop",
    "a real worker that shuts down while it trains",
    "queued … waits for a device",
    again="yes; no attempt is counted",
)
def test_a_worker_that_is_asked_to_stop(world: World) -> str:
    run = world.queue(SLOW)
    pid = world.worker(run, before=lambda: signal.signal(signal.SIGTERM, lambda *_: train.stopping.set()))
    world.kill(pid, signal.SIGTERM)
    run = world.fresh(run)
    assert (run.state, run.attempts) == (State.QUEUED, 0) and run.earlier_seconds > 0
    return world.address(run)


@end(
    "A person ends it",
    "a real run that trains is cancelled",
    "cancelled … Stopped by grace: enough",
    again="where it is wanted after all",
)
def test_a_run_that_a_person_ends(world: World) -> str:
    run = world.queue(SLOW)
    pid, begun = world.worker(run), time.monotonic()
    with transaction.atomic():
        cancel(Run.objects.filter(pk=run.pk), "Stopped by grace: enough")
    world.ended(pid)
    assert time.monotonic() - begun < 30, "its worker noticed"
    return world.address(world.fresh(run))
