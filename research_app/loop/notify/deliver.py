"""Deliver: send one message with all that it gathered, at most once, and write down its outcome.

What certainly did not arrive is tried again with growing pauses, unless the other side said that it never will; what may
have arrived is not. Everything here runs on a queue of its own (`notify`): it waits for the outside, within a deadline.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from research_app.loop.notify.breaker import Place
from research_app.loop.notify.channel import CHANNELS
from research_app.loop.notify.compose import notice_of
from research_app.loop.notify.notice import BadAddress, MaybeDelivered, NotDelivered, Notice
from research_app.loop.notify.pace import MAX_ATTEMPTS, TOO_OLD, allowed_at, retry_pause
from research_app.loop.review.votes import turns_of
from research_app.loop.train.train import stopping
from research_app.models import (
    Candidate,
    Delivery,
    Event,
    Lease,
    Notification,
    NotificationSettings,
    Occasion,
    Pace,
    Sending,
)
from research_app.models.event_kinds import EventKind
from research_app.models.lease import FREE

ENDED = (Sending.SENT, Sending.UNKNOWN, Sending.FAILED)
KINDS = {
    Sending.SENT: EventKind.NOTIFIED,
    Sending.UNKNOWN: EventKind.NOTIFIED_PERHAPS,
    Sending.FAILED: EventKind.NOTIFICATION_FAILED,
}
"""The kinds of events by which the audit log tells of a message's end."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one attempt. `counts` is false where nothing was tried."""

    state: Sending
    reason: str = ""
    due_at: datetime | None = None
    subject: str = ""
    candidates: Sequence[Candidate] = ()
    counts: bool = True


def deliver(delivery_id: int, worker: str) -> None:
    """Send one message, if it is due and nobody else does. A repeated call does nothing."""
    if stopping.is_set():
        return  # the reconciler asks again
    due = Q(state=Sending.WAITING, due_at__lte=timezone.now())
    lease = Delivery.claim(delivery_id, worker, due, state=Sending.SENDING)
    if lease is None:
        return
    row = Delivery.objects.select_related("user__notification_settings").get(pk=delivery_id)
    with lease.heartbeat():
        try:
            outcome = attempt(row)
        except Exception as error:  # ours, not the other side's: it must not be sent for ever
            conclude(row, lease, failed(row, f"{type(error).__name__}: {error}", still_waiting(row)))
            raise
        conclude(row, lease, outcome)


def attempt(row: Delivery) -> Outcome:
    """See that it is still wanted and may leave now; then send it."""
    wishes = row.user.notification_settings
    candidates = still_waiting(row)
    if row.occasion != Occasion.TRIAL:
        if not candidates:
            return Outcome(Sending.PASSED)
        if row.channel not in CHANNELS or CHANNELS[row.channel].pace(wishes) == Pace.OFF:
            return Outcome(Sending.FAILED, "Switched off meanwhile.", candidates=candidates)
        if at := allowed_at(wishes, row.channel):
            why = f"{wishes.hourly_limit} messages left within the hour, as many as you want."
            return Outcome(Sending.WAITING, why, at, counts=False)
    place = Place.of(wishes, row.channel)
    if place is None:
        return Outcome(Sending.FAILED, "There is no address any more.", candidates=candidates)
    closed = None if row.occasion == Occasion.TRIAL else place.closed_until()  # a person who asks for a trial wants it tried
    if closed:
        return postponed(row, closed, candidates)
    total = turns_of(row.user).count() if candidates else 0
    return send(row, place, notice_of(row, candidates, total), candidates)


def still_waiting(row: Delivery) -> list[Candidate]:
    """The candidates of a message on which it is still this person's turn; others are marked as passed. A few queries."""
    rows = list(row.notifications.filter(passed=False).values_list("pk", "candidate_id", "turn"))
    mine = turns_of(row.user).filter(pk__in=[candidate for _, candidate, _ in rows]) if row.user.is_active else None
    candidates = {each.pk: each for each in mine.with_evidence()} if mine is not None else {}
    wait = {pk for pk, candidate, turn in rows if candidate in candidates and candidates[candidate].stage_since == turn}
    Notification.objects.filter(pk__in=[pk for pk, _, _ in rows if pk not in wait]).update(passed=True)
    return sorted((candidates[candidate] for pk, candidate, _ in rows if pk in wait), key=lambda each: each.pk)


def postponed(row: Delivery, closed: tuple[datetime, str], candidates: Sequence[Candidate]) -> Outcome:
    """The place is paused: the message waits, and gathers what else comes; but not for ever."""
    until, why = closed
    if row.occasion == Occasion.AT_ONCE and timezone.now() - row.opened_at > TOO_OLD:
        return Outcome(Sending.FAILED, f"It waited for {TOO_OLD.days * 24} hours. {why}", candidates=candidates)
    return Outcome(Sending.WAITING, why, until, counts=False)


def send(row: Delivery, place: Place, notice: Notice, candidates: Sequence[Candidate]) -> Outcome:
    """Hand it to its channel, and tell the breaker how that went."""
    try:
        CHANNELS[row.channel].send(row.user.notification_settings, notice)
    except MaybeDelivered as error:
        if not stopping.is_set():
            place.failed(str(error), unreachable=True)
        outcome = Outcome(Sending.UNKNOWN, f"{error}. It may have arrived, so it is not sent again.", candidates=candidates)
    except NotDelivered as error:
        if stopping.is_set():  # we hung up, and nobody is to blame
            return Outcome(Sending.WAITING, "Its worker was asked to stop.", timezone.now(), counts=False)
        place.failed(str(error), unreachable=error.unreachable)
        outcome = failed(row, str(error), candidates, final=error.final, wanted=error.wait)
    except BadAddress as error:
        outcome = failed(row, str(error), candidates, final=True)
    else:
        place.succeeded()
        outcome = Outcome(Sending.SENT, candidates=candidates)
    return replace(outcome, subject=notice.subject)


def failed(row: Delivery, error: str, candidates: Sequence[Candidate], *, final: bool = False, wanted: float = 0.0) -> Outcome:
    """Fail where it is final or was tried often enough; otherwise try again, at the earliest after `wanted` seconds."""
    if final or row.attempts >= MAX_ATTEMPTS or row.occasion == Occasion.TRIAL:
        return Outcome(Sending.FAILED, error, candidates=candidates)
    return Outcome(Sending.WAITING, error, timezone.now() + retry_pause(row.attempts, wanted), candidates=candidates)


def conclude(row: Delivery, lease: Lease, outcome: Outcome) -> None:
    """Write its outcome, with an event for each candidate that it is about; nothing where the lease was lost."""
    now = timezone.now()
    fields: dict[str, object] = {"state": outcome.state, "last_error": outcome.reason[:500], **FREE}
    fields |= {"due_at": outcome.due_at} if outcome.due_at else {}
    fields |= {} if outcome.counts else {"attempts": F("attempts") - 1}
    if outcome.state in ENDED:
        fields |= {"subject": outcome.subject[:200], "candidate_count": len(outcome.candidates)}
    if outcome.state in (Sending.SENT, Sending.UNKNOWN):
        fields["left_at"] = now
    with transaction.atomic():
        NotificationSettings.objects.select_for_update().get(user=row.user_id)  # as announce.py, which opens deliveries
        if outcome.state == Sending.WAITING:
            join_later(row)
        if lease.row.update(**fields) and outcome.state in ENDED:
            record(row, outcome)


def join_later(row: Delivery) -> None:
    """What was opened for the same person while this one was being sent joins it, since it waits again. In a transaction."""
    same = Delivery.objects.filter(user=row.user_id, channel=row.channel, occasion=row.occasion, state=Sending.WAITING)
    for later in same.exclude(pk=row.pk):
        later.notifications.update(delivery=row)
        later.delete()


def record(row: Delivery, outcome: Outcome) -> None:
    """An event for each notification: who was told, how, in which message. In a transaction."""
    data = {"person": row.user.get_username(), "channel": row.channel, "message": row.pk, "candidates": len(outcome.candidates)}
    data |= {"why": outcome.reason} if outcome.reason else {}
    Event.objects.record_many(KINDS[outcome.state], outcome.candidates, "signoff", **data)
