"""Notifications: how each person wants to hear that it is their turn, and which turns they were told of."""

import base64
import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from research_app.models.candidate import Candidate
from research_app.models.delivery import Channel, Delivery
from research_app.models.lease import Leased


class Pace(models.TextChoices):
    """When a channel is used."""

    OFF = "off", "never"
    AT_ONCE = "at_once", "at once"
    DIGEST = "digest", "once a day"


def new_secret() -> str:
    """A key to sign webhooks with, as the Standard Webhooks specification writes it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


class NotificationSettings(Leased):
    """One person's wishes. The address of e-mails is the account's. A webhook's address is a secret: pages show its host."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notification_settings")
    email = models.CharField(max_length=10, choices=Pace.choices, default=Pace.OFF)
    webhook = models.CharField(max_length=10, choices=Pace.choices, default=Pace.OFF)
    webhook_url = models.CharField(max_length=1000, blank=True)
    webhook_secret = models.CharField(max_length=100, default=new_secret, help_text="Signs what the webhook is sent")
    digest_hour = models.PositiveSmallIntegerField(default=8, validators=[MaxValueValidator(23)], help_text="UTC")
    hourly_limit = models.PositiveSmallIntegerField(
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(60)],
        help_text="Messages an hour by one channel; what comes on top of that joins the next one",
    )

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


class Notification(models.Model):
    """One person is told once, by one channel, that it is their turn on one candidate. Its delivery carries it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications")
    candidate = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="notifications")
    turn = models.DateTimeField(help_text="The candidate's stage_since: a later turn is announced anew")
    stage = models.CharField(max_length=15)
    channel = models.CharField(max_length=10, choices=Channel.choices)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="notifications")
    passed = models.BooleanField(default=False, help_text="Left out of the message: it was nobody's turn any more")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "channel", "candidate", "turn"], name="told_once_per_turn"),
        ]

    def __str__(self) -> str:
        return f"{self.get_channel_display()} to {self.user} about {self.candidate}"
