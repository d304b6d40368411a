"""Announce: write down who is to be told that it is their turn on a candidate, once, and in which message."""

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from research_app.loop.notify.channel import CHANNELS
from research_app.loop.notify.pace import leaves_at
from research_app.loop.review.votes import gate_of, tally
from research_app.models import Candidate, Delivery, Notification, NotificationSettings, Occasion, Pace, Sending
from research_app.models.candidate import AWAITING_HUMAN


def whose_turn(candidate: Candidate) -> list[User]:
    """The people a candidate waits for: who may still approve it at its gate, or the person who should change it."""
    if gate := gate_of(candidate):
        return list(tally(candidate, gate).missing)
    author = candidate.author_to_answer
    return [author] if author else []


def announce(candidate_id: int) -> None:
    """Write down who is to be told of this turn, once. A repeated call does nothing."""
    rows = Candidate.objects.select_related("project", "patch_set__submitted_by", "evidence", "submitted_by")
    candidate = rows.get(pk=candidate_id)
    if candidate.stage not in AWAITING_HUMAN or candidate.announced_for == candidate.stage_since:
        return
    people = whose_turn(candidate)
    with transaction.atomic():
        here = Candidate.objects.filter(pk=candidate.pk, stage=candidate.stage, stage_since=candidate.stage_since)
        if not here.update(announced_for=candidate.stage_since):
            return
        # Locked, because a delivery of theirs that failed may be joined with another one at this moment.
        recipients = NotificationSettings.objects.select_for_update(of=("self",)).filter(user__in=people).order_by("pk")
        for wishes in recipients.select_related("user").prefetch_related("channels"):
            for channel in CHANNELS:
                write_down(candidate, wishes, channel)


def write_down(candidate: Candidate, wishes: NotificationSettings, channel: str) -> None:
    """One person and channel: the row, once per turn, in the message that waits to leave. In a transaction."""
    pace = CHANNELS[channel].pace(wishes)
    if pace == Pace.OFF:
        return
    same = {"user": wishes.user, "channel": channel, "candidate": candidate, "turn": candidate.stage_since}
    if not Notification.objects.filter(**same).exists():
        delivery = waiting_delivery(wishes, channel, Occasion.DIGEST if pace == Pace.DIGEST else Occasion.AT_ONCE)
        Notification.objects.create(**same, stage=candidate.stage, delivery=delivery)


def waiting_delivery(wishes: NotificationSettings, channel: str, occasion: Occasion) -> Delivery:
    """The message to this person that still waits, kept from leaving until this transaction ends; or a new one."""
    mine = Delivery.objects.filter(user=wishes.user, channel=channel, occasion=occasion, state=Sending.WAITING)
    # A write, not a look: a worker that takes it at this moment either waits for us or is seen here.
    if (delivery := mine.first()) and mine.filter(pk=delivery.pk).update(subject=""):
        return delivery
    due = {
        Occasion.AT_ONCE: lambda: leaves_at(wishes, channel),
        Occasion.DIGEST: wishes.next_digest,
        Occasion.TRIAL: timezone.now,
    }[occasion]
    return Delivery.objects.create(user=wishes.user, channel=channel, occasion=occasion, due_at=due())
