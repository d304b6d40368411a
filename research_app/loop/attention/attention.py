"""Attention: a step of a candidate that fails is tried a few times, with pauses; then the candidate says why, and waits."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction

from research_app.models import Candidate, Event, Lease, LeaseLost
from research_app.models.candidate import Cause
from research_app.models.event_kinds import EventKind
from research_app.models.lease import MAX_ATTEMPTS
from training.failure import in_words

logger = logging.getLogger(__name__)

UNKNOWN = "nothing is known of why: the worker stopped without a word"


@contextmanager
def attempt(candidate: Candidate, lease: Lease, step: str) -> Iterator[None]:
    """One attempt at a step ("Judging"). What goes wrong is kept and raised; the last time a person is asked instead."""
    try:
        yield
    except LeaseLost:
        raise
    except Exception as error:
        attempts = lease.row.values_list("attempts", flat=True).first()
        if attempts is None or attempts < MAX_ATTEMPTS:
            lease.fail(error)
            raise
        logger.exception("%s %s failed for good", step, candidate)
        fail_step(candidate, lease, step, in_words(error))


def out_of_attempts(candidate: Candidate, lease: Lease, step: str) -> bool:
    """Whether so many attempts were lost with their workers that a person is asked; call it first thing after a claim."""
    if candidate.attempts <= MAX_ATTEMPTS:
        return False
    fail_step(candidate, lease, step, candidate.last_error or UNKNOWN)
    return True


def fail_step(candidate: Candidate, lease: Lease, step: str, error: str) -> None:
    """A step has failed too often: the candidate waits for a person. Raises LeaseLost."""
    why = f"{step} failed {MAX_ATTEMPTS} times; the last time: {error}. The worker's log says more. "
    ask(candidate, why + "Mend that, then choose “Try again”.", Cause.STEP, lease)


def ask(candidate: Candidate, why: str, cause: Cause, lease: Lease | None = None) -> None:
    """Say on the candidate, and in the log, that it waits for a person; a lease is given back. Raises LeaseLost.

    Without a lease nothing happens where it says something already.
    """
    fields: dict[str, Any] = {"needs_attention": why, "attention_cause": cause}
    with transaction.atomic():
        if lease:
            lease.close(**fields)
        elif not Candidate.objects.filter(pk=candidate.pk, needs_attention="").update(**fields):
            return
        Event.objects.record(EventKind.NEEDS_ATTENTION, candidate, "signoff", candidate.project, why=why)
