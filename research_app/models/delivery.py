"""Deliveries: one message to one person by one channel, with all that it gathers; and the places that messages go to."""

from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from research_app.models.lease import Leased, unclaimed

HOUR = timedelta(hours=1)


class Occasion(models.TextChoices):
    """Why a message leaves when it does."""

    AT_ONCE = "at_once", "at once"
    DIGEST = "digest", "daily"
    TRIAL = "trial", "trial"


class Sending(models.TextChoices):
    """The outcome of a delivery."""

    WAITING = "waiting", "waits to be sent"
    SENDING = "sending", "is being sent"
    SENT = "sent", "sent"
    PASSED = "passed", "not sent: it was nobody's turn any more"
    UNKNOWN = "unknown", "may have been sent"  # at most once: it is not sent again
    FAILED = "given_up", "failed"


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def waiting(self) -> Self:
        """What is still to be sent and nobody sends."""
        return self.filter(unclaimed(), state=Sending.WAITING)

    def due(self) -> Self:
        """What should be sent now and nobody sends."""
        return self.waiting().filter(due_at__lte=timezone.now())

    def abandoned(self) -> Self:
        """What was being sent when its worker died."""
        return self.filter(state=Sending.SENDING, lease_until__lt=timezone.now())

    def left_lately(self, user_id: int, channel: str) -> Self:
        """What left for one person by one channel within the last hour, oldest first; trials do not count."""
        mine = self.filter(user=user_id, channel=channel, left_at__gt=timezone.now() - HOUR)
        return mine.exclude(occasion=Occasion.TRIAL).order_by("left_at")


class Delivery(Leased):
    """One message on its way to one person. While it waits, what else happens for that person joins it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.CharField(max_length=30, help_text="Name of one of research_app/loop/notify/channels/")
    occasion = models.CharField(max_length=10, choices=Occasion.choices, default=Occasion.AT_ONCE)
    state = models.CharField(max_length=10, choices=Sending.choices, default=Sending.WAITING)
    opened_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(default=timezone.now)
    woken_at = models.DateTimeField(null=True, blank=True, help_text="When a worker was told of it last")
    left_at = models.DateTimeField(null=True, blank=True, help_text="When it was sent, or may have been")
    subject = models.CharField(max_length=200, blank=True)
    candidate_count = models.PositiveIntegerField(default=0, help_text="How many candidates the message was about")

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "channel", "occasion"], condition=Q(state="waiting"), name="one_waiting_delivery"
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(state="waiting"), name="delivery_due"),  # the reconciler
            models.Index(fields=["user", "channel", "left_at"], name="delivery_left"),  # the hourly limit
            models.Index(fields=["user", "-id"], name="delivery_of_person"),  # the settings page
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.pk} to {self.user}"


class DestinationQuerySet(models.QuerySet["Destination"]):
    def paused(self) -> Self:
        """Places that nothing is sent to at the moment, or that are tried again one message at a time."""
        return self.filter(paused_until__isnull=False).order_by("-server", "label")


class Destination(models.Model):
    """A place that messages go to: a person's address, or the server behind several. An address may be secret: it is hashed."""

    key = models.CharField(max_length=64, unique=True)
    label = models.CharField(max_length=300, help_text="As people may see it, without what makes it secret")
    server = models.BooleanField(default=False, help_text="The server behind addresses, not one address")
    failures = models.PositiveIntegerField(default=0, help_text="In a row; of a server, by how many addresses")
    blamed: "models.JSONField[list[str], list[str]]" = models.JSONField(
        default=list, help_text="Of a server: keys of the addresses that could not reach it"
    )
    paused_until = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=500, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)
    succeeded_at = models.DateTimeField(null=True, blank=True)

    objects = DestinationQuerySet.as_manager()

    def __str__(self) -> str:
        return self.label

    def take_trial(self, until: datetime) -> bool:
        """Whether this caller may try a place whose pause is over: the first one that asks, until the time given."""
        same = Destination.objects.filter(pk=self.pk, paused_until=self.paused_until)
        return bool(same.update(paused_until=until))
