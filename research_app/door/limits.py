"""Limits: how large a request may be, who may send a large one, and how many are at work at once.

A body is read here, in front of the application and of any place among those at work, so that a slow sender takes nobody's
place. What is too large is refused from its stated length, or as soon as it grows past the limit; what is large at all is taken
only from somebody who is known, because it has to be kept somewhere until it is whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile

from asgiref.sync import sync_to_async
from starlette.types import ASGIApp, Message, Receive, Scope, Send

KIB, MIB = 1 << 10, 1 << 20
SMALL = 64 * KIB  # anybody may send so much
IN_MEMORY = 256 * KIB  # of one body; the rest is on the disk
LARGE_AT_ONCE = 8  # bodies above SMALL that are read at the same time
LONGEST_QUERY = 8 * KIB
LONGEST_PATH = 4 * KIB
MOST_HEADERS = 100
LARGEST_HEAD = 32 * KIB  # of all headers together
WAIT = 30.0  # seconds that a request waits for its turn
CHUNK = 64 * KIB
DRAIN_SECONDS, DRAIN_BYTES = 3.0, 256 * MIB  # of what a refused client still sends, so that it reads the answer


@dataclass
class Lane:
    """A kind of request: the largest body, how many are at work at once and for how long, and how many more may wait."""

    body: int
    at_once: int
    waiting: int
    seconds: float = 120.0
    here: int = 0  # at work or waiting
    turns: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.turns = asyncio.Semaphore(self.at_once)


def lanes() -> Mapping[str, Lane]:
    """The lanes of one process."""
    return {
        "sign-in": Lane(16 * KIB, at_once=2, waiting=16),  # hashing a password takes a core for a third of a second
        "git": Lane(20 * MIB, at_once=2, waiting=8, seconds=600.0),
        "submissions": Lane(4 * MIB, at_once=3, waiting=32),  # checked with git and parsed, before they are answered
        "mcp": Lane(4 * MIB, at_once=64, waiting=64, seconds=700.0),  # a tool may wait ten minutes, without a thread
        "pages": Lane(4 * MIB, at_once=24, waiting=500),
    }


def lane_of(scope: Scope) -> str:
    """Which lane a request takes."""
    path, changes = scope["path"], scope["method"] not in ("GET", "HEAD")
    if path.startswith("/sign-in/") and changes:
        return "sign-in"
    if path.startswith("/git/"):
        return "git"
    if path in ("/mcp", "/mcp/"):
        return "mcp"
    return "submissions" if path.startswith("/api/") and changes else "pages"


class Refused(Exception):
    """The request is not taken: a status and a sentence."""

    def __init__(self, status: int, sentence: str, retry: int = 0) -> None:
        super().__init__(sentence)
        self.status = status
        self.retry = retry


class Limited:
    """An application behind these limits."""

    def __init__(self, inner: ASGIApp, is_known: Callable[[Mapping[bytes, bytes]], bool]) -> None:
        """`is_known`: whether the headers are of somebody with a valid token or session (it may ask the database)."""
        self.inner = inner
        self.is_known = sync_to_async(is_known)
        self.lanes: Mapping[str, Lane] = {}
        self.large: asyncio.Semaphore | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        if self.large is None:  # here, in the loop that serves
            self.lanes, self.large = lanes(), asyncio.Semaphore(LARGE_AT_ONCE)
        lane = self.lanes[lane_of(scope)]
        try:
            check_head(scope)
            body = await self._body(scope, receive, lane)
        except Refused as refusal:
            await refuse(send, receive, scope, refusal)
            return
        with body:
            try:
                async with turn(lane), asyncio.timeout(lane.seconds):
                    await self.inner(scope, replay(body, receive), send)
            except Refused as refusal:
                await refuse(send, receive, scope, refusal)

    async def _body(self, scope: Scope, receive: Receive, lane: Lane) -> SpooledTemporaryFile[bytes]:
        """The whole body. Raises Refused."""
        headers = dict(scope["headers"])
        stated = stated_length(headers)
        if stated is not None and stated > lane.body:
            raise too_large(lane.body)
        body: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  whoever gets it closes it
        holds = False
        try:
            if stated is not None and stated > SMALL:
                holds = await self._may_be_large(headers)
            size = 0
            async for piece in pieces(receive):
                size += len(piece)
                if size > lane.body:
                    raise too_large(lane.body)
                if size > SMALL and not holds:
                    holds = await self._may_be_large(headers)
                body.write(piece)
        except BaseException:
            body.close()
            raise
        finally:
            if holds and self.large:
                self.large.release()
        body.seek(0)
        return body

    async def _may_be_large(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether the sender is known, and there is room for one more. Raises Refused."""
        assert self.large is not None
        if not await self.is_known(headers):
            raise Refused(401, f"More than {SMALL // KIB} KB are taken only from who is signed in or sends a valid token.")
        try:
            await asyncio.wait_for(self.large.acquire(), WAIT)
        except TimeoutError:
            raise Refused(503, "Too many large requests are being sent. Try again in a moment.", retry=10) from None
        return True


@asynccontextmanager
async def turn(lane: Lane) -> AsyncIterator[None]:
    """A place among those of a lane that are at work. Raises Refused where too many wait, or it takes too long."""
    if lane.here >= lane.at_once + lane.waiting:
        raise Refused(503, "Too many requests of this kind are at work. Try again in a moment.", retry=5)
    lane.here += 1
    try:
        try:
            await asyncio.wait_for(lane.turns.acquire(), WAIT)
        except TimeoutError:
            raise Refused(503, f"It was not its turn within {WAIT:.0f} s. Try again in a moment.", retry=10) from None
        try:
            yield
        finally:
            lane.turns.release()
    finally:
        lane.here -= 1


def too_large(most: int) -> Refused:
    """What says so."""
    size = f"{most // MIB} MB" if most >= MIB else f"{most // KIB} KB"
    return Refused(413, f"The body is too large: at most {size} are taken here.")


def stated_length(headers: Mapping[bytes, bytes]) -> int | None:
    """The Content-Length; None without one. Raises Refused where it is no number."""
    stated = headers.get(b"content-length")
    if stated is None:
        return None
    if not stated.isdigit() or len(stated) > 18:
        raise Refused(400, "The Content-Length is no number.")
    return int(stated)


def check_head(scope: Scope) -> None:
    """Raises Refused where address, query or headers are longer than any honest client's."""
    if len(scope.get("query_string", b"")) > LONGEST_QUERY:
        raise Refused(414, f"The query is too long: at most {LONGEST_QUERY // KIB} KB are taken.")
    if len(scope.get("raw_path") or b"") > LONGEST_PATH:
        raise Refused(414, f"The address is too long: at most {LONGEST_PATH // KIB} KB are taken.")
    if len(scope["headers"]) > MOST_HEADERS:
        raise Refused(431, f"There are too many headers: at most {MOST_HEADERS} are taken.")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > LARGEST_HEAD:
        raise Refused(431, f"The headers are too long: at most {LARGEST_HEAD // KIB} KB are taken.")


async def pieces(receive: Receive) -> AsyncIterator[bytes]:
    """A body as it comes. Raises Refused where the client is gone."""
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused(400, "The request ended early.")
        more = message.get("more_body", False)
        yield message.get("body", b"")


def replay(body: SpooledTemporaryFile[bytes], receive: Receive) -> Receive:
    """The body again, piece by piece; then whatever the client does next."""
    done = False

    async def again() -> Message:
        nonlocal done
        if done:
            return await receive()
        piece = body.read(CHUNK)
        done = len(piece) < CHUNK
        return {"type": "http.request", "body": piece, "more_body": not done}

    return again


async def refuse(send: Send, receive: Receive, scope: Scope, refusal: Refused) -> None:
    """Answer in one line, and read on for a moment: a client that is still sending would not see an answer otherwise."""
    problem = scope["path"].startswith(("/api/", "/mcp"))
    text = _problem(refusal) if problem else f"{refusal}\n"
    kind = b"application/problem+json" if problem else b"text/plain; charset=utf-8"
    headers = [(b"content-type", kind), (b"content-length", str(len(text.encode())).encode()), (b"connection", b"close")]
    if refusal.retry:
        headers.append((b"retry-after", str(refusal.retry).encode()))
    if refusal.status == 401:
        headers.append((b"www-authenticate", b'Basic realm="signoff"' if scope["path"].startswith("/git/") else b"Bearer"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
    if refusal.status in (401, 413):
        with suppress(TimeoutError, Refused):
            await asyncio.wait_for(_drain(receive), DRAIN_SECONDS)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drain(receive: Receive) -> None:
    """Read and forget, up to a bound."""
    size, until = 0, time.monotonic() + DRAIN_SECONDS
    async for piece in pieces(receive):
        size += len(piece)
        if size > DRAIN_BYTES or time.monotonic() > until:
            return


def _problem(refusal: Refused) -> str:
    from research_app.door.problem import problem

    return problem(refusal.status, str(refusal)).content.decode()
