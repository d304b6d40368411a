"""The model that agents of the walk talk to: a local server that answers as one would, and differently each time."""

import itertools
from collections.abc import Callable
from typing import Any

from tests.messages_server import Reply, Say, call, edit, submit, text


def model() -> Callable[[dict[str, Any]], Reply]:
    """It reads, edits, checks and submits, with another rate each time; every third proposes nothing, every fourth declines."""
    begun, rates = itertools.count(), itertools.count(11)

    def answer(body: dict[str, Any]) -> Reply:
        steps = sum(message["role"] == "assistant" for message in body["messages"])
        if steps == 0:
            return begin(next(begun))
        if steps == 1:
            return edit("LEARNING_RATE = 0.01", f"LEARNING_RATE = 0.0{next(rates)}")
        return call("check") if steps == 2 else submit(hypothesis=f"A rate near 0.0{next(rates)} comes nearer to the optimum")

    return answer


def begin(number: int) -> Reply:
    """The first answer of a conversation."""
    if number % 4 == 3:
        return Say([text("I would rather not.")], stop="refusal")
    if number % 3 == 2:
        return call("give_up", reason="Everything that I can think of was tried.")
    return call("read_file", path="train.py")
