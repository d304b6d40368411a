"""A local server that speaks the Messages API over real HTTP: streams, counts tokens, caches prompts, goes wrong on cue.

A test gives it a model: a list of replies, taken in turn, or a function from the request to a reply. Tokens are counted here
by one rule for counting and for billing, and an answer never has more than the request's `max_tokens`.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-ant-test-5c1e0a6fd24b4bb1a6e0c9a1f2d7e8b3"
Block = dict[str, Any]


@dataclass(frozen=True)
class Say:
    """An answer. `cut` sends only so many events and then closes the connection; `written` replaces a tool's JSON."""

    blocks: Sequence[Block]
    stop: str = ""  # "" follows from the blocks
    output_tokens: int | None = None
    cut: int | None = None
    written: str | None = None
    garbage: bool = False  # an event whose data is not JSON
    error: str = ""  # an error event of this type after the beginning
    details: Mapping[str, Any] | None = None
    surplus: int = 0  # tokens of the prompt that are billed beyond the count
    slow: float = 0.0  # seconds between two events


@dataclass(frozen=True)
class Fail:
    """A refusal with a status."""

    status: int
    type: str = "api_error"
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "the test says so"


@dataclass(frozen=True)
class Trickle:
    """An answer that never ends: it begins, and then only pings come, so many seconds apart. 0 pings: silence."""

    every: float = 0.05
    seconds: float = 30.0


Reply = Say | Fail | Trickle
Model = Sequence[Reply] | Callable[[dict[str, Any]], Reply]


def text(words: str) -> Block:
    return {"type": "text", "text": words}


def call(name: str, **given: Any) -> Say:
    """An answer that calls one tool."""
    return calls((name, given))


def calls(*named: tuple[str, Mapping[str, Any]]) -> Say:
    """An answer that thinks, says a word and calls tools."""
    thinking = {"type": "thinking", "thinking": "", "signature": "c2lnbmVk"}
    uses = [{"type": "tool_use", "name": name, "input": dict(given)} for name, given in named]
    return Say([thinking, text("Let me see."), *uses])


SUBMISSION: dict[str, Any] = {
    "hypothesis": "A larger learning rate comes nearer to the optimum within the budget",
    "category": "optimiser",
    "expected_effect": "a lower loss by 0.01, at no cost",
    "how_it_could_be_wrong": "If the noise between seeds is larger than the gain",
}


def submit(**other: Any) -> Say:
    return call("submit", **{**SUBMISSION, **other})


def edit(old: str, new: str, path: str = "train.py") -> Say:
    return call("edit_file", path=path, old=old, new=new)


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, address: Any) -> None:
        """A client that hangs up in the middle is part of some tests."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, address)


class MessagesServer:
    """Use it as a context manager. `requests` holds what came to /v1/messages, `heads` the headers of everything that came."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.requests: list[dict[str, Any]] = []
        self.answered: list[Reply] = []
        self.heads: list[dict[str, str]] = []
        self.billed: list[dict[str, int]] = []
        self.counts = 0
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.cache: set[str] = set()
        self.ids = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                server.handle(self)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.http = _Http(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def __enter__(self) -> MessagesServer:
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    @property
    def tokens(self) -> int:
        """All tokens that were billed."""
        return sum(sum(bill.values()) for bill in self.billed)

    def handle(self, http: BaseHTTPRequestHandler) -> None:
        body = json.loads(http.rfile.read(int(http.headers["content-length"])))
        self.heads.append({name.lower(): value for name, value in http.headers.items()})
        if http.headers.get("authorization") != f"Bearer {KEY}" and http.headers.get("x-api-key") != KEY:
            self.refuse(http, Fail(401, "authentication_error", message=f"invalid key {http.headers.get('authorization')}"))
        elif http.path.startswith("/v1/messages/count_tokens"):
            self.counts += 1
            self.send(http, {"input_tokens": prompt_tokens(body)})
        else:
            with self.lock:
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                self.answer(http, body, self.next(body))
            except (BrokenPipeError, ConnectionResetError):
                http.close_connection = True
            finally:
                with self.lock:
                    self.at_once -= 1

    def next(self, body: dict[str, Any]) -> Reply:
        with self.lock:
            self.requests.append(body)
            if not callable(self.model):
                used = len(self.answered)
                assert used < len(self.model), f"the model of this test has {len(self.model)} replies, one more was asked for"
                self.answered.append(self.model[used])
                return self.answered[-1]
        return self.model(body)  # outside the lock: it may wait for another request

    def answer(self, http: BaseHTTPRequestHandler, body: dict[str, Any], reply: Reply) -> None:
        if isinstance(reply, Fail):
            self.refuse(http, reply)
            return
        assert body["stream"] is True
        http.send_response(200)
        http.send_header("content-type", "text/event-stream")
        http.send_header("request-id", f"req_{len(self.requests)}")
        http.send_header("connection", "close")
        http.end_headers()
        http.close_connection = True
        bill = self.bill(body)
        if isinstance(reply, Trickle):
            self.event(http, start(body, bill))
            end = time.monotonic() + reply.seconds
            while time.monotonic() < end:
                time.sleep(reply.every)
                self.event(http, {"type": "ping"})
            return
        bill["input_tokens"] += reply.surplus
        events = list(self.events(body, reply, bill))
        sent = events if reply.cut is None else events[: reply.cut]
        self.billed.append(bill)
        for event in sent:
            time.sleep(reply.slow)
            if reply.garbage and event["type"] == "content_block_stop":
                http.wfile.write(b"event: content_block_stop\ndata: {not json\n\n")
                continue
            self.event(http, event)
            if reply.error and event["type"] == "message_start":
                self.event(http, {"type": "error", "error": {"type": reply.error, "message": "Overloaded"}})
                return

    def events(self, body: dict[str, Any], reply: Say, bill: dict[str, int]) -> Iterator[dict[str, Any]]:
        """The events of an answer, cut off at the longest length that the request allows."""
        yield start(body, bill)
        most, used, stop = body["max_tokens"], 0, reply.stop
        for index, given in enumerate(reply.blocks):
            block = dict(given)
            if block["type"] == "tool_use":
                self.ids += 1
                block["id"] = f"toolu_{self.ids}"
            yield {"type": "content_block_start", "index": index, "content_block": empty(block)}
            pieces = list(written(block, reply.written))
            for kind, piece in pieces:
                room = most - used
                size = tokens_of(piece)
                part = piece if size <= room or kind == "signature" else piece[: room * 4]
                used = min(most, used + size)
                yield {"type": "content_block_delta", "index": index, "delta": delta(kind, part)}
                if size > room:
                    stop = "max_tokens"
                    break
            yield {"type": "content_block_stop", "index": index}
            if stop == "max_tokens":
                break
        bill["output_tokens"] = min(most, used if reply.output_tokens is None else reply.output_tokens)
        if reply.output_tokens is not None and reply.output_tokens > most:
            stop = "max_tokens"
        stop = stop or ("tool_use" if any(b["type"] == "tool_use" for b in reply.blocks) else "end_turn")
        told = {"stop_reason": stop, "stop_sequence": None, "stop_details": reply.details}
        yield {"type": "message_delta", "delta": told, "usage": {"output_tokens": bill["output_tokens"]}}
        yield {"type": "message_stop"}

    def bill(self, body: dict[str, Any]) -> dict[str, int]:
        """Tokens of the prompt: read from the cache as far as it was there before, written to it, or neither."""
        whole, known, marked = prompt_tokens(body), 0, 0
        for prefix, size in prefixes(body):
            marked = size
            if prefix in self.cache:
                known = size
            self.cache.add(prefix)
        return {
            "input_tokens": whole - marked,
            "cache_creation_input_tokens": marked - known,
            "cache_read_input_tokens": known,
            "output_tokens": 0,
        }

    def refuse(self, http: BaseHTTPRequestHandler, fail: Fail) -> None:
        answer = {"type": "error", "error": {"type": fail.type, "message": fail.message}}
        self.send(http, answer, fail.status, fail.headers)

    def send(
        self, http: BaseHTTPRequestHandler, answer: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        raw = json.dumps(answer).encode()
        http.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(raw)), **(headers or {})}.items():
            http.send_header(name, value)
        http.end_headers()
        http.wfile.write(raw)

    def event(self, http: BaseHTTPRequestHandler, event: dict[str, Any]) -> None:
        http.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        http.wfile.flush()


def tokens_of(part: str) -> int:
    """Four characters a token, at least one."""
    return (len(part) + 3) // 4


def prompt_tokens(body: Mapping[str, Any]) -> int:
    """Of everything that goes in, without the marks of the cache."""
    return tokens_of("".join(size_of(part) for part in parts_of(body)))


def parts_of(body: Mapping[str, Any]) -> Iterator[Any]:
    yield from body.get("tools", [])
    yield from body.get("system", [])
    for message in body["messages"]:
        yield from ({"role": message["role"], **block} for block in message["content"])


def size_of(part: Mapping[str, Any]) -> str:
    return json.dumps({name: value for name, value in part.items() if name != "cache_control"}, sort_keys=True)


def prefixes(body: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """(text up to each mark of the cache, its tokens)."""
    parts, so_far = list(parts_of(body)), ""
    for number, part in enumerate(parts, 1):
        so_far += size_of(part)
        if "cache_control" in part or (number == len(parts) and "cache_control" in body):
            yield so_far, tokens_of(so_far)


def start(body: Mapping[str, Any], bill: Mapping[str, int]) -> dict[str, Any]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": []}
    return {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": dict(bill)}}


def empty(block: Block) -> Block:
    if block["type"] == "tool_use":
        return {**block, "input": {}}
    return {**block, block["type"]: ""} | ({"signature": ""} if block["type"] == "thinking" else {})


def written(block: Block, instead: str | None) -> Iterator[tuple[str, str]]:
    """(kind, piece) of a block's content, a few words at a time."""
    if block["type"] == "thinking":
        yield "thinking", block["thinking"]
        yield "signature", block["signature"]
        return
    kind = "input_json" if block["type"] == "tool_use" else "text"
    whole = (json.dumps(block["input"]) if instead is None else instead) if kind == "input_json" else block["text"]
    for at in range(0, max(1, len(whole)), 400):
        yield kind, whole[at : at + 400]


def delta(kind: str, piece: str) -> dict[str, str]:
    name = {"input_json": "partial_json"}.get(kind, kind)
    return {"type": f"{kind}_delta", name: piece}
