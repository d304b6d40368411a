"""Notifications: how each person wants to hear that it is their turn, and which turns they were told of."""

import base64
import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.functional import cached_property

from research_app.models.candidate import Candidate
from research_app.models.delivery import Delivery
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
    """One person's wishes, whatever the channel; what they want of each stands in `channels`."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notification_settings")
    digest_hour = models.PositiveSmallIntegerField(default=8, validators=[MaxValueValidator(23)], help_text="UTC")
    hourly_limit = models.PositiveSmallIntegerField(
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(60)],
        help_text="Messages an hour by one channel; what comes on top of that joins the next one",
    )

    def __str__(self) -> str:
        return f"notifications of {self.user}"

    @cached_property
    def _by_channel(self) -> "dict[str, ChannelSettings]":
        return {row.channel: row for row in self.channels.all()} if self.pk else {}

    def by(self, channel: str) -> "ChannelSettings":
        """What they want of a channel, with the defaults where they never said (one query for all channels)."""
        return self._by_channel.setdefault(channel, ChannelSettings(wishes=self, channel=channel))

    def save_channels(self) -> None:
        """Write down what was changed in the rows that `by` returned."""
        for row in self._by_channel.values():
            wanted = {"pace": row.pace, "address": row.address, "secret": row.secret}
            ChannelSettings.objects.update_or_create(wishes=self, channel=row.channel, defaults=wanted)

    def next_digest(self) -> datetime:
        """When the next daily message is due."""
        now = timezone.now()
        today = now.replace(hour=self.digest_hour, minute=0, second=0, microsecond=0)
        return today if today > now else today + timedelta(days=1)


class ChannelSettings(models.Model):
    """What one person wants of one channel. An address may be a secret: pages ask the channel how it may be shown."""

    wishes = models.ForeignKey(NotificationSettings, on_delete=models.CASCADE, related_name="channels")
    channel = models.CharField(max_length=30, help_text="Name of one of research_app/loop/notify/channels/")
    pace = models.CharField(max_length=10, choices=Pace.choices, default=Pace.OFF)
    address = models.CharField(max_length=1000, blank=True, help_text="Where messages go, unless the account says it")
    secret = models.CharField(max_length=100, default=new_secret, help_text="Signs what is sent, where the channel signs")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["wishes", "channel"], name="one_setting_a_channel")]

    def __str__(self) -> str:
        return f"{self.channel} of {self.wishes.user}"


class Notification(models.Model):
    """One person is told once, by one channel, that it is their turn on one candidate. Its delivery carries it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications")
    candidate = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="notifications")
    turn = models.DateTimeField(help_text="The candidate's stage_since: a later turn is announced anew")
    stage = models.CharField(max_length=15)
    channel = models.CharField(max_length=30)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="notifications")
    passed = models.BooleanField(default=False, help_text="Left out of the message: it was nobody's turn any more")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "channel", "candidate", "turn"], name="told_once_per_turn"),
        ]

    def __str__(self) -> str:
        return f"{self.channel} to {self.user} about {self.candidate}"
