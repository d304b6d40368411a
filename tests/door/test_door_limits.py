"""What is too large, too deep or too much at once is refused in words, before it is read, on every route."""

import asyncio
import http.client
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.test import Client
from starlette.types import Message, Receive, Scope, Send

from research_app.door import limits
from research_app.door.limits import KIB, MIB, Limited, lane_of
from tests.factories import make_project, make_user
from tests.outside import served, token_for

pytestmark = pytest.mark.django_db(transaction=True)
ROUTES = {
    "/sign-in/": 16 * KIB,
    "/": 4 * MIB,
    "/projects/demo/candidates/1/revise/": 4 * MIB,
    "/nothing/at/all": 4 * MIB,
    "/api/v1/projects/demo/candidates": 4 * MIB,
    "/api/v1/nothing": 4 * MIB,
    "/mcp": 4 * MIB,
    "/git/demo.git/git-receive-pack": 20 * MIB,
    "/git/demo.git/git-upload-pack": 20 * MIB,
    "/healthz": 4 * MIB,
    "/static/css/base.css": 4 * MIB,
}


@pytest.fixture
def site() -> Iterator[str]:
    make_project()
    with served() as address:
        yield address.removeprefix("http://")


def send(
    site: str, path: str, size: int, *, chunked: bool = False, headers: dict[str, str] | None = None, method: str = "POST"
) -> tuple[int, str]:
    """A request with a body of zeros, sent without waiting for an answer; status and text."""
    connection = http.client.HTTPConnection(site, timeout=60)
    piece = bytes(1 << 20)
    body = (piece[: min(len(piece), size - at)] for at in range(0, size, len(piece)))
    sent = {"Content-Type": "application/octet-stream"} | (headers or {}) | ({} if chunked else {"Content-Length": str(size)})
    with suppress(BrokenPipeError, ConnectionResetError):  # it was answered before all was sent
        connection.request(method, path, body=body, headers=sent, encode_chunked=chunked)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def known() -> dict[str, str]:
    return {"Authorization": f"Bearer {token_for(make_user('ada', role='operator'))}"}


@pytest.mark.parametrize("chunked", [False, True], ids=["stated", "chunked"])
@pytest.mark.parametrize("path", ROUTES)
def test_a_hundred_megabytes_are_refused_on_every_route(site: str, path: str, chunked: bool) -> None:
    status, text = send(site, path, 100 * MIB, chunked=chunked, headers=known())
    assert status == 413, text
    most = ROUTES[path]
    assert f"at most {most // MIB} MB" in text or f"at most {most // KIB} KB" in text


@pytest.mark.parametrize("chunked", [False, True], ids=["stated", "chunked"])
def test_more_than_a_little_is_taken_only_from_who_is_known(site: str, chunked: bool) -> None:
    path = "/api/v1/projects/demo/candidates"
    status, text = send(site, path, MIB, chunked=chunked)
    assert status == 401 and "64 KB" in text
    assert send(site, path, MIB, chunked=chunked, headers={"Authorization": "Bearer signoff_wrong"})[0] == 401
    assert send(site, path, MIB, chunked=chunked, headers={"Cookie": "signoff_session_8000=abc"})[0] == 401
    assert send(site, path, MIB, chunked=chunked, headers=known())[0] in (400, 422)


def test_a_signed_in_person_may_send_a_long_patch(site: str) -> None:
    client = Client()
    client.force_login(make_user("grace"))
    cookie = {"Cookie": "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())}
    assert send(site, "/projects/demo/notes/", MIB, headers=cookie)[0] == 403, "it gets as far as the form's token"


def test_nothing_of_a_body_that_is_stated_to_be_too_large_is_read(site: str) -> None:
    begun = time.monotonic()
    connection = http.client.HTTPConnection(site, timeout=10)
    connection.putrequest("POST", "/sign-in/")
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    assert connection.getresponse().status == 413
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/?q=" + "a" * 9000, 414),
        ("/" + "a" * 5000, 414),
        ("/api/v1/projects?q=" + "a" * 9000, 414),
        ("/?q=" + "a" * 7000, 302),
    ],
)
def test_addresses_and_queries_are_bounded(site: str, path: str, status: int) -> None:
    connection = http.client.HTTPConnection(site, timeout=10)
    connection.request("GET", path)
    assert connection.getresponse().status == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [({f"X-{n}": "1" for n in range(150)}, 431), ({"X-Long": "a" * 40_000}, 431), ({"Cookie": "a" * 20_000}, 302)],
)
def test_headers_are_bounded(site: str, headers: dict[str, str], status: int) -> None:
    connection = http.client.HTTPConnection(site, timeout=10)
    connection.request("GET", "/", headers=headers)
    assert connection.getresponse().status == status


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "9" * 30])
def test_a_length_that_is_no_number_is_refused(site: str, length: str) -> None:
    connection = http.client.HTTPConnection(site, timeout=10)
    connection.putrequest("POST", "/sign-in/")
    connection.putheader("Content-Length", length)
    connection.endheaders()
    assert connection.getresponse().status in (400, 413)


@pytest.mark.parametrize("open_", ['{"a":', "[", '{"a":[', '[{"edits":'])
@pytest.mark.parametrize("path", ["/api/v1/projects/demo/candidates", "/mcp"])
def test_json_that_is_nested_without_end_is_refused_and_holds_nobody_up(site: str, path: str, open_: str) -> None:
    connection = http.client.HTTPConnection(site, timeout=30)
    begun = time.monotonic()
    headers = known() | {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    connection.request("POST", path, body=open_ * 200_000, headers=headers)
    answer = connection.getresponse()
    assert answer.status in (400, 422), answer.read()
    assert time.monotonic() - begun < 5


def test_a_query_with_very_many_parameters_is_refused_or_answered(site: str) -> None:
    connection = http.client.HTTPConnection(site, timeout=10)
    connection.request("GET", "/sign-in/?" + "&".join("a" for _ in range(4000)))
    assert connection.getresponse().status in (200, 400, 414)


# How many at once: the limits around an application that does not end.


def scope_of(path: str, method: str = "POST", **headers: str) -> Scope:
    return {
        "type": "http", "path": path, "raw_path": path.encode(), "method": method, "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip


class Crowd:
    """An application that keeps whoever comes until it is let go, and counts."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self.open = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.open.wait()
        finally:
            self.inside -= 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def asked(limited: Limited, scope: Scope) -> tuple[int, dict[str, str]]:
    found: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def answer(message: Message) -> None:
        found.append(message)

    await limited(scope, receive, answer)
    return found[0]["status"], {name.decode(): value.decode() for name, value in found[0]["headers"]}


@pytest.mark.parametrize(
    ("path", "method", "lane"),
    [
        ("/sign-in/", "POST", "sign-in"), ("/sign-in/", "GET", "pages"), ("/git/demo.git/git-receive-pack", "POST", "git"),
        ("/git/demo.git/info/refs", "GET", "git"), ("/api/v1/projects/demo/candidates", "POST", "submissions"),
        ("/api/v1/projects", "GET", "pages"), ("/mcp", "POST", "mcp"), ("/", "GET", "pages"),
    ],
)  # fmt: skip
def test_requests_of_one_kind_wait_for_each_other_and_not_for_others(path: str, method: str, lane: str) -> None:
    assert lane_of(scope_of(path, method)) == lane

    async def crowd() -> None:
        inner = Crowd()
        limited = Limited(inner, lambda headers: True)
        bounds = limits.lanes()[lane]
        tasks = [
            asyncio.create_task(asked(limited, scope_of(path, method))) for _ in range(bounds.at_once + bounds.waiting + 20)
        ]
        for _ in range(100):
            await asyncio.sleep(0.1)
            if inner.inside == bounds.at_once and sum(task.done() for task in tasks) == 20:
                break
        assert inner.most == bounds.at_once
        refused = [task.result() for task in tasks if task.done()]
        assert len(refused) == 20 and {status for status, _ in refused} == {503}
        assert all(int(headers["retry-after"]) > 0 for _, headers in refused)
        other = "/nothing" if lane != "pages" else "/git/demo.git/info/refs"
        beside = asyncio.create_task(asked(limited, scope_of(other, "GET")))
        await asyncio.sleep(0.05)
        assert inner.inside == bounds.at_once + 1, "another kind has its own places"
        inner.open.set()
        assert {status for status, _ in await asyncio.gather(*tasks, beside)} == {200, 503}
        assert inner.inside == 0 and inner.most == bounds.at_once + 1

    asyncio.run(crowd())


def test_who_waits_too_long_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WAIT", 0.1)

    async def crowd() -> None:
        inner = Crowd()
        limited = Limited(inner, lambda headers: True)
        tasks = [asyncio.create_task(asked(limited, scope_of("/git/demo.git/info/refs", "GET"))) for _ in range(3)]
        await asyncio.sleep(0.4)
        [late] = [task for task in tasks if task.done()]
        assert late.result()[0] == 503
        inner.open.set()
        await asyncio.gather(*tasks)

    asyncio.run(crowd())


def test_a_slow_body_takes_nobodys_place() -> None:
    async def crowd() -> None:
        inner = Crowd()
        inner.open.set()
        limited = Limited(inner, lambda headers: True)

        async def slowly() -> Message:
            await asyncio.sleep(60)
            raise AssertionError

        async def nowhere(message: Message) -> None: ...

        slow = scope_of("/git/demo.git/git-receive-pack", **{"content-length": "100"})
        hangs = [asyncio.create_task(limited(slow, slowly, nowhere)) for _ in range(50)]
        await asyncio.sleep(0.05)
        assert (await asked(limited, scope_of("/git/demo.git/info/refs", "GET")))[0] == 200
        for task in hangs:
            task.cancel()
        await asyncio.gather(*hangs, return_exceptions=True)

    asyncio.run(crowd())


def test_a_body_reaches_the_application_as_it_was_sent() -> None:
    sent = [json.dumps({"n": n, "text": "é" * 1000}).encode() for n in range(300)]

    async def through() -> bytes:
        taken: list[bytes] = []

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            more = True
            while more:
                message: Any = await receive()
                taken.append(message["body"])
                more = message["more_body"]

        pieces = iter(sent)

        async def receive() -> Message:
            piece = next(pieces, b"")
            return {"type": "http.request", "body": piece, "more_body": bool(piece)}

        async def send(message: Message) -> None: ...

        scope = scope_of("/api/v1/projects/demo/candidates", **{"transfer-encoding": "chunked"})
        await Limited(application, lambda headers: True)(scope, receive, send)
        return b"".join(taken)

    assert asyncio.run(through()) == b"".join(sent)
