"""A conversation without a database: a workspace, a transcript and a token budget in memory, against a real local server."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.briefing import Facts, briefing, system
from agent.budget import Left, Reservation, reservation
from agent.claude import Conversation, Settings, TranscriptMessage
from agent.prices import Price
from agent.proposal import Context, Edit, Tried
from agent.quote import Redactor
from agent.request import ConversationDeadline, connect
from agent.tools import Examined, Refused, Smoked, Workbench
from tests.messages_server import KEY, MessagesServer

FILES = {"train.py": "LEARNING_RATE = 0.01\nWIDTH = 64\n", "prepare.py": "BUDGET = 1\n"}
PRICE = Price(input=4.0, cache_write=5.0, cache_read=0.2, output=20.0)
FACTS = Facts("demo", "bits per byte, lower is better", "3e11 FLOPs", ["train.py"], ["prepare.py"])
CONTEXT = Context(files=FILES, program="Make it better.", history=(), sigma=0.01, attempt=1)


class MemoryWorkspace:
    """One file that may be edited, and nothing to train."""

    def __init__(self, history: Sequence[Tried] = (), records: Mapping[int, Mapping[str, str]] | None = None) -> None:
        self.tried = history
        self.records = records or {}

    def files(self) -> Mapping[str, str]:
        return FILES

    def edited(self, edits: Sequence[Edit]) -> Mapping[str, str]:
        texts: dict[str, str] = {}
        for each in edits:
            before = texts.get(each.path, FILES.get(each.path, ""))
            if each.path != "train.py" or before.count(each.old) != 1:
                raise Refused("The text to replace does not occur there once.")
            texts[each.path] = before.replace(each.old, each.new)
        return texts

    def history(self) -> Sequence[Tried]:
        return self.tried

    def record(self, number: int) -> Mapping[str, str]:
        if number not in self.records:
            raise Refused(f"There is no candidate C-{number}.")
        return self.records[number]

    def examine(self, edits: Sequence[Edit]) -> Examined:
        return Examined([], [], "\n".join(f"-{each.old}\n+{each.new}" for each in edits), [])

    def smoke(self, edits: Sequence[Edit]) -> Smoked:
        return Smoked("completed", "It trained.", [("parameters", "1", "1")], "step 1 loss 2.0")


@dataclass
class Ledger:
    """Transcript and token budget in memory: everything that was said, what is set aside, and what was used of each budget."""

    tokens: int | None = None
    dollars: float | None = None
    messages: list[TranscriptMessage] = field(default_factory=list)
    used: int = 0
    cost: float = 0.0
    reserved: Reservation | None = None

    def reserve(self, counted: int, wanted: int) -> Reservation:
        left = Left(
            "this proposal",
            None if self.tokens is None else self.tokens - self.used,
            None if self.dollars is None else self.dollars - self.cost,
        )
        self.reserved = reservation(counted, wanted, [left], PRICE)
        return self.reserved

    def release(self) -> None:
        self.reserved = None

    def write(self, message: TranscriptMessage, edits: Sequence[Edit]) -> None:
        self.messages.append(message)
        if message.usage is not None:
            assert self.reserved is not None
            self.reserved = None
            self.used += message.usage.total
            self.cost += PRICE.cost(message.usage)


def talk(server: MessagesServer, ledger: Ledger | None = None, **other: Any) -> Conversation:
    """A conversation that is about to begin. `seconds`, `silence` and `retries` bound its requests."""
    deadline = ConversationDeadline(time.monotonic() + other.pop("seconds", 20.0))
    client = connect(other.pop("key", KEY), server.url, deadline, other.pop("retries", 2), other.pop("silence", 5.0))
    ledger = ledger or Ledger()
    settings = {"model": "claude-opus-5-5", "answer_tokens": 4000, "turns": 12, "pause": 0.01, **other.pop("settings", {})}
    first = [{"type": "text", "text": briefing(CONTEXT, FACTS)}]
    return Conversation(
        client=client,
        settings=Settings(**settings),
        system=system(FACTS, CONTEXT.program),
        messages=other.pop("messages", [{"role": "user", "content": first}]),
        workbench=Workbench(other.pop("workspace", None) or MemoryWorkspace()),
        budget=ledger,
        transcript=ledger,
        deadline=deadline,
        clean=Redactor([KEY]),
        **other,
    )
