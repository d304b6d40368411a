"""Record: the outcome of a run is written in one transaction; where that fails, as much of it as can be."""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Model

from research_app.loop.check.examine import EXAMINING, failed_among, findings_of
from research_app.loop.train.points import device_of, renew_connection
from research_app.models import Event, Lease, LeaseLost, Message, Run, RunLog, SeriesChunk, State
from research_app.models.documents.finding import KeptFinding
from research_app.models.documents.run_summary import facts_stored
from research_app.models.event_kinds import EventKind
from research_app.models.lease import DATABASE_AWAY, Lost
from research_app.models.run import curves_sealed
from research_app.models.seal import Sealed
from research_app.project_file.ladder import SMALLEST
from training.failure import during
from training.process import clean_text
from training.spec import Outcome, RunResult

logger = logging.getLogger(__name__)

LONGEST_AWAY = 600.0  # seconds that a database may be away before a result is lost
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0  # seconds between two tries


def record(run: Run, lease: Lease, result: RunResult, lost: Lost) -> None:
    """Write the outcome, its event and the wake-up of `judge`. Raises LeaseLost, StepFailed."""
    with during("writing its record", LeaseLost):
        findings = patiently(lambda: findings_of(run, result), lost)
        patiently(lambda: _write(run, lease, result, findings), lost)


T = TypeVar("T")


def patiently(write: Callable[[], T], lost: Lost) -> T:
    """Read or write, again and again while the database is away and the lease is ours. Raises what it does."""
    until, pause = time.monotonic() + LONGEST_AWAY, FIRST_PAUSE
    while True:
        try:
            return write()
        except DATABASE_AWAY as error:
            if time.monotonic() > until or lost.wait(pause):
                raise
            logger.warning("The database is away (%s): the result waits", error)
            pause = min(2 * pause, LONGEST_PAUSE)
            renew_connection()


def _write(run: Run, lease: Lease, result: RunResult, findings: tuple[KeptFinding, ...]) -> None:
    completed = result.outcome == Outcome.completed
    with transaction.atomic():
        lease.close(
            state=State.FINISHED,
            outcome=result.outcome,
            reason=result.reason,
            facts=_facts(result, findings),
            failed_step=EXAMINING if failed_among(findings) else "",
            progress=1.0 if completed else run.progress,
            last_error="",
            **_measured(result),
        )
        _keep_log(run, result)
        SeriesChunk.compact(run.pk)
        event_data = {"outcome": result.outcome, "score": result.score, "seed": run.seed, "group": run.name}
        kept: list[Model | Sealed] = [Run.objects.get(pk=run.pk), RunLog.objects.get(pk=run.pk), curves_sealed(run.pk)]
        Event.objects.seal(kept, EventKind.RUN_FINISHED, run, device_of(run), run.project, **event_data)
        wake_what_waits(run)


def wake_what_waits(run: Run) -> None:
    """A run has ended: whoever it was for looks at it. In a transaction."""
    if run.cell:
        Message.objects.enqueue("check_stack", run.cell.check_of_id)
    elif run.patch_set_id:
        Message.objects.enqueue("judge" if run.scale == SMALLEST else "scale_up", run.patch_set_id)
    else:
        Message.objects.enqueue("judge_baseline", run.baseline_id)


def keep(run: Run, lease: Lease, result: RunResult) -> None:
    """Write what a run produced whose handling failed, each part by itself: one that cannot be written costs no other.

    The row stays this worker's: what follows for it is written next. Raises LeaseLost, DATABASE_AWAY.
    """
    parts: dict[str, Callable[[], None]] = {
        "times": lambda: lease.write(**_times(result)),
        "score": lambda: lease.write(**_measured(result)),
        "facts": lambda: lease.write(facts=_facts(result, None)),
        "log": lambda: _keep_log(run, result),
    }
    for name, write in parts.items():
        try:
            with transaction.atomic():
                write()
        except (LeaseLost, *DATABASE_AWAY):
            raise
        except Exception:
            logger.exception("The %s of %s cannot be kept", name, run)


def _times(result: RunResult) -> dict[str, Any]:
    """When it trained, for how long, and how its process ended."""
    return {
        "exit_code": result.exit_code,
        "sandbox_level": result.sandbox_level,
        "started_at": datetime.fromtimestamp(result.started_at, UTC),
        "finished_at": datetime.fromtimestamp(result.finished_at, UTC),
        "train_seconds": result.train_seconds,
    }


def _measured(result: RunResult) -> dict[str, Any]:
    return {
        **_times(result),
        "score": result.score,
        "score_by_source": dict(result.score_by_source),
        "hidden_score": result.hidden_score,
        "self_reported": result.self_reported,
    }


def _facts(result: RunResult, findings: Sequence[KeptFinding] | None) -> dict[str, object]:
    """Facts as they can be stored, what was left out of the rest, and what the detectors found (None: they did not look)."""
    facts = {name: value for name, value in result.facts.items() if _storable(value)}
    return facts_stored(facts, result.left_out, findings)


def _storable(value: Mapping[str, Any] | float | str) -> bool:
    try:
        json.dumps(value, allow_nan=False).encode()
    except (ValueError, TypeError):
        return False
    return True


def _keep_log(run: Run, result: RunResult) -> None:
    text = clean_text(result.log.encode(errors="replace"))
    RunLog.objects.update_or_create(run_id=run.pk, defaults={"text": text})
