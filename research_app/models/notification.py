"""Notifications: how each person wants to hear that it is their turn, and what was sent to whom."""

from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from research_app.models.candidate import Candidate
from research_app.models.lease import Leased, unclaimed

MAX_SENDING = 5
"""Attempts before a message is given up; between them the pause doubles, from half a minute."""


class Pace(models.TextChoices):
    """When a channel is used."""

    OFF = "off", "never"
    AT_ONCE = "at_once", "at once"
    DIGEST = "digest", "once a day"


class Channel(models.TextChoices):
    """How a message leaves."""

    EMAIL = "email", "e-mail"
    WEBHOOK = "webhook", "webhook"


class NotificationSettings(Leased):
    """One person's wishes. The address of e-mails is the account's. A webhook's address is a secret: pages show its host."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notification_settings")
    email = models.CharField(max_length=10, choices=Pace.choices, default=Pace.OFF)
    webhook = models.CharField(max_length=10, choices=Pace.choices, default=Pace.OFF)
    webhook_url = models.CharField(max_length=1000, blank=True)
    digest_hour = models.PositiveSmallIntegerField(default=8, validators=[MaxValueValidator(23)], help_text="UTC")

    def __str__(self) -> str:
        return f"notifications of {self.user}"

    def pace(self, channel: str) -> Pace:
        """When this person wants to hear by a channel; never, where there is nowhere to send to."""
        if channel == Channel.EMAIL:
            return Pace(self.email) if self.user.email else Pace.OFF
        return Pace(self.webhook) if self.webhook_url else Pace.OFF

    def next_digest(self) -> datetime:
        """When the next daily message is due."""
        now = timezone.now()
        today = now.replace(hour=self.digest_hour, minute=0, second=0, microsecond=0)
        return today if today > now else today + timedelta(days=1)


class Sending(models.TextChoices):
    """What became of a notification."""

    WAITING = "waiting", "waits to be sent"
    SENDING = "sending", "is being sent"
    SENT = "sent", "sent"
    PASSED = "passed", "not sent: it was nobody's turn any more"
    UNKNOWN = "unknown", "may have been sent"  # at most once: it is not sent again
    GIVEN_UP = "given_up", "given up"


class NotificationQuerySet(models.QuerySet["Notification"]):
    def due(self) -> Self:
        """What should be sent now and nobody sends."""
        return self.filter(unclaimed(), state=Sending.WAITING, due_at__lte=timezone.now())

    def abandoned(self) -> Self:
        """What was being sent when its worker died."""
        return self.filter(state=Sending.SENDING, lease_until__lt=timezone.now())


class Notification(Leased):
    """One person is told once, by one channel, that it is their turn on one candidate. The row is the outbox."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications")
    candidate = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="notifications")
    turn = models.DateTimeField(help_text="The candidate's stage_since: a later turn is announced anew")
    stage = models.CharField(max_length=15)
    channel = models.CharField(max_length=10, choices=Channel.choices)
    digest = models.BooleanField(default=False)
    state = models.CharField(max_length=10, choices=Sending.choices, default=Sending.WAITING)
    due_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "channel", "candidate", "turn"], name="told_once_per_turn"),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(state="waiting"), name="notification_due"),  # the reconciler
            models.Index(fields=["user", "-id"], name="notification_of_person"),  # the settings page
        ]

    def __str__(self) -> str:
        return f"{self.get_channel_display()} to {self.user} about {self.candidate}"
