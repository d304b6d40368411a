"""Train: a device takes the most valuable queued run, trains it in a scratch folder of its own, and records its outcome.

What goes wrong on our side, before, during or after the training, has a name: the step that failed. What may pass by itself
(a full disk, a database that is away) is tried again with pauses; everything else would fail again in the same way, so it is
not, and a person reads what stands in the way. Whatever the run produced is kept in both cases. See docs/reference/ends.md.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from research_app.loop.runs import fail, requeue
from research_app.loop.train import attempts
from research_app.loop.train.launched import command_in
from research_app.loop.train.measure import readable
from research_app.loop.train.next_look import let_it_be_judged
from research_app.loop.train.points import PointWriter, device_of
from research_app.loop.train.record import keep, patiently, record
from research_app.machine.fleet import runs_per_gpu
from research_app.models import Device, Lease, LeaseLost, Message, Project, Purpose, Round, Run
from research_app.models.device import leased
from research_app.models.lease import DATABASE_AWAY, MAX_ATTEMPTS, Lost, pause_after
from research_app.models.pool import DevicePool, memory_of
from research_app.models.run import sandbox_for
from research_app.repository import TroubleError
from training.compile_cache import CompileCache, NotKept
from training.device_lock import DeviceLocks
from training.failure import Failure, StepFailed, during, may_pass_by_itself
from training.runner import run_training
from training.sandbox import Level, NoSandbox
from training.spec import GIB, KIB, Outcome, RunResult, RunSpec
from training.uv_environment import environment_of

logger = logging.getLogger(__name__)

stopping = threading.Event()
"""Set when this worker was asked to stop: the current run is given back to the queue."""

MAY_PASS = (*DATABASE_AWAY, TroubleError, NoSandbox)
"""What stands in the way of a run for now, or on this machine alone."""


def train_next(queue: str, device: Device) -> bool:
    """Train one run of this queue on this device alone; False when none was waiting."""
    return train_from(DevicePool.of(queue, device))


def train_from(pool: DevicePool) -> bool:
    """Train the run that is to begin next on these devices, with as many as it needs; False when none can begin."""
    lease = pool.claim()
    if lease is None:
        return False
    run = Run.objects.select_related("project", "patch_set__candidate__project", "baseline", "cell", "device").get(pk=lease.pk)
    try:
        if run.attempts > MAX_ATTEMPTS:
            fail_interrupted(run, lease)
        else:
            attempt(run, lease)
    except LeaseLost as lost:
        logger.info("%s is no longer this worker's: %s", run, lost)
    except DATABASE_AWAY:
        logger.exception("The outcome of %s could not be written; the reconciler finds it once its lease has run out", run)
    finally:
        tidy_up(lease)
    let_it_be_judged(run.pk, stopping)
    return True


def attempt(run: Run, lease: Lease) -> None:
    """Train a run and write the outcome, or what stands in the way. Raises LeaseLost, DATABASE_AWAY."""
    result = None
    with lease.heartbeat() as lost:
        try:
            wake_proposers(run.project)
            result = execute(run, lease, lost)
            if result.failure is None:
                record(run, lease, result, lost)
                return
            failure = result.failure
        except LeaseLost:
            give_back(run, lease, lost.why)
            raise
        except StepFailed as failed:
            logger.exception("%s could not be executed on %s", run, run.device)
            failure = failure_of(failed)
        except Exception as error:
            logger.exception("%s could not be handled on %s", run, run.device)
            failure = Failure.of("handling it", error, isinstance(error, MAY_PASS) or may_pass_by_itself(error))
    if lost.is_set():
        give_back(run, lease, lost.why)
        raise LeaseLost(lost.why or "it was cancelled or given to another worker")
    settle(run, lease, failure, result)


def failure_of(failed: StepFailed) -> Failure:
    """The failure, with what this room knows of the errors that pass by themselves."""
    if isinstance(failed.__cause__, MAY_PASS):
        return replace(failed.failure, may_pass=True)
    return failed.failure


def settle(run: Run, lease: Lease, failure: Failure, result: RunResult | None) -> None:
    """A step of ours failed: another attempt where that may help and there is one left, a person's turn otherwise."""
    if result is not None:
        keep(run, lease, result)
    if failure.may_pass and run.attempts < MAX_ATTEMPTS:
        run.train_seconds = result.train_seconds if result else None
        with transaction.atomic():
            lease.fail(str(failure))
            requeue(run, pause=pause_after(run.attempts))
        return
    fail(run, lease, why_failed(run, failure, result), failure.step, trained=result is not None)


def why_failed(run: Run, failure: Failure, result: RunResult | None) -> str:
    """The sentence for the run's page and the inbox."""
    sentences = [f"Signoff failed while {failure.step} ({run.name}): {failure.error.rstrip('.')}."]
    if result is not None:
        how = "was killed" if result.exit_code is None else f"ended with exit code {result.exit_code}"
        score = ", and its score" if result.score is not None else ""
        sentences.append(
            f"The training itself {how} after {readable(result.train_seconds)}; log, curves and times are kept{score}."
        )
    sentences.append(
        f"It was tried {run.attempts} times." if failure.may_pass else "It would fail again, so it is not tried again."
    )
    return " ".join([*sentences, f"Mend that, then choose “Try again”; the log of the worker on {device_of(run)} says more."])


def give_back(run: Run, lease: Lease, why: str) -> None:
    """The lease could not be renewed: what was trained is not ours to write any more, and another attempt begins."""
    if not why:
        return  # somebody else has it
    with transaction.atomic():
        lease.fail(why)
        requeue(run, pause=pause_after(run.attempts))


def tidy_up(lease: Lease) -> None:
    """Remove what attempts left. What is in the way of that must not hide the outcome of the run."""
    try:
        attempts.leave(lease)
        attempts.sweep()
    except (*DATABASE_AWAY, OSError):
        logger.exception("The folder of run %s is left as it is", lease.pk)


def execute(run: Run, lease: Lease, lost: Lost) -> RunResult:
    """Export the tree, train it, and stream its points into the database. Raises LeaseLost, StepFailed.

    Where an earlier attempt on this machine saved its state, training goes on from there.
    """
    project, folder = run.project, attempts.folder_of(lease)
    tree, scratch = folder / "tree", folder / "scratch"
    with during("making its folder"):
        scratch.mkdir(parents=True)
    with during("reading the project's file"):
        spec = spec_of(run, run.leased_devices, tree, scratch)
    with during("finding its text"):
        find_text(project, run.purpose == Purpose.CONFIRM)
    with during("exporting its code"):
        project.repository.export(run.commit, tree)
        spec = replace(spec, command=command_in(tree, tuple(spec.command), project.file))
    if project.file.train.python == "uv":
        with during("making the environment of its uv.lock"):
            spec = replace(spec, launch=project.file.launch(environment_for(project, tree)))
    with during("taking over what an earlier attempt saved"):
        writer = PointWriter(run, lease, resumed=attempts.resume(lease, scratch, RunSpec.scratch_limit))

    with during("copying what compilers kept"):
        cache = compile_cache_of(project)
        warm = cache.lay_out(scratch)

    def should_stop() -> str | None:
        if lost.is_set() or writer.lost:
            return lost.why or "The run was cancelled or given to another worker."
        return "The worker is stopping." if stopping.is_set() else None

    with ExitStack() as stack:
        with during("waiting for its devices"):
            stack.enter_context(locks_of(spec, lambda: should_stop() is not None))
        with during("starting it"):
            result = run_training(spec, writer, should_stop)
    if result.outcome == Outcome.cancelled and stopping.is_set() and not lost.is_set():
        give_back_unfinished(run, lease, result)
    if lost.is_set() or writer.lost:
        raise LeaseLost(lost.why or "it was cancelled or given to another worker")
    if cache.names:
        result = replace(
            result, facts={**result.facts, **keep_compiled(cache, run, result, scratch), "compile_cache_warm": warm}
        )
    try:
        with during("storing its points"):
            patiently(writer.flush, lost)
    except StepFailed as failed:
        return replace(result, failure=result.failure or failure_of(failed))
    return result


def compile_cache_of(project: Project) -> CompileCache:
    """The compile caches of a project on this machine."""
    return CompileCache(Path(settings.HOME) / "caches" / str(project.pk), project.file.train.cache)


def keep_compiled(cache: CompileCache, run: Run, result: RunResult, scratch: Path) -> dict[str, Any]:
    """Keep what a run of the baseline's own code compiled, where it ended well; of a candidate's nothing is ever kept."""
    if run.patch_set_id is not None or run.cell_id is not None or result.outcome != Outcome.completed:
        return {}
    try:
        return {"compile_cache_bytes": cache.take_back(scratch)}
    except (NotKept, OSError) as why:
        logger.warning("What compilers left of %s is not kept: %s", run, why)
        return {"compile_cache_not_kept": str(why)[:200]}


def locks_of(spec: RunSpec, stop: Callable[[], bool]) -> DeviceLocks:
    """What keeps other runs of this machine from the devices of this one until nothing of it is left."""
    return DeviceLocks(Path(settings.HOME) / "devices", spec.device, together=spec.shares_device, stop=stop)


def give_back_unfinished(run: Run, lease: Lease, result: RunResult) -> None:
    """The worker was asked to stop: the run goes on elsewhere and has lost no attempt. Raises LeaseLost."""
    run.train_seconds = result.train_seconds
    lease.close()
    with transaction.atomic():
        requeue(run, fresh=True)
    raise LeaseLost("given back because the worker is stopping")


def find_text(project: Project, hidden: bool) -> None:
    """See that the text that a run trains and is scored on is there. Raises FileNotFoundError."""
    if project.corpus is None:
        return
    held_out = ["gate.bin", "hidden.bin"] if hidden else ["gate.bin"]
    wanted = [project.corpus, *(project.corpus / "held_out" / name for name in held_out)]
    if not project.self_reported:
        wanted.append(project.corpus / "visible")
    if missing := [str(path) for path in wanted if not path.exists()]:
        raise FileNotFoundError(f"the project's text is not on this machine: {', '.join(missing)}")


def spec_of(run: Run, devices: Sequence[Device], tree: Path, scratch: Path) -> RunSpec:
    """All that the runner needs, from the project file and the row."""
    project, file = run.project, run.project.file
    rung = file.rung(run.scale)
    corpus = project.corpus or scratch
    hidden = corpus / "held_out" / "hidden.bin" if run.purpose == Purpose.CONFIRM else None
    return RunSpec(
        run=run.pk,
        tree=tree,
        scratch=scratch,
        command=rung.command,
        seed=run.seed,
        device=leased(devices),
        budget=file.run_budget(run.budget_share, run.scale),
        wall_limit=rung.wall_limit_seconds,
        data=corpus / "visible" if project.corpus else scratch,
        scoring=file.scoring(corpus / "held_out" / "gate.bin", hidden),
        memory_limit=rung.memory_limit_mb * GIB // 1024,
        device_memory_limit=round((file.limits.device_memory_gb or 0) * GIB),
        shares_device=runs_per_gpu() > 1 and memory_of(run) > 0,
        log_limit=file.train.log_limit_kb * KIB,
        processes=file.processes(rung),
        served=file.data.served and file.metric.scored,
        drawn=scratch.parent / attempts.DRAWN,
        minimum_level=Level(sandbox_for(run)),
        level=Level.none if run.devices > 1 and devices[0].sandbox_level != Level.strong else None,
        scale=rung.name,
        settings=rung.environment,
        checkpoint_seconds=rung.checkpoint_seconds,
        launch=file.launch(),
        first_step_limit=file.limits.first_step_seconds,
        scratch_limit=round(file.limits.files_gb * GIB),
        explain=run.patch_set_id is None,
    )


def environment_for(project: Project, tree: Path) -> Path:
    """The environment of a tree's uv.lock on this machine. Raises CannotLaunch, OSError."""
    train = project.file.train
    return environment_of(tree, train.directory, Path(settings.HOME) / "environments", train.extras)


def fail_interrupted(run: Run, lease: Lease) -> None:
    """Too many attempts were lost: a person must look at the machine."""
    reason = run.last_error or "nothing is known of why"
    why = f"Training was interrupted {MAX_ATTEMPTS} times (seed {run.seed}); the last time: {reason.rstrip('.')}. "
    fail(run, lease, why + "Look at the worker's log and at `manage.py doctor`, then choose “Try again”.", "training it")


def wake_waiting(pool: DevicePool) -> None:
    """A run has ended, so devices of a pool are free: ask for the runs that wait, of which more than one may begin now."""
    if pool.is_single:
        return
    try:
        free = len(pool.devices) - len({pk for _, pks in pool.held() for pk in pks})
        for pk, queue in Run.objects.queued_for(*pool.queues).values_list("pk", "queue")[:free]:
            Message.objects.wake("train", pk, queue)
    except DATABASE_AWAY:  # the reconciler wakes them too
        logger.warning("The runs that wait for a device could not be woken", exc_info=True)


def wake_proposers(project: Project) -> None:
    """A run has begun, so the queue got shorter: ask for the next proposal while this one trains."""
    try:
        for round_ in Round.objects.open().filter(project=project):
            Message.objects.enqueue("propose", round_.pk, "agent")
    except DATABASE_AWAY:  # the reconciler wakes them too
        logger.warning("The proposers of %s could not be woken", project, exc_info=True)
