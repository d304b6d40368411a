"""Conversations at random against the local Messages API: outages, slow streams, garbled calls, refusals, cut-offs.

Each is drawn from its seed with the end that it must come to and what it must cost, so that both are known without the product.
`python -m tests.agent.random_conversations 200 --seed 1` holds as many as one likes; the suite holds a few.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from agent.failure import Failure
from tests.messages_server import Fail, MessagesServer, Reply, Say, call, edit, prompt_tokens, submit, text

AT_ONCE = {"x-should-retry": "false"}
SOON = {"retry-after-ms": "1"}
LOOK = call("read_file", path="train.py")
GARBLED = ('{"path": "tr', '{"path": tru!e}', '["train.py"]', "null")
ANSWER_TOKENS = 1200


def outage(chance: random.Random) -> Reply:
    """The service does no work, for a moment or until the conversation has rested."""
    status, kind = chance.choice([(429, "rate_limit_error"), (529, "overloaded_error"), (500, "api_error"), (503, "api_error")])
    return Fail(status, kind, chance.choice([AT_ONCE, SOON]))


def broken(chance: random.Random) -> Reply:
    """An answer that begins and does not come to its end."""
    how: list[dict[str, Any]] = [{"cut": 0}, {"cut": 1}, {"cut": 6}, {"garbage": True}, {"error": "overloaded_error"}]
    return replace(LOOK, **chance.choice(how))


def unusable(chance: random.Random) -> Reply:
    """An answer that comes whole and cannot be used."""
    return chance.choice(
        [
            replace(LOOK, written=chance.choice(GARBLED)),
            call("read_file", nonsense=1),
            call("shell", command="env"),
            Say([text("I am thinking about it.")]),
            Say([text("word " * 4 * ANSWER_TOKENS)]),
        ]
    )


def slow(chance: random.Random) -> Reply:
    """A good answer that takes its time."""
    return replace(LOOK, slow=0.004)


ENDS: dict[str, Callable[[random.Random], list[Reply]]] = {
    "": lambda chance: [edit("WIDTH = 96", f"WIDTH = {chance.randrange(10**6, 10**9)}"), submit()],
    Failure.GAVE_UP: lambda chance: [call("give_up", reason="Nothing is worth a run.")],
    Failure.REFUSED: lambda chance: [Say([text("No.")], stop="refusal")],
    Failure.CONTEXT_FULL: lambda chance: [Say([text("x")], stop="model_context_window_exceeded")],
    Failure.MALFORMED_CALL: lambda chance: [replace(LOOK, written=chance.choice(GARBLED)) for _ in range(3)],
    Failure.NO_CALL: lambda chance: [Say([text("Hm.")])] * 3,
    Failure.TRUNCATED: lambda chance: [Say([text("word " * 4 * ANSWER_TOKENS)])] * 3,
    Failure.BAD_REQUEST: lambda chance: [Fail(400, "invalid_request_error")],
}
SHARES = (10, 3, 2, 1, 2, 1, 1, 1)
TROUBLES = (outage, broken, unusable, slow)


@dataclass
class Script:
    """The replies of one conversation in their order, and what they come to. `used`: tokens that must be booked."""

    seed: int
    expected: str = ""
    replies: list[Reply] = field(default_factory=list)
    sent: int = 0
    used: int = 0

    def __post_init__(self) -> None:
        chance = random.Random(f"conversation {self.seed}")
        self.expected = str(chance.choices(list(ENDS), SHARES)[0])
        for _ in range(chance.randrange(4)):
            self.replies += [chance.choice(TROUBLES)(chance), LOOK]  # what follows it ends the streak
        self.replies += ENDS[self.expected](chance)

    def __call__(self, body: dict[str, Any]) -> Reply:
        """The next reply; what it must cost is added up by the rules of the service, not by those of the product."""
        reply = self.replies[self.sent]
        self.sent += 1
        self.used += self.cost(reply, body)
        return reply

    def cost(self, reply: Reply, body: dict[str, Any]) -> int:
        """Tokens: of an answer that came whole what the service says, of one that broke off all that it can have been."""
        prompt = prompt_tokens(body)
        if isinstance(reply, Fail):
            return 0
        assert isinstance(reply, Say)
        if reply.cut == 0:  # not even its prompt was told: as counted, with the margin for the count
            return prompt + int(prompt * 0.01) + 1 + int(body["max_tokens"])
        if reply.cut is not None or reply.garbage or reply.error:
            return prompt + int(body["max_tokens"])
        bill = {"output_tokens": 0}
        for _ in MessagesServer.events(_COUNTER, body, reply, bill):
            pass
        return prompt + bill["output_tokens"]


_COUNTER = MessagesServer([])
_COUNTER.http.server_close()  # it only counts


def scripts(count: int, seed: int) -> Iterator[Script]:
    """So many conversations, the same for the same seed."""
    yield from (Script(1000 * seed + number) for number in range(count))


def main() -> None:
    """Hold them through pytest, which brings a database and a home of their own."""
    import os

    import pytest

    count, seed = (sys.argv[1] if len(sys.argv) > 1 else "200"), (sys.argv[3] if len(sys.argv) > 3 else "1")
    os.environ |= {"CONVERSATIONS": count, "CONVERSATIONS_SEED": seed}
    raise SystemExit(pytest.main(["-q", "-s", "-p", "no:cacheprovider", "tests/agent/test_random_conversations.py"]))


def summary(ends: Counter[str]) -> str:
    """How many ended how."""
    return ", ".join(f"{count} {name or 'submitted'}" for name, count in ends.most_common())


if __name__ == "__main__":
    main()
