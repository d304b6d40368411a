"""The registry of channels: a way by which people are told that it is their turn, a module each of `channels/`."""

from research_app.loop.notify.notice import Notice
from research_app.models import NotificationSettings, Pace
from training.registry import Registry


class NotificationChannel:
    """One way; `send` is all that a channel must bring. docs/how-to/extend.md adds one.

    `label` is its name for people, `missing` the end of “Say …” where a person gave no address, `hint` and `placeholder` stand
    at its field. An address is a secret unless it is said not to be: it is shown masked, and an empty field keeps it. `signs`:
    what it sends is signed with a secret of the person's. `unsubscribes`: a message holds an address that switches it off.
    """

    name = ""
    label = ""
    missing = "which address should be used"
    hint = ""
    placeholder = ""
    input_type = "text"
    secret = True
    signs = False
    unsubscribes = False
    order = 100

    def address(self, wishes: NotificationSettings) -> str:
        """Where this person's messages go; empty where nowhere."""
        return wishes.by(self.name).address

    def keep(self, wishes: NotificationSettings, address: str) -> None:
        """Keep the address that a person gave; the settings and their rows are saved by the caller."""
        wishes.by(self.name).address = address

    def check(self, address: str) -> None:
        """Raises BadAddress for one that is not used."""

    def masked(self, address: str) -> str:
        """The address as pages may show it."""
        return f"…{address[-4:]}" if self.secret else address

    def server(self, address: str) -> str:
        """The server behind an address, which it may share with others; empty where there is none."""
        return ""

    def pace(self, wishes: NotificationSettings) -> Pace:
        """When this person wants to hear by it; never, where there is nowhere to send to."""
        return Pace(wishes.by(self.name).pace) if self.address(wishes) else Pace.OFF

    def send(self, wishes: NotificationSettings, notice: Notice) -> None:
        """Send one message within the deadline. Raises BadAddress, NotDelivered, MaybeDelivered."""
        raise NotImplementedError


CHANNELS = Registry("channel", "research_app.loop.notify.channels", "CHANNEL", NotificationChannel)


def label_of(name: str) -> str:
    """A channel's name for people, also of one that is gone."""
    return CHANNELS[name].label if name in CHANNELS else name
