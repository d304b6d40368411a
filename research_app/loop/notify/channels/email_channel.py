"""The channel `e-mail`: plain text, with the headers by which a mail program threads it and lets a person unsubscribe."""

import smtplib
import socket
import ssl
from contextlib import suppress
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.smtp import EmailBackend
from django.core.validators import validate_email

from research_app.loop.notify.channel import NotificationChannel
from research_app.loop.notify.deadline import ANSWER_SECONDS, CONNECT_SECONDS, Deadline, lookup
from research_app.loop.notify.notice import BadAddress, MaybeDelivered, NotDelivered, Notice, one_line
from research_app.models import NotificationSettings


class EmailChannel(NotificationChannel):
    """The e-mail address of a person's account."""

    name = "email"
    label = "e-mail"
    missing = "where e-mails should go"
    input_type = "email"
    secret = False
    unsubscribes = True
    order = 1

    def address(self, wishes: NotificationSettings) -> str:
        """Where it goes; empty where nowhere."""
        return wishes.user.email

    def keep(self, wishes: NotificationSettings, address: str) -> None:
        """It is that of the account."""
        wishes.user.email = address
        wishes.user.save(update_fields=["email"])

    def check(self, address: str) -> None:
        """Raises BadAddress."""
        try:
            validate_email(address)
        except ValidationError as error:
            raise BadAddress(" ".join(error.messages)) from error

    def server(self, address: str) -> str:
        """The server behind the address; none where mails become files."""
        return f"mail server {settings.EMAIL_HOST}:{settings.EMAIL_PORT}" if speaks_smtp() else ""

    def send(self, wishes: NotificationSettings, notice: Notice) -> None:
        """Send it. Raises NotDelivered, MaybeDelivered."""
        send_email(wishes.user.email, notice)


def speaks_smtp() -> bool:
    """Whether there is a mail server; without one each mail becomes a file."""
    return settings.EMAIL_BACKEND.endswith("smtp.EmailBackend")


def send_email(address: str, notice: Notice) -> None:
    """One e-mail within the deadline. Raises NotDelivered, MaybeDelivered."""
    body = "\n\n".join("\n".join([item.title, *item.lines, item.url]) for item in notice.items)
    body += f"\n\n{notice.more}" if notice.more else ""
    foot = "\n".join(filter(None, [notice.foot, notice.unsubscribe and f"Stop these e-mails: {notice.unsubscribe}"]))
    message = EmailMessage(one_line(notice.subject), f"{body}\n\n-- \n{foot}\n", to=[address], headers=headers_of(notice))
    with Deadline() as deadline:
        connection = BoundedBackend(deadline) if speaks_smtp() else get_connection()
        try:
            connection.open()
        except (OSError, smtplib.SMTPException) as error:
            code, reason = code_of(error, deadline)
            raise NotDelivered(f"The mail server cannot be reached: {reason}", final=code >= 500, unreachable=True) from error
        try:
            connection.send_messages([message])
        except (OSError, smtplib.SMTPException) as error:
            raise refusal(error, deadline, handed_over=getattr(connection, "handed_over", False)) from error
        finally:
            with suppress(OSError, smtplib.SMTPException):  # what was sent is sent; a farewell that fails changes nothing
                connection.close()


def refusal(error: OSError | smtplib.SMTPException, deadline: Deadline, *, handed_over: bool) -> NotDelivered | MaybeDelivered:
    """What a mail server's answer means. Its codes from 500 on are final (RFC 5321, section 4.2.1)."""
    code, message = code_of(error, deadline)
    if code:
        return NotDelivered(f"The mail server refused it: {message}", final=code >= 500)
    if handed_over:
        return MaybeDelivered(f"The mail server broke off: {message}")
    return NotDelivered(f"The mail server broke off: {message}", unreachable=True)


def code_of(error: OSError | smtplib.SMTPException, deadline: Deadline) -> tuple[int, str]:
    """The server's code, 0 where it gave none, and its words on one line."""
    if deadline.passed:
        return 0, f"it took longer than {deadline.seconds:.0f} s"
    code, words = 0, b""
    if isinstance(error, smtplib.SMTPRecipientsRefused) and error.recipients:
        code, words = next(iter(error.recipients.values()))
    elif isinstance(error, smtplib.SMTPResponseException):
        code, words = error.smtp_code, error.smtp_error if isinstance(error.smtp_error, bytes) else error.smtp_error.encode()
    return code, one_line(f"{code} {words.decode(errors='replace')}" if code else str(error))


def headers_of(notice: Notice) -> dict[str, str]:
    """What mail programs read: the same id however often it is sent, the thread, and how to unsubscribe (RFC 8058)."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].partition("@")[2] or "localhost"
    headers = {"Message-ID": f"<{notice.reference}@{domain}>", "Auto-Submitted": "auto-generated"}
    if notice.thread:
        headers["References"] = f"<{notice.thread}@{domain}>"
    if notice.unsubscribe:
        headers["List-Unsubscribe"] = f"<{notice.unsubscribe}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return headers


class _Plain(smtplib.SMTP):
    """A connection made and guarded by a deadline, which knows whether a message was handed over."""

    def __init__(self, deadline: Deadline, host: str, port: int) -> None:
        self.deadline = deadline
        self.handed_over = False
        name = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].partition("@")[2]  # the machine's own needs the name service
        super().__init__(host, port, local_hostname=name or "localhost", timeout=ANSWER_SECONDS)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self.deadline.connect(lookup(host, port, self.deadline.step(CONNECT_SECONDS)), port)

    def data(self, msg: Any) -> tuple[int, bytes]:
        """From here on the server may have it."""
        self.handed_over = True
        return super().data(msg)


class _Secure(_Plain):
    """The same, encrypted from the first byte on."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = super()._get_socket(host, port, timeout)
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


class BoundedBackend(EmailBackend):
    """Django's way to talk SMTP, on such a connection."""

    connection: _Plain | None

    def __init__(self, deadline: Deadline) -> None:
        super().__init__(timeout=int(ANSWER_SECONDS))
        self.deadline = deadline

    @property
    def handed_over(self) -> bool:
        """Whether the server may have the message."""
        return self.connection is not None and self.connection.handed_over

    def open(self) -> bool:
        """Connect, encrypt and sign in. Raises SMTPException, OSError."""
        if self.connection:
            return False
        made = (_Secure if self.use_ssl else _Plain)(self.deadline, self.host, self.port)
        try:
            if self.use_tls and not self.use_ssl:
                made.starttls(context=self.ssl_context)
            if self.username and self.password:
                made.login(self.username, self.password)
        except BaseException:
            made.close()
            raise
        self.connection = made
        return True


CHANNEL = EmailChannel()
