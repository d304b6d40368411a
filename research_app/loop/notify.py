"""Notify: tell people that it is their turn, each as they wish, at most once per turn and channel.

The rows are the outbox. `announce` writes down who is to be told; `deliver` sends one row, or a person's whole digest.
What certainly did not arrive is tried again; what may have arrived is not.
"""

from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from research_app.evidence.digits import CONVENTION
from research_app.loop.outgoing import BadAddress, Item, MaybeDelivered, NotDelivered, send_email, send_webhook
from research_app.loop.votes import gate_of, tally
from research_app.models import (
    Candidate,
    Channel,
    Lease,
    Message,
    Notification,
    NotificationSettings,
    Pace,
    Sending,
    Stage,
    Verdict,
)
from research_app.models.candidate import A_PERSONS_TURN, TO_ANSWER
from research_app.models.notification import MAX_SENDING

FIRST_PAUSE = timedelta(seconds=30)
MAX_IN_DIGEST = 50


def whose_turn(candidate: Candidate) -> list[User]:
    """The people a candidate waits for: who may still approve it at its gate, or the person who should change it."""
    if gate := gate_of(candidate):
        return list(tally(candidate, gate).missing)
    if candidate.stage not in TO_ANSWER:
        return []
    latest = candidate.patch_set.submitted_by if candidate.patch_set else None
    author = latest or candidate.submitted_by
    return [author] if author and author.is_active else []


def announce(candidate_id: int) -> None:
    """Write down who is to be told of this turn, once. A repeated call does nothing."""
    rows = Candidate.objects.select_related("project", "patch_set__submitted_by", "evidence", "submitted_by")
    candidate = rows.get(pk=candidate_id)
    if candidate.stage not in A_PERSONS_TURN or candidate.announced_for == candidate.stage_since:
        return
    people = whose_turn(candidate)
    with transaction.atomic():
        here = Candidate.objects.filter(pk=candidate.pk, stage=candidate.stage, stage_since=candidate.stage_since)
        if not here.update(announced_for=candidate.stage_since):
            return
        for wishes in NotificationSettings.objects.filter(user__in=people).select_related("user"):
            for channel in Channel.values:
                write_down(candidate, wishes, channel)


def write_down(candidate: Candidate, wishes: NotificationSettings, channel: str) -> None:
    """One person and channel: the row, once per turn, and where it is to leave at once its message. In a transaction."""
    pace = wishes.pace(channel)
    if pace == Pace.OFF:
        return
    digest = pace == Pace.DIGEST
    row, new = Notification.objects.get_or_create(
        user=wishes.user,
        channel=channel,
        candidate=candidate,
        turn=candidate.stage_since,
        defaults={
            "stage": candidate.stage,
            "digest": digest,
            "due_at": wishes.next_digest() if digest else timezone.now(),
        },
    )
    if new and not digest:
        Message.objects.enqueue("deliver", row.pk)


def deliver(notification_id: int, worker: str) -> None:
    """Send one notification, together with its person's digest where it belongs to one. A repeated call does nothing."""
    first = Notification.objects.due().filter(pk=notification_id).first()
    if first is None:
        return
    same = Notification.objects.due().filter(user=first.user_id, channel=first.channel, digest=True).order_by("pk")
    together = [*same.exclude(pk=first.pk)[: MAX_IN_DIGEST - 1]] if first.digest else []
    leases = [lease for row in (first, *together) if (lease := claim(row, worker))]
    claimed = {lease.pk: lease for lease in leases}
    rows = Notification.objects.filter(pk__in=claimed).select_related(
        "user__notification_settings", "candidate__project", "candidate__evidence", "candidate__patch_set"
    )
    still = []
    for row in rows.order_by("pk"):
        if not row.user.is_active or row.candidate.stage_since != row.turn or row.user not in whose_turn(row.candidate):
            end(claimed[row.pk], Sending.PASSED)
        else:
            still.append(row)
    if still:
        send(still, [claimed[row.pk] for row in still])


def claim(row: Notification, worker: str) -> Lease | None:
    """This row, to send it; None where somebody else has it."""
    return Notification.claim(row.pk, worker, Q(state=Sending.WAITING), state=Sending.SENDING)


def send(rows: Sequence[Notification], leases: Sequence[Lease]) -> None:
    """One message for these rows of one person and channel, and what became of it on every row."""
    wishes, channel = rows[0].user.notification_settings, rows[0].channel
    items = [item_of(row.candidate) for row in rows]
    subject = items[0].title if len(items) == 1 else f"Signoff: {len(items)} decisions wait for you"
    with leases[0].heartbeat():
        try:
            if wishes.pace(channel) == Pace.OFF:
                raise NotDelivered("Switched off meanwhile.", final=True)
            if channel == Channel.EMAIL:
                foot = f"Change what you are told: {settings.SITE_URL}/settings/notifications/"
                send_email(wishes.user.email, subject, items, foot)
            else:
                send_webhook(wishes.webhook_url, subject, items)
        except MaybeDelivered as doubt:
            outcome, said = Sending.UNKNOWN, f"{doubt} It may have arrived, so it is not sent again."
        except (NotDelivered, BadAddress) as error:
            final = isinstance(error, BadAddress) or error.final or rows[0].attempts >= MAX_SENDING
            outcome, said = (Sending.GIVEN_UP if final else Sending.WAITING), str(error)
        else:
            outcome, said = Sending.SENT, ""
    pause = FIRST_PAUSE * 2 ** (rows[0].attempts - 1)
    for lease in leases:
        end(lease, outcome, said, due_at=timezone.now() + pause)


def end(lease: Lease, outcome: Sending, said: str = "", **fields: object) -> None:
    """Write what became of it and give the row back. A worker that lost its lease writes nothing."""
    if outcome == Sending.SENT:
        fields["sent_at"] = timezone.now()
    lease.row.update(state=outcome, last_error=said[:500], lease_until=None, leased_by="", **fields)


def wake_notifications() -> None:
    """For the reconciler: turns nobody announced, rows that are due, and rows whose worker died while it sent them."""
    late = timezone.now() - timedelta(seconds=5)
    turns = Candidate.objects.filter(stage__in=A_PERSONS_TURN, stage_since__lt=late).exclude(announced_for=F("stage_since"))
    for pk in turns.values_list("pk", flat=True)[:200]:
        Message.objects.wake("announce", pk)
    lost = "Its worker died while it was being sent. It may have arrived, so it is not sent again."
    Notification.objects.abandoned().update(
        state=Sending.UNKNOWN, last_error=lost, lease_until=None, leased_by="", fence_token=F("fence_token") + 1
    )
    digests: set[tuple[int, str]] = set()
    for row in Notification.objects.due().filter(due_at__lt=late).order_by("due_at")[:200]:
        if row.digest and (row.user_id, row.channel) in digests:
            continue
        digests.add((row.user_id, row.channel))
        Message.objects.wake("deliver", row.pk)


def item_of(candidate: Candidate) -> Item:
    """What a person is told: where it waits, the hypothesis, the evidence in a line, the address. No secret is in it."""
    where = "conflicts with the baseline" if candidate.stage == Stage.CONFLICT else "should be changed"
    if gate := gate_of(candidate):
        where = f"waits at gate {gate.value}"
    words = " ".join(candidate.hypothesis.split())
    lines = [words if len(words) <= 200 else f"{words[:199]}…", evidence_line(candidate)]
    if candidate.stage == Stage.CHANGES:
        lines.append(f"Asked for: {' '.join(candidate.why.split())[:300]}")
    elif candidate.stage == Stage.CONFLICT:
        lines.append(" ".join(candidate.why.split())[:300])
    url = settings.SITE_URL.rstrip("/") + candidate.get_absolute_url()
    return Item(f"{candidate} of {candidate.project.slug} {where}", [line for line in lines if line], url)


def evidence_line(candidate: Candidate) -> str:
    """The evidence in one line: verdict, effect in the metric's unit, interval, n. Invalid evidence shows no effect."""
    evidence = candidate.evidence
    if evidence is None:
        return ""
    verdict = Verdict(evidence.verdict).label
    if evidence.gain is None:
        return f"Evidence: {verdict}."
    unit = candidate.project.file.metric.name
    return f"Evidence: {verdict}, gain {evidence.gain.in_unit(unit)} ({CONVENTION}), n = {evidence.candidate_n}."


def send_test(wishes: NotificationSettings, channel: Channel) -> None:
    """A trial message to one person, at once. Raises BadAddress, NotDelivered, MaybeDelivered."""
    subject = "A trial message of Signoff"
    items = [Item("Nothing waits for you: this is a trial.", [], settings.SITE_URL)]
    if channel == Channel.EMAIL:
        if not wishes.user.email:
            raise BadAddress("Say first where e-mails should go.")
        send_email(wishes.user.email, subject, items, "You asked for it on the page of your notifications.")
    elif wishes.webhook_url:
        send_webhook(wishes.webhook_url, subject, items)
    else:
        raise BadAddress("Say first which webhook should be called.")
