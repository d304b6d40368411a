"""Outgoing: what leaves Signoff for a person: an e-mail, or a call of their webhook (JSON as Slack takes it).

A webhook's address is typed by a person and called by the server, so it could point into the network that the server
stands in. Only https to public addresses is called, unless the operator names the host; the address that was checked is
the one that is connected to, and no redirect is followed.
"""

import http.client
import ipaddress
import json
import smtplib
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.mail import EmailMessage, get_connection

TIMEOUT = 10.0  # seconds, for each step of a conversation
DEADLINE = 30.0  # seconds, from request to answer
MAX_URL = 1000  # characters


class BadAddress(ValueError):
    """A webhook's address that is not called; the message says why and what to do."""


class UnknownHost(BadAddress):
    """The name service does not know the host, perhaps only now."""


class NotDelivered(Exception):
    """It certainly did not arrive. `final`: trying again would not help."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class MaybeDelivered(Exception):
    """The conversation broke off after the message was handed over: it may have arrived, so it is not sent again."""


@dataclass(frozen=True)
class Item:
    """One thing that waits for a person: a title, a few lines of plain text, and where to go."""

    title: str
    lines: Sequence[str]
    url: str


def send_email(address: str, subject: str, items: Sequence[Item], foot: str) -> None:
    """One e-mail in plain text. Raises NotDelivered, MaybeDelivered."""
    body = "\n\n".join("\n".join([item.title, *item.lines, item.url]) for item in items)
    message = EmailMessage(_one_line(subject), f"{body}\n\n-- \n{foot}\n", to=[address])
    connection = get_connection(timeout=TIMEOUT) if _speaks_smtp() else get_connection()
    try:
        connection.open()
    except (OSError, smtplib.SMTPException) as error:
        raise NotDelivered(f"The mail server cannot be reached: {error}") from error
    try:
        connection.send_messages([message])
    except (smtplib.SMTPServerDisconnected, TimeoutError) as error:
        raise MaybeDelivered(f"The mail server broke off: {error}") from error
    except (OSError, smtplib.SMTPException) as error:
        raise NotDelivered(f"The mail server refused it: {error}") from error
    finally:
        with suppress(OSError, smtplib.SMTPException):  # what was sent is sent; a farewell that fails changes nothing
            connection.close()


def _speaks_smtp() -> bool:
    return settings.EMAIL_BACKEND.endswith("smtp.EmailBackend")


def send_webhook(url: str, subject: str, items: Sequence[Item]) -> None:
    """One POST with `{"text": …}`. Raises BadAddress, NotDelivered, MaybeDelivered."""
    try:
        parts, addresses = checked(url)
    except UnknownHost as error:
        raise NotDelivered(str(error)) from error
    lines = [f"*{slack(subject)}*"]
    for item in items:
        lines += [f"<{item.url}|{slack(item.title)}>", *(slack(line) for line in item.lines)]
    body = json.dumps({"text": "\n".join(lines)}).encode()
    connection = _Pinned(parts, addresses)
    try:
        try:
            connection.connect()
        except OSError as error:
            raise NotDelivered(f"{parts.hostname} cannot be reached: {error}") from error
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        assert connection.sock is not None  # connected just now
        overdue = threading.Timer(DEADLINE, _hang_up, [connection.sock])  # a host that answers by drips must not hold a worker
        overdue.start()
        try:
            connection.request("POST", target, body, {"Content-Type": "application/json", "User-Agent": "Signoff"})
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise MaybeDelivered(f"{parts.hostname} broke off: {type(error).__name__}") from error
        finally:
            overdue.cancel()
    finally:
        connection.close()
    if not 200 <= status < 300:
        final = 300 <= status < 500 and status not in (408, 425, 429)
        raise NotDelivered(f"{parts.hostname} answered with status {status}.", final=final)


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):  # it ended by itself meanwhile
        connection.shutdown(socket.SHUT_RDWR)


def checked(url: str) -> tuple[SplitResult, list[str]]:
    """The parts of a webhook's address and the network addresses that may be connected to. Raises BadAddress."""
    if len(url) > MAX_URL or any(character.isspace() or not character.isprintable() for character in url):
        raise BadAddress(f"A webhook's address has at most {MAX_URL} printable characters and no spaces.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise BadAddress(f"This is no address: {error}.") from error
    if parts.scheme not in ("https", "http") or not host or parts.username or parts.password:
        raise BadAddress("A webhook's address looks like https://host/path, without a user name or password in it.")
    if trusted := host in settings.WEBHOOK_HOSTS or f"{host}:{port}" in settings.WEBHOOK_HOSTS:
        pass
    elif parts.scheme != "https":
        raise BadAddress(f"Only https is called. The operator can allow {host} in SIGNOFF_WEBHOOK_HOSTS.")
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise UnknownHost(f"{host} is not known to the name service: {error}") from error
    if not trusted and not all(map(is_public, found)):
        raise BadAddress(f"{host} stands in a private network. The operator can allow it in SIGNOFF_WEBHOOK_HOSTS.")
    return parts, list(dict.fromkeys(found))


def is_public(address: str) -> bool:
    """Whether a network address belongs to the public internet; one that embeds another is judged by both."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        nat64 = parsed in ipaddress.ip_network("64:ff9b::/96") or parsed in ipaddress.ip_network("64:ff9b:1::/48")
        if nat64 or (inner is not None and not is_public(str(inner))):
            return False
        if parsed.ipv4_mapped:
            return True
    return parsed.is_global and not parsed.is_multicast


class _Pinned(http.client.HTTPConnection):
    """A connection to one of the addresses that were checked, whatever the name service says a moment later."""

    def __init__(self, parts: SplitResult, addresses: Sequence[str]) -> None:
        self.secure = parts.scheme == "https"
        super().__init__(parts.hostname or "", parts.port or (443 if self.secure else 80), timeout=TIMEOUT)
        self.addresses = addresses

    def connect(self) -> None:
        """Try each address in turn; the certificate must be for the host's name. Raises OSError."""
        for number, address in enumerate(self.addresses, 1):
            try:
                plain = socket.create_connection((address, self.port), TIMEOUT)
                break
            except OSError:
                if number == len(self.addresses):
                    raise
        self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host) if self.secure else plain


def slack(text: str) -> str:
    """Text as Slack shows it literally: an agent's words must not become links or calls to everybody."""
    return _one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
