"""For the reconciler: turns that nobody announced, messages that are due, and those whose worker died while it sent them."""

from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from research_app.loop.notify.deliver import Outcome, conclude, still_waiting
from research_app.models import Candidate, Delivery, Lease, Message, Sending
from research_app.models.candidate import AWAITING_HUMAN
from research_app.models.lease import LEASE

QUEUE = "notify"
OVERDUE_AFTER = timedelta(seconds=5)
AGAIN = timedelta(seconds=30)
"""How long a worker may take to begin with a message before it is told of it once more."""
MOST = 200  # at once


def wake_notifications() -> None:
    """One round."""
    now = timezone.now()
    late = Candidate.objects.filter(stage__in=AWAITING_HUMAN, stage_since__lt=now - OVERDUE_AFTER)
    for pk in late.exclude(announced_for=F("stage_since")).values_list("pk", flat=True)[:MOST]:
        Message.objects.wake("announce", pk, QUEUE)
    for row in Delivery.objects.abandoned().select_related("user")[:MOST]:
        end_abandoned(row)
    unheard = Q(woken_at=None) | Q(woken_at__lt=now - AGAIN) | Q(woken_at__lt=F("due_at"))
    for pk in Delivery.objects.due().filter(unheard).order_by("due_at").values_list("pk", flat=True)[:MOST]:
        with transaction.atomic():
            Delivery.objects.filter(pk=pk).update(woken_at=now)
            Message.objects.wake("deliver", pk, QUEUE)


def end_abandoned(row: Delivery) -> None:
    """A worker died in the middle: it may have arrived. Its token is taken over, so that it cannot write any more."""
    mine = Delivery.objects.filter(pk=row.pk, state=Sending.SENDING, fence_token=row.fence_token)
    if mine.update(fence_token=F("fence_token") + 1, lease_until=timezone.now() + LEASE):
        lost = "Its worker died while it was being sent. It may have arrived, so it is not sent again."
        conclude(
            row, Lease(Delivery, row.pk, row.fence_token + 1), Outcome(Sending.UNKNOWN, lost, candidates=still_waiting(row))
        )
