"""Whatever a host does or does not do, a message is over in time: connecting, each answer, and all of it have a bound."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from pytest_django import Settings

from research_app.loop.notify import deadline
from research_app.loop.notify.channels.email_channel import send_email
from research_app.loop.notify.channels.webhook_channel import send_webhook
from research_app.loop.notify.deadline import Deadline, lookup
from research_app.loop.notify.notice import Item, MaybeDelivered, NotDelivered, Notice
from research_app.models.notification import new_secret
from tests.notify_samples import use_mail_server

TRIAL = Notice("Trial", [Item("C-1", [], "https://signoff.example/1")], "signoff-1")
STEP, WHOLE = 0.4, 1.0  # seconds, in place of ten and twenty


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    from research_app.loop.notify.channels import email_channel as email

    for module in (deadline, email):
        monkeypatch.setattr(module, "ANSWER_SECONDS", STEP)
    monkeypatch.setattr(deadline, "TOTAL_SECONDS", WHOLE)


@contextmanager
def host(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that accepts, and then behaves so on each connection; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    held.append(connection)
                    threading.Thread(target=quietly, args=[connection], daemon=True).start()

        def quietly(connection: socket.socket) -> None:
            with suppress(OSError):
                behave(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in held:
            connection.close()


def silent(_: socket.socket) -> None:
    """It never says a word."""


def dripping(text: bytes) -> Callable[[socket.socket], None]:
    """It sends a byte just before one loses patience, again and again."""

    def behave(connection: socket.socket) -> None:
        for byte in text * 100:
            connection.sendall(bytes([byte]))
            time.sleep(STEP / 2)

    return behave


def greeting_then_silent(connection: socket.socket) -> None:
    connection.sendall(b"220 test\r\n")


def silent_after_data(connection: socket.socket) -> None:
    file = connection.makefile("rb")
    connection.sendall(b"220 test\r\n")
    for line in file:
        if line.upper().startswith(b"DATA"):
            connection.sendall(b"354 go on\r\n")
            return
        connection.sendall(b"250 fine\r\n")


def took(act: Callable[[], Any]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("behave", [silent, dripping(b"HTTP/1.1 200 OK\r\nX-Drip: drip\r\n")], ids=["silent", "dripping"])
def test_a_webhook_that_never_answers_is_over_in_time(
    settings: Settings, scheme: str, behave: Callable[[socket.socket], None]
) -> None:
    settings.WEBHOOK_HOSTS = ["127.0.0.1"]
    with host(behave) as port:

        def send() -> None:
            with pytest.raises((MaybeDelivered, NotDelivered)):
                send_webhook(f"{scheme}://127.0.0.1:{port}/x", TRIAL, new_secret())

        assert took(send) < WHOLE + 0.5


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    "behave",
    [silent, dripping(b"220-wait\r\n"), greeting_then_silent, silent_after_data],
    ids=["silent", "dripping", "greeting", "after data"],
)
def test_a_mail_server_that_never_answers_is_over_in_time(
    settings: Settings, tls: bool, behave: Callable[[socket.socket], None]
) -> None:
    with host(behave) as port:
        use_mail_server(settings, port)
        settings.EMAIL_USE_SSL = tls

        def send() -> None:
            expected = MaybeDelivered if behave is silent_after_data and not tls else NotDelivered
            with pytest.raises(expected):
                send_email("ada@example.org", TRIAL)

        assert took(send) < WHOLE + 1.0  # the farewell included


def test_a_name_service_that_never_answers_is_over_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def hang(*_: Any, **__: Any) -> Any:
        answered.wait(5)
        raise OSError("too late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)

    def look() -> None:
        with pytest.raises(TimeoutError, match="name service did not answer"):
            lookup("slow.example", 443, seconds=0.2)

    assert took(look) < 1
    answered.set()


def test_nothing_begins_when_the_time_is_over() -> None:
    with Deadline(0.05) as late:
        time.sleep(0.1)
        with pytest.raises(TimeoutError, match="longer than"):
            late.step(5)
        assert late.passed
