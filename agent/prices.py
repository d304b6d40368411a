"""List prices of the models, in US dollars per million tokens.

From https://platform.claude.com/docs/en/about-claude/pricing, November 2026. A project file may give its own, for models
that are not listed and for prices that were agreed.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from training.parsing import parse

MILLION = 1_000_000
LINE = "opus"
"""The line of models that the service's documentation recommends to those who have no reason for another."""


@dataclass(frozen=True)
class Usage:
    """Tokens of one or many requests, in the parts that are priced apart. Together they are all that was processed."""

    input: int = 0
    cache_write: int = 0
    cache_read: int = 0
    output: int = 0

    @property
    def total(self) -> int:
        """What token budgets count: every token in and out, from the cache or not."""
        return self.prompt + self.output

    @property
    def prompt(self) -> int:
        """Tokens that went in."""
        return self.input + self.cache_write + self.cache_read

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.cache_write + other.cache_write,
            self.cache_read + other.cache_read,
            self.output + other.output,
        )


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens. Writing to the cache counts for five minutes."""

    input: float
    cache_write: float
    cache_read: float
    output: float

    def cost(self, usage: Usage) -> float:
        """Of some tokens, in dollars."""
        dollars = usage.input * self.input + usage.cache_write * self.cache_write
        return (dollars + usage.cache_read * self.cache_read + usage.output * self.output) / MILLION

    @property
    def dearest_input(self) -> float:
        """The most that a token of the prompt can cost, in dollars per million."""
        return max(self.input, self.cache_write, self.cache_read)


_FABLE_5_2 = Price(8.0, 10.0, 0.20, 40.0)
_OPUS = Price(5.0, 6.25, 0.50, 25.0)
_FABLE = Price(10.0, 12.50, 0.25, 50.0)
_FABLE_5 = Price(10.0, 12.50, 1.00, 50.0)
PRICES = {
    "claude-fable-5-2": _FABLE_5_2,
    "claude-mythos-5-2": _FABLE_5_2,
    "claude-fable-5-1": _FABLE,
    "claude-mythos-5-1": _FABLE,
    "claude-fable-5": _FABLE_5,
    "claude-mythos-5": _FABLE_5,
    "claude-opus-5-5": Price(4.0, 5.0, 0.20, 20.0),
    "claude-opus-5": _OPUS,
    "claude-opus-4-8": _OPUS,
    "claude-opus-4-7": _OPUS,
    "claude-opus-4-6": _OPUS,
    "claude-opus-4-5": _OPUS,
    "claude-sonnet-5-5": Price(2.0, 2.50, 0.10, 10.0),
    "claude-sonnet-5": Price(2.0, 2.50, 0.20, 10.0),
    "claude-sonnet-4-6": Price(3.0, 3.75, 0.30, 15.0),
    "claude-haiku-5-5": Price(0.50, 0.625, 0.05, 2.50),  # of prompts above 100,000 tokens; shorter ones cost a fifth
    "claude-haiku-4-5": Price(1.0, 1.25, 0.10, 5.0),
}


def price_of(model: str) -> Price | None:
    """The list price, of a dated name too; None for a model that is not listed."""
    return PRICES.get(re.sub(r"-20\d{6}$", "", model))


def thinks_adaptively(model: str) -> bool:
    """Whether a model takes adaptive thinking: those of version 4.6 and later. False for names that are not of this line."""
    version = re.search(r"claude-[a-z]+-(\d+)(?:-(\d{1,2}))?(?![\d])", model)
    return version is not None and (int(version[1]), int(version[2] or 0)) >= (4, 6)


@cache
def models() -> tuple[str, ...]:
    """The models that the SDK knows and does not call deprecated, newest first.

    Read off the SDK's own source: importing it takes seconds, and a page that names the model needs nothing else of it.
    """
    sdk = find_spec("anthropic")  # finds the package without importing it
    assert sdk is not None and sdk.origin is not None
    folder = Path(sdk.origin).parent
    listed = ast.walk(parse((folder / "types" / "model_param.py").read_text()))
    names = [node.value for node in listed if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    _, _, behind = (folder / "resources" / "messages" / "messages.py").read_text().partition("\nDEPRECATED_MODELS = ")
    deprecated = ast.literal_eval(behind[: behind.index("\n}") + 2])
    return tuple(name for name in names if name.startswith("claude-") and name not in deprecated)


@cache
def default_model() -> str:
    """The newest model of the recommended line in the SDK's own list."""
    return next(name for name in models() if f"-{LINE}-" in name)
