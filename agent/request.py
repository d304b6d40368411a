"""One request to the Messages API: streamed, within a deadline, every failure named, its tokens known or bounded.

The SDK retries what the service refused before it did any work (429, 5xx). What may have been worked on and paid for (an
answer that broke off, a request without an answer) is not repeated here: the caller first finds room for it in the budget.
"""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import anthropic
import httpx2
from anthropic.types import Usage as Billed

from agent.failure import ConversationFailed, Failure
from agent.prices import Usage

SILENCE = 120.0  # seconds without a byte; the service sends a ping more often
RETRIES = 4
STATUS = {
    401: Failure.NO_KEY,
    403: Failure.NO_KEY,
    402: Failure.NO_KEY,
    408: Failure.TIMED_OUT,
    429: Failure.RATE_LIMITED,
    504: Failure.TIMED_OUT,
    529: Failure.OVERLOADED,
}
TYPES = {
    "overloaded_error": Failure.OVERLOADED,
    "rate_limit_error": Failure.RATE_LIMITED,
    "authentication_error": Failure.NO_KEY,
    "permission_error": Failure.NO_KEY,
    "billing_error": Failure.NO_KEY,
    "invalid_request_error": Failure.BAD_REQUEST,
    "not_found_error": Failure.BAD_REQUEST,
    "timeout_error": Failure.TIMED_OUT,
}
ADVICE = {
    Failure.NO_KEY: "Look at ANTHROPIC_API_KEY of the agent's worker and at the account.",
    Failure.BAD_REQUEST: "Look at the model named under [agents] in the project file.",
}


class Unclear(Exception):
    """No answer came, and nobody knows whether the service worked on it: it counts in full."""

    def __init__(self, failure: Failure, reason: str) -> None:
        super().__init__(reason)
        self.failure = failure


class NotSent(ConversationFailed):
    """The request was not sent, or was refused before any work: it costs nothing."""


@dataclass(frozen=True)
class Call:
    """A tool that the model called. `problem` says why the input cannot be used; it is None then."""

    id: str
    name: str
    input: dict[str, Any] | None
    problem: str = ""


@dataclass
class Answer:
    """What came back, whole or not. `blocks` are the API's own, fit to be sent again as long as `whole`."""

    blocks: list[dict[str, Any]] = field(default_factory=list)
    stop_reason: str = ""
    usage: Usage | None = None  # None: the service did not say
    prompt: int | None = None  # tokens of the prompt, where only these were told
    failure: Failure | None = None  # why it is not whole
    reason: str = ""
    refusal: str = ""
    request_id: str = ""
    seconds: float = 0.0
    calls: list[Call] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """True when the answer came to its end."""
        return self.failure is None

    def charged(self, prompt: int, most: int) -> Usage:
        """What it costs: as the service said, or where it did not, all that it can have been."""
        if self.usage is not None:
            return self.usage
        return Usage(input=self.prompt if self.prompt is not None else prompt, output=most)


class ConversationDeadline(anthropic.Middleware):
    """Keeps every attempt of every request within the time that is left, and sees to it that a stop is heard."""

    def __init__(self, deadline: float, should_stop: Callable[[], str | None] = lambda: None) -> None:
        self.deadline = deadline  # by time.monotonic()
        self.should_stop = should_stop

    def check(self) -> None:
        """Raises ConversationFailed when somebody asked to stop, or time is up."""
        if reason := self.should_stop():
            raise ConversationFailed(Failure.STOPPED, reason)
        if time.monotonic() > self.deadline:
            raise ConversationFailed(Failure.TIMED_OUT, "The conversation took longer than [agents] seconds allows.")

    @property
    def left(self) -> float:
        """Seconds."""
        return max(0.1, self.deadline - time.monotonic())

    def handle(self, request: Any, call_next: Any) -> Any:
        try:
            self.check()
        except ConversationFailed as failed:
            raise NotSent(failed.failure, str(failed)) from None
        try:
            response = call_next(request)
        except anthropic.APIConnectionError as error:
            if isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout):
                raise  # nothing was sent: the SDK tries again
            slow = isinstance(error, anthropic.APITimeoutError)
            # Not as its cause: the SDK would look through it and repeat the request.
            raise Unclear(Failure.TIMED_OUT if slow else Failure.UNREACHABLE, _said(error.__cause__ or error)) from None
        raw = response.http_response
        if (wait := retry_after(raw.headers)) and not raw.is_success and wait > self.left:
            reason = (
                f"The service answered {raw.status_code} and asks to wait {wait:,.0f} s: longer than this conversation may."
            )
            raise NotSent(STATUS.get(raw.status_code, Failure.SERVER_ERROR), reason, wait)
        raw.stream = Watched(raw.stream, self.check)
        return response


class Watched(httpx2.SyncByteStream):
    """A response body that is checked at every piece of it: pings that go on for ever do not keep it alive."""

    def __init__(self, stream: Any, check: Callable[[], None]) -> None:
        self.stream = stream
        self.check = check

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.stream:
            self.check()
            yield piece

    def close(self) -> None:
        self.stream.close()


def connect(
    key: str, base_url: str, deadline: ConversationDeadline, retries: int = RETRIES, silence: float = SILENCE
) -> anthropic.Anthropic:
    """A client that takes nothing from the environment or from profiles on disk but proxies."""
    timeout = anthropic.Timeout(min(silence, deadline.left), connect=min(10.0, deadline.left))
    return anthropic.Anthropic(
        api_key=key,
        base_url=base_url or "https://api.anthropic.com",
        timeout=timeout,
        max_retries=retries,
        middleware=[deadline],
    )


def count(client: anthropic.Anthropic, request: Mapping[str, Any]) -> int:
    """Tokens of the prompt as the service counts them; where it cannot, their number of bytes, which is never less."""
    counted_fields = {name: request[name] for name in ("model", "messages", "system", "tools") if name in request}
    try:
        return client.messages.count_tokens(**counted_fields).input_tokens
    except (anthropic.APIError, Unclear, ValueError, httpx2.HTTPError):
        return len(json.dumps(counted_fields, ensure_ascii=False).encode())


def ask(client: anthropic.Anthropic, request: Mapping[str, Any]) -> Answer:
    """Send one request and read its answer as it comes. What goes wrong is in the answer, or raises ConversationFailed.

    The SDK's events are put together here and not by the SDK, which stops at the first piece of a call that is no JSON and
    so never hears what the answer cost. Raises ConversationFailed where the service refused it without work, which is free.
    """
    started, answer, reader = time.monotonic(), Answer(), _Reader()
    try:
        with client.messages.create(**request, stream=True) as stream:
            answer.request_id = stream.response.headers.get("request-id", "")
            for event in stream:
                reader.take(event)
    except anthropic.APIStatusError as error:
        failure = failure_of(error)
        if not reader.started and error.status_code >= 400:
            raise ConversationFailed(failure, f"{_said(error)} {ADVICE.get(failure, '')}".strip()) from None
        answer.failure, answer.reason = failure, f"The answer broke off: {_said(error)}"
    except Unclear as error:
        answer.failure, answer.reason = error.failure, f"No answer came: {error}"
    except anthropic.APIConnectionError as error:
        raise ConversationFailed(
            Failure.UNREACHABLE, f"The service cannot be reached: {_said(error.__cause__ or error)}"
        ) from None
    except httpx2.HTTPError as error:
        slow = isinstance(error, httpx2.TimeoutException)
        answer.failure = Failure.TIMED_OUT if slow else Failure.BROKEN_STREAM
        answer.reason = f"The answer broke off: {'nothing more came in time' if slow else _said(error)}"
    except NotSent:
        raise
    except ConversationFailed as error:  # stopped, or out of time, in the middle of the answer
        answer.failure, answer.reason = error.failure, str(error)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError) as error:  # what cannot be read
        answer.failure, answer.reason = Failure.BROKEN_STREAM, f"The answer cannot be read: {_said(error)}"
    answer.seconds = time.monotonic() - started
    reader.finish(answer)
    return answer


PIECES = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
}
"""Kind of a piece → its own field, and the field of the block that it is added to."""


class _Reader:
    """Puts the events of a stream together as they come, so that what was said is known when it breaks off."""

    def __init__(self) -> None:
        self.blocks: dict[int, dict[str, Any]] = {}
        self.inputs: dict[int, str] = {}  # of each block: the input of a tool as it was written
        self.usage: Usage | None = None
        self.started = self.billed = self.ended = False
        self.stop_reason = self.refusal = ""

    def take(self, event: Any) -> None:
        """Add one event."""
        if event.type == "message_start":
            self.started, self.usage = True, usage_of(event.message.usage)
        elif event.type == "content_block_start":
            self.blocks[event.index] = event.content_block.to_dict(mode="json")
        elif event.type == "content_block_delta" and event.delta.type == "input_json_delta":
            self.inputs[event.index] = self.inputs.get(event.index, "") + event.delta.partial_json
        elif event.type == "content_block_delta" and event.delta.type in PIECES:
            piece, name = PIECES[event.delta.type]
            block = self.blocks[event.index]
            block[name] = (block.get(name) or "") + getattr(event.delta, piece)
        elif event.type == "message_delta":
            self.billed, self.usage = True, _corrected(self.usage or Usage(), event.usage)
            self.stop_reason = event.delta.stop_reason or ""
            if details := event.delta.stop_details:
                self.refusal = ": ".join(filter(None, [details.category, details.explanation]))
        elif event.type == "message_stop":
            self.ended = True

    def finish(self, answer: Answer) -> None:
        """Fill in what is known."""
        if self.usage is None:
            if answer.whole:
                answer.failure, answer.reason = Failure.BROKEN_STREAM, "The answer broke off before it began."
            return
        answer.prompt, answer.refusal = self.usage.prompt, self.refusal
        if self.billed:
            answer.usage, answer.stop_reason = self.usage, self.stop_reason
        if answer.whole and not self.ended:
            answer.failure, answer.reason = Failure.BROKEN_STREAM, "The answer broke off in the middle."
        for index, block in sorted(self.blocks.items()):
            if block["type"] == "tool_use":
                call = _call(block, self.inputs.get(index, ""))
                answer.calls.append(call)
                answer.blocks.append({**block, "input": call.input or {}})  # the service takes nothing but an object back
            elif block.get("text") or block.get("signature") or block["type"] == "redacted_thinking":
                answer.blocks.append(block)


def _corrected(usage: Usage, billed: Any) -> Usage:
    """The usage as the end of an answer says it: its counts take the place of those that the beginning gave."""
    given = {
        "input": billed.input_tokens,
        "cache_write": billed.cache_creation_input_tokens,
        "cache_read": billed.cache_read_input_tokens,
        "output": billed.output_tokens,
    }
    return replace(usage, **{name: count for name, count in given.items() if count is not None})


def _call(block: dict[str, Any], written: str) -> Call:
    """The call, if its input as written is a JSON object: the SDK also takes the beginning of one."""
    identity, name = str(block.get("id", "")), str(block.get("name", ""))
    try:
        arguments = json.loads(written) if written else block.get("input")
    except ValueError as error:
        return Call(identity, name, None, f"The input is not valid JSON: {error}.")
    if not isinstance(arguments, dict):
        return Call(identity, name, None, f"The input must be a JSON object, not {type(arguments).__name__}.")
    return Call(identity, name, arguments)


def usage_of(billed: Billed) -> Usage:
    """Our four kinds of tokens."""
    return Usage(
        input=billed.input_tokens or 0,
        cache_write=billed.cache_creation_input_tokens or 0,
        cache_read=billed.cache_read_input_tokens or 0,
        output=billed.output_tokens or 0,
    )


def failure_of(error: anthropic.APIStatusError) -> Failure:
    """By the type that the service gives, else by the status."""
    if failure := TYPES.get(str(error.type)):
        return failure
    if failure := STATUS.get(error.status_code):
        return failure
    return Failure.BAD_REQUEST if 400 <= error.status_code < 500 else Failure.SERVER_ERROR


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a refusal asks to wait; None where it does not say."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return float(milliseconds) / 1000
        given = headers.get("retry-after", "")
        return (
            float(given)
            if given.replace(".", "", 1).isdigit()
            else email.utils.parsedate_to_datetime(given).timestamp() - time.time()
        )
    except ValueError:
        return None


def _said(error: BaseException) -> str:
    """What an error says, on one line and not too long."""
    if isinstance(error, anthropic.APIStatusError):
        return f"The service answered {error.status_code}: {' '.join((error.api_message or error.message).split())[:500]}"
    return " ".join(f"{type(error).__name__} {error}".split())[:500]
