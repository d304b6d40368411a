"""The channels by which people are told, one module each. A new one is a module here and a line in CHANNELS."""

from collections.abc import Mapping
from typing import Protocol

from research_app.loop.notify.channels.email import EmailChannel
from research_app.loop.notify.channels.notice import Notice
from research_app.loop.notify.channels.webhook import WebhookChannel
from research_app.models import Channel, NotificationSettings


class Sender(Protocol):
    """What a channel can do."""

    label: str

    def address(self, wishes: NotificationSettings) -> str:
        """Where this person's messages go; empty where nowhere."""
        ...

    def masked(self, address: str) -> str:
        """The address as pages may show it."""
        ...

    def server(self, address: str) -> str:
        """The server behind an address, which it may share with others; empty where there is none."""
        ...

    def send(self, wishes: NotificationSettings, notice: Notice) -> None:
        """Send one message within the deadline. Raises BadAddress, NotDelivered, MaybeDelivered."""
        ...


CHANNELS: Mapping[str, Sender] = {Channel.EMAIL: EmailChannel(), Channel.WEBHOOK: WebhookChannel()}
