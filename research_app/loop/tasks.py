"""Thin Celery tasks: each wakes one step for one id. A step that fails leaves its row for the reconciler."""

import functools
import logging
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

from celery import shared_task, signals
from django.core.exceptions import ObjectDoesNotExist
from django.db import Error, connection, models

from research_app import environment
from research_app.loop.check import check as check_step
from research_app.loop.judge import judge as judge_step
from research_app.loop.land import land as land_step
from research_app.loop.land import push as push_step
from research_app.loop.notify.announce import announce as announce_turn
from research_app.loop.notify.deadline import hang_up_all
from research_app.loop.notify.deliver import deliver as deliver_message
from research_app.loop.project import bring as bring_step
from research_app.loop.propose import propose as propose_step
from research_app.loop.propose.conversation import converse as converse_step
from research_app.loop.scale_up import scale_up as scale_up_step
from research_app.loop.stacks import ablate
from research_app.loop.train import train as train_step
from research_app.machine.fleet import known_of, own_device, runs_per_gpu
from research_app.models import (
    Ablation,
    BaselineVersion,
    Candidate,
    Conversation,
    Delivery,
    Device,
    LeaseLost,
    PatchSet,
    Project,
    Round,
    Run,
    Trial,
)
from research_app.models.device import TOGETHER
from research_app.models.pool import DevicePool
from training.sandbox.probe import found

MOST_PUSHES = 3  # at once in one worker
logger = logging.getLogger(__name__)
REPORT_EVERY = 10.0  # seconds
pushing = threading.BoundedSemaphore(MOST_PUSHES)


def wakes(model: type[models.Model]) -> Callable[[Callable[[int], None]], Any]:
    """A Celery task with the function's name, for the id of a row. A message that comes late is no failure: where the row was
    taken over, has moved on or is gone, the log says so in a line.
    """

    def enter(wake: Callable[[int], None]) -> Any:
        @functools.wraps(wake)
        def run(pk: int) -> None:
            try:
                wake(pk)
            except LeaseLost as lost:
                logger.info("%s %s was left: %s", wake.__name__, pk, lost)
            except ObjectDoesNotExist:
                if model._default_manager.filter(pk=pk).exists():
                    raise
                logger.info("%s %s was left: the %s is gone", wake.__name__, pk, model._meta.verbose_name)

        return shared_task(name=f"research_app.{wake.__name__}")(run)

    return enter


def worker() -> str:
    """Who holds a lease, for people who read it: host and process."""
    return f"{socket.gethostname()}/{os.getpid()}"


@wakes(Round)
def propose(round_id: int) -> None:
    propose_step.propose(round_id, worker())


@wakes(Conversation)
def converse(conversation_id: int) -> None:
    converse_step.converse(conversation_id, worker())


@wakes(Candidate)
def check(candidate_id: int) -> None:
    check_step.check(candidate_id, worker())


@wakes(Run)
def train(run_id: int) -> None:
    """The message says that work waits; the worker takes what is most valuable now, which may be another run."""
    queue = Run.objects.values_list("queue", flat=True).get(pk=run_id)
    pool = this_pool(queue)
    if train_step.train_from(pool):
        train_step.wake_waiting(pool)


@wakes(PatchSet)
def judge(patch_set_id: int) -> None:
    judge_step.judge(patch_set_id, worker())


@wakes(PatchSet)
def scale_up(patch_set_id: int) -> None:
    scale_up_step.scale_up(patch_set_id, worker())


@wakes(BaselineVersion)
def judge_baseline(baseline_id: int) -> None:
    judge_step.judge_baseline(baseline_id)


@wakes(Candidate)
def announce(candidate_id: int) -> None:
    announce_turn(candidate_id)


@wakes(Delivery)
def deliver(delivery_id: int) -> None:
    deliver_message(delivery_id, worker())


@wakes(Project)
def land(project_id: int) -> None:
    land_step.land(project_id, worker())


@wakes(Project)
def push(project_id: int) -> None:
    """Pushes share a worker with messages to people, and take few of its threads: remotes that hang never hold those up."""
    if pushing.acquire(blocking=False):  # otherwise the reconciler asks again
        try:
            push_step.push(project_id, worker())
        finally:
            pushing.release()


@wakes(Ablation)
def check_stack(check_id: int) -> None:
    ablate.check_stack(check_id, worker())


@wakes(Trial)
def bring(trial_id: int) -> None:
    bring_step.bring(trial_id, worker())


def this_pool(queue: str = "") -> DevicePool:
    """The devices that this worker may take, seen now: `SIGNOFF_DEVICE`, for example cpu:0, cuda:0,1,2,3 or cuda:MIG-…

    Of several it takes what each run needs. `SIGNOFF_QUEUE` is what it serves where that is not train.<kind>, and for several
    devices also that of runs that need several; a `queue` that a message came from is served in any case.
    """
    kind, masks = own_device()
    known, sandbox = known_of(kind, masks), found()
    together = sum(1 for gpu in known if not gpu.is_slice) or 1
    own = environment.read().SIGNOFF_QUEUE
    rows = Device.report_all(
        socket.gethostname(),
        kind,
        known,
        count=together,
        queue=own,
        sandbox_level=sandbox.level,
        sandbox_advice=" ".join([*sandbox.reasons, sandbox.fix]).strip(),
    )
    queues = (own,) if own else (f"train.{kind}", *((TOGETHER,) if together > 1 else ()))
    return DevicePool(tuple(rows), tuple(dict.fromkeys((*queues, *filter(None, (queue,))))), runs_per_gpu())


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _report_device(**_: Any) -> None:
    """A training worker shows that it lives, also while it waits for work."""
    if not environment.read().SIGNOFF_DEVICE:
        return

    def report() -> None:
        while not train_step.stopping.wait(REPORT_EVERY):
            try:
                this_pool()
            except Error:  # the database is away for a moment; the next report tells
                logger.warning("This worker could not report its device", exc_info=True)
            finally:
                connection.close()

    this_pool()
    threading.Thread(target=report, name="device-report", daemon=True).start()


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _stop(**_: Any) -> None:
    """A worker that is asked to stop gives its work back to the queue instead of finishing it, and waits for nobody outside."""
    train_step.stopping.set()
    hang_up_all()
    push_step.kill_pushes()
