"""Connections that are slow, silent or many are closed, and pages are answered all the while."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import pytest
from starlette.types import Receive, Scope, Send

from research_app import environment
from research_app.door import connections
from research_app.door.connections import is_proxy, make_room, register
from tests.outside import call, served, serving

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(connections, "BODY_SECONDS", 1.0)
    monkeypatch.setattr(connections, "READ_SECONDS", 1.0)
    monkeypatch.setattr(connections, "EVERY", 0.2)


@pytest.fixture
def site() -> Iterator[tuple[str, int]]:
    with served() as address:
        yield address, int(address.rpartition(":")[2])


def open_one(port: int, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    if sent:
        connection.sendall(sent)
    return connection


def closed_within(connection: socket.socket, seconds: float) -> bool:
    """Whether the other side closes it in time; what it sends before that is read."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            if not connection.recv(65536):
                return True
        except TimeoutError:
            return False
        except ConnectionError:
            return True
    return False


HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POST = b"POST /sign-in/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n"


@pytest.mark.parametrize("sent", [b"", b"G", HEAD, HEAD + b"X-Half: "], ids=["silent", "a letter", "no end", "half a header"])
def test_who_does_not_ask_is_closed(site: tuple[str, int], sent: bytes) -> None:
    with closing(open_one(site[1], sent)) as connection:
        assert closed_within(connection, 4)


def test_a_head_that_comes_a_byte_at_a_time_is_closed_all_the_same(site: tuple[str, int]) -> None:
    begun = time.monotonic()
    with closing(open_one(site[1])) as connection, suppress(OSError):
        for byte in HEAD * 100:
            connection.send(bytes([byte]))
            time.sleep(0.05)
    assert time.monotonic() - begun < 4


def test_the_head_of_a_second_request_has_a_deadline_too(site: tuple[str, int]) -> None:
    with closing(open_one(site[1], HEAD + b"\r\n")) as connection:
        assert b" HTTP/1.1" in b"HTTP/1.1 " + connection.recv(65536)
        time.sleep(0.3)
        connection.sendall(b"GET /heal")
        assert closed_within(connection, 4)


@pytest.mark.parametrize("how", [b"Content-Length: 5000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n1388\r\n"])
def test_a_body_that_stops_or_drips_is_closed(site: tuple[str, int], how: bytes) -> None:
    begun = time.monotonic()
    with closing(open_one(site[1], POST + how)) as connection:
        for _ in range(200):
            try:
                connection.send(b"x")
            except OSError:
                break
            time.sleep(0.05)
    assert time.monotonic() - begun < 5


def test_a_body_at_an_honest_rate_is_not(site: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BODY_RATE", 100)
    with closing(open_one(site[1], POST + b"Content-Length: 1000\r\n\r\n")) as connection:
        for _ in range(20):
            connection.sendall(b"x" * 50)
            time.sleep(0.1)
        assert connection.recv(65536).startswith(b"HTTP/1.1 ")


def test_who_does_not_read_the_answer_is_closed() -> None:
    sent: list[int] = []

    async def long_answer(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(200):
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
            sent.append(1 << 20)

    with serving(long_answer, lifespan="off") as address:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with closing(connection):
            connection.connect(("127.0.0.1", int(address.rpartition(":")[2])))
            connection.sendall(HEAD + b"\r\n")
            time.sleep(2.5)
            assert register.of_address["127.0.0.1"] == 0


def test_of_many_silent_connections_the_longest_waiting_go_and_pages_are_answered(site: tuple[str, int]) -> None:
    before = register.dropped
    with ExitStack() as stack:
        for _ in range(connections.MOST_WAITING * 3):
            stack.enter_context(closing(open_one(site[1])))
        assert call(f"{site[0]}/healthz")[0] in (200, 503)
        assert register.dropped - before >= connections.MOST_WAITING * 2 - 2
        assert len(register.waiting) <= connections.MOST_WAITING + 1


def test_one_address_has_only_so_many_connections_also_where_they_ask(
    site: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_OF_ADDRESS", 5)
    with ExitStack() as stack:
        held = [stack.enter_context(closing(open_one(site[1], POST + b"Content-Length: 9\r\n\r\n"))) for _ in range(8)]
        time.sleep(0.3)
        assert sum(closed_within(each, 0.05) for each in held) >= 3


def test_the_process_holds_no_more_connections_than_it_has_descriptors_for() -> None:
    most = make_room()
    assert 64 <= most <= connections.MOST
    import resource

    assert most + 64 <= resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_connections_of_a_proxy_are_those_of_many_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_PROXIES", "127.0.0.1, 10.0.0.0/8,::1")
    trusted = environment.read().SIGNOFF_PROXIES
    assert [is_proxy(each, trusted) for each in ("127.0.0.1", "10.2.3.4", "::1", "192.0.2.1", "", "unix")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


def test_many_honest_requests_at_once_are_all_answered(site: tuple[str, int]) -> None:
    answers: list[int] = []

    def ask() -> None:
        answers.extend(call(f"{site[0]}/healthz")[0] for _ in range(5))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 60 and set(answers) <= {200, 503}
