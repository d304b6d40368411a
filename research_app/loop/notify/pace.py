"""When a message may leave: soon for the first, later the more went out within the hour, and never more than a person wants."""

import random
from datetime import datetime, timedelta

from django.utils import timezone

from research_app.models import Delivery, NotificationSettings
from research_app.models.delivery import HOUR

FIRST_WINDOW = timedelta(seconds=10)
"""How long the first message of an hour gathers what happens; each further one gathers twice as long."""
LONGEST_WINDOW = timedelta(minutes=10)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(hours=1)
MAX_ATTEMPTS = 6
"""Attempts at one message, over about a quarter of an hour, before it fails."""
TOO_OLD = timedelta(days=1)
"""How long a message may wait for an address that is paused before it fails."""


def leaves_at(wishes: NotificationSettings, channel: str) -> datetime:
    """When a message that is opened now leaves (one query)."""
    left = list(Delivery.objects.left_lately(wishes.user_id, channel).values_list("left_at", flat=True))
    window = min(FIRST_WINDOW * (1 << min(len(left), 10)), LONGEST_WINDOW)
    return max(timezone.now() + window, limited_until(wishes, left))


def allowed_at(wishes: NotificationSettings, channel: str) -> datetime | None:
    """When the hourly limit lets the next message leave; None: now (one query)."""
    left = list(Delivery.objects.left_lately(wishes.user_id, channel).values_list("left_at", flat=True))
    at = limited_until(wishes, left)
    return at if at > timezone.now() else None


def limited_until(wishes: NotificationSettings, left: "list[datetime | None]") -> datetime:
    """When the hourly limit lets one more leave, given when the last hour's messages left, oldest first."""
    full = left[-wishes.hourly_limit] if len(left) >= wishes.hourly_limit else None
    return full + HOUR if full else timezone.now()


def retry_pause(attempts: int, wanted: float = 0.0) -> timedelta:
    """Seconds until the next attempt after so many: doubling, spread by chance so that not all come back at once.

    `wanted` is how long the server asked to be left alone.
    """
    pause = min(FIRST_PAUSE * 2.0 ** min(attempts - 1, 10), LONGEST_PAUSE)
    return max(pause * random.uniform(0.75, 1.25), timedelta(seconds=wanted))
