"""The channel `webhook`: one POST of `{"text": …}`, as Slack, Mattermost and Rocket.Chat take it, signed.

The address that was checked is the one that is connected to, and no redirect is followed. The signature is that of the
Standard Webhooks specification (docs/how-to/notifications.md shows how to check it).
"""

import base64
import hashlib
import hmac
import http.client
import json
import re
import ssl
import time
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from research_app.loop.notify.address import checked, port_of
from research_app.loop.notify.channel import NotificationChannel
from research_app.loop.notify.deadline import CONNECT_SECONDS, Deadline
from research_app.loop.notify.notice import MaybeDelivered, NotDelivered, Notice, UnknownHost, one_line
from research_app.models import NotificationSettings

TEMPORARY = (408, 425, 429)  # of the statuses below 500, those that another try may change
LONGEST_WAIT = 3600.0  # seconds that a host may ask for with Retry-After


class WebhookChannel(NotificationChannel):
    """A person's webhook."""

    name = label = "webhook"
    missing = "which webhook should be called"
    hint = (
        'It is called with {"text": …}, as Slack, Mattermost and Rocket.Chat take it. The address is a secret and is not shown '
        "again. Every call is signed."
    )
    placeholder = "https://hooks.slack.com/services/…"
    input_type = "url"
    signs = True
    order = 2

    def check(self, address: str) -> None:
        """Raises BadAddress."""
        checked(address)

    def masked(self, address: str) -> str:
        """The address as pages may show it: where it goes, without what makes it secret."""
        return f"{urlsplit(address).hostname}, …{address[-4:]}"

    def server(self, address: str) -> str:
        """The server behind the address."""
        parts = urlsplit(address)
        return f"host of webhooks {parts.hostname}:{port_of(parts)}"

    def send(self, wishes: NotificationSettings, notice: Notice) -> None:
        """Call it. Raises BadAddress, NotDelivered, MaybeDelivered."""
        send_webhook(self.address(wishes), notice, wishes.by(self.name).secret)


def send_webhook(url: str, notice: Notice, secret: str) -> None:
    """One POST within the deadline. Raises BadAddress, NotDelivered, MaybeDelivered."""
    lines = [f"*{slack(notice.subject)}*"]
    for item in notice.items:
        lines += [f"<{item.url}|{slack(item.title)}>", *(slack(line) for line in item.lines)]
    lines += [slack(notice.more)] if notice.more else []
    body = json.dumps({"text": "\n".join(lines)}).encode()
    call(url, body, {"Content-Type": "application/json", **signature(secret, notice.reference, body)})


def call(url: str, body: bytes, headers: dict[str, str]) -> None:
    """Post a body to an address of a person's, within the deadline. Raises BadAddress, NotDelivered, MaybeDelivered."""
    with Deadline() as deadline:
        try:
            parts, addresses = checked(url, deadline.step(CONNECT_SECONDS))
        except UnknownHost as error:
            raise NotDelivered(str(error), unreachable=True) from error
        answer = post(parts, addresses, body, {"User-Agent": "Signoff", **headers}, deadline)
    judge_answer(parts.hostname or "", *answer)


def post(
    parts: SplitResult, addresses: Sequence[str], body: bytes, headers: dict[str, str], deadline: Deadline
) -> tuple[int, str]:
    """Status and Retry-After of the answer. Raises NotDelivered, MaybeDelivered."""
    connection = _Pinned(parts, addresses, deadline)
    try:
        try:
            connection.connect()
        except OSError as error:
            raise NotDelivered(f"{parts.hostname} cannot be reached: {error}", unreachable=True) from error
        try:
            connection.request("POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, headers)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            slow = f"did not answer within {deadline.seconds:.0f} s" if deadline.passed else ""
            slow = slow or ("did not answer" if isinstance(error, TimeoutError) else f"broke off: {type(error).__name__}")
            raise MaybeDelivered(f"{parts.hostname} {slow}") from error
        return answer.status, answer.headers.get("Retry-After", "")
    finally:
        connection.close()


def judge_answer(host: str, status: int, retry_after: str) -> None:
    """Raises NotDelivered where the host did not take it; finally where it never will."""
    if 200 <= status < 300:
        return
    wait = min(float(retry_after), LONGEST_WAIT) if re.fullmatch(r"\d{1,9}", retry_after) else 0.0
    raise NotDelivered(
        f"{host} answered with status {status}.", final=300 <= status < 500 and status not in TEMPORARY, wait=wait
    )


def signature(secret: str, reference: str, body: bytes, at: int | None = None) -> dict[str, str]:
    """The headers by which a receiver knows that a call is ours, and recent: an HMAC over id, time and body."""
    stamp = int(time.time()) if at is None else at
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = hmac.new(key, f"{reference}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": reference,
        "webhook-timestamp": str(stamp),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


class _Pinned(http.client.HTTPConnection):
    """A connection to one of the addresses that were checked, whatever the name service says a moment later."""

    def __init__(self, parts: SplitResult, addresses: Sequence[str], deadline: Deadline) -> None:
        super().__init__(parts.hostname or "", port_of(parts))
        self.secure = parts.scheme == "https"
        self.addresses = addresses
        self.deadline = deadline

    def connect(self) -> None:
        """Try each address in turn; the certificate must be for the host's name. Raises OSError."""
        plain = self.deadline.connect(self.addresses, self.port)
        self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host) if self.secure else plain


def slack(text: str) -> str:
    """Text as Slack shows it literally: an agent's words must not become links or calls to everybody."""
    return one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


CHANNEL = WebhookChannel()
