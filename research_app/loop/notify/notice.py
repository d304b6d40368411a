"""What a channel is given to send, and the named ways in which sending ends."""

from collections.abc import Sequence
from dataclasses import dataclass


class BadAddress(ValueError):
    """An address that is not called; the message says why and what to do."""


class UnknownHost(BadAddress):
    """The name service does not know the host, perhaps only now."""


class NotDelivered(Exception):
    """It certainly did not arrive.

    `final`: trying again would not help. `unreachable`: the server could not be asked at all, so others behind it may fail
    alike. `wait`: seconds that the server wants to be left alone, where it said so.
    """

    def __init__(self, reason: str, *, final: bool = False, unreachable: bool = False, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.final = final
        self.unreachable = unreachable
        self.wait = wait


class MaybeDelivered(Exception):
    """The conversation broke off after the message was handed over: it may have arrived, so it is not sent again."""


@dataclass(frozen=True)
class Item:
    """One thing that waits for a person: a title, a few lines of plain text, and where to go."""

    title: str
    lines: Sequence[str]
    url: str


@dataclass(frozen=True)
class Notice:
    """One message to one person, the same for every channel.

    `reference` is the same whenever this message is sent again, so that a receiver knows a repetition. `thread` ties messages
    about one candidate together, where it is about one. `unsubscribe` is an address that switches the channel off.
    """

    subject: str
    items: Sequence[Item]
    reference: str
    more: str = ""  # what is not listed, in a sentence with an address
    foot: str = ""
    thread: str = ""
    unsubscribe: str = ""


def one_line(text: str) -> str:
    """Untrusted text on one line of printable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
