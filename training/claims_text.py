"""Reads a hypothesis into clauses of words, numbers and names of quantities; drops sentences that claim nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

LONGEST = 20_000  # characters; the rest of a longer text is not read
CLOSE = 0.10  # "about 512" is said of anything from 461 to 563

QUANTITY_NAMES: dict[tuple[str, ...], str] = {
    ("parameters",): "parameters",
    ("parameter",): "parameters",  # a 2M-parameter model
    ("params",): "parameters",
    ("parameter", "count"): "parameters",
    ("param", "count"): "parameters",
    ("layers",): "layers",
    ("layer",): "layers",  # a 12-layer model
    ("depth",): "layers",
    ("n", "layer"): "layers",
    ("n", "layers"): "layers",
    ("width",): "width",
    ("dim",): "width",
    ("model", "dim"): "width",
    ("model", "width"): "width",
    ("d", "model"): "width",
    ("n", "embd"): "width",
    ("heads",): "heads",
    ("attention", "heads"): "heads",
    ("n", "head"): "heads",
    ("n", "heads"): "heads",
    ("steps",): "steps",
    ("optimizer", "steps"): "steps",
    ("optimiser", "steps"): "steps",
    ("training", "steps"): "steps",
    ("training", "tokens"): "tokens",
    ("tokens", "seen"): "tokens",
    ("flops", "per", "token"): "flops_per_token",
    ("flops/token",): "flops_per_token",
    ("compute", "per", "token"): "flops_per_token",
    ("memory",): "peak_memory_bytes",
    ("peak", "memory"): "peak_memory_bytes",
    ("memory", "use"): "peak_memory_bytes",
    ("memory", "usage"): "peak_memory_bytes",
    ("memory", "footprint"): "peak_memory_bytes",
    ("vram",): "peak_memory_bytes",
    ("throughput",): "tokens_per_second",
    ("tokens", "per", "second"): "tokens_per_second",
    ("tokens/s",): "tokens_per_second",
    ("tok/s",): "tokens_per_second",
}


def words(text: str) -> frozenset[str]:
    """A set of words, written as a sentence."""
    return frozenset(text.split())


LONGEST_NAME = max(map(len, QUANTITY_NAMES))
SHORT_NAMES = {("learning", "rate"): ("lr",), ("weight", "decay"): ("wd",)}
APPROXIMATE = words("~ ≈ about around roughly approximately circa nearly almost")
LITTLE = words("almost nearly virtually practically essentially negligible barely hardly")  # "almost no extra memory"
DROPPED = words(
    "the a an total overall its our any slightly much far significantly substantially somewhat bit little even only just also"
)

# A sentence with one of these may speak of another model, another time, or of nothing that is claimed.
HEDGES = words(
    "would could might may maybe perhaps if unless whether paper papers literature reported published known usually "
    "typically often generally gpt-2 gpt2 gpt-3 gpt3 llama palm chinchilla nanogpt nanochat previously prior earlier "
    "formerly originally before current currently existing was were had been baseline baseline's base unlike not never "
    "nor neither cannot can't don't doesn't didn't won't isn't aren't wouldn't ideally try tried trying consider"
)
BESIDE_BASE = re.compile(
    r"\b(?:than|relative to|compared (?:to|with)|versus|vs\.?|over|as) (?:the )?(?:current )?"
    r"(?:baseline(?:'s| model)?|base(?: model)?|before|now|today)\b",
    re.IGNORECASE,
)
ASIDE = re.compile(r"\b(?:instead of|rather than|as opposed to|except)\b.*", re.IGNORECASE | re.DOTALL)
SENTENCE_END = re.compile(r"[;!?\n]|\.(?=\s|$)")
CLAUSE_END = re.compile(r"[()\[\]{}|]|,(?!\d)|\s[-–—]+\s(?!>)|\b(?:because|since|which|where|whose|that)\b", re.IGNORECASE)
TOKEN = re.compile(
    r"(?P<number>(?<![\w.+*/^-])[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+-]?\d{1,3}(?!\d))?)(?P<unit>[kmbx×%](?![\w]))?"
    r"|(?P<arrow>->|=>|→|➔|⟶)|(?P<mark>[=:~≈])|(?P<word>[a-z][a-z0-9']*(?:/[a-z]+)?)",
    re.IGNORECASE,
)
COUNTS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "twelve": 12,
}
MULTIPLES = {"": (1.0,), "k": (1e3, 1024.0), "m": (1e6, 2.0**20), "b": (1e9, 2.0**30), "%": (0.01, 1.0)}
NUMBER_OF = re.compile(r"\b(?:number|count|amount) of\b", re.IGNORECASE)
UNCLEAR = ("x", "×")  # a multiple of what?
LARGEST = 1e30
ROUNDED = 0.25  # "1M" is said of no less than 0.75 million


@dataclass(frozen=True)
class Stated:
    """A number as it was written; `step` is the value of one in its last digit."""

    value: float
    unit: str
    step: float
    approximate: bool = False

    def matches(self, actual: float, *, rounded: bool = False) -> bool:
        """Whether `actual` may be what was meant. Without a unit a number is exact, unless it may be `rounded`."""
        for multiple in MULTIPLES[self.unit]:
            slack = 1e-6 * abs(actual)
            if self.unit or rounded:
                slack = max(slack, min(0.501 * self.step, ROUNDED * abs(self.value)) * multiple)
            if self.approximate:
                slack = max(slack, CLOSE * abs(self.value * multiple))
            if abs(self.value * multiple - actual) <= slack:
                return True
        return False


@dataclass(frozen=True)
class Item:
    """A word, a number or the name of a quantity; `start` and `end` are places in the text."""

    text: str  # lower case; "->" for every arrow
    start: int
    end: int
    number: Stated | None = None
    quantity: str = ""  # the fact that it names
    plain: str = ""  # the first word, where `text` has several

    @property
    def is_noun_like(self) -> bool:
        """Whether the word may be what the one before it belongs to: "the parameter budget"."""
        return self.text not in FOLLOWS and self.number is None and self.text.isalpha()


# What may follow a quantity without changing what it is of.
FOLLOWS = words(
    "and or while but so then with without instead is are at as because via through by than too more less fewer drops "
    "drop falls fall rises rise grows grow increases increase decreases decrease stays stay remains remain unchanged "
    "constant fixed overall a an this it should will can must leaves gives lets makes helps improves improve dim"
)


def clauses(text: str) -> Iterator[list[Item]]:
    """The clauses of all sentences that are not hedged."""
    text = text[:LONGEST]
    start = 0
    for end in [*SENTENCE_END.finditer(text), None]:
        stop = end.start() if end else len(text)
        question = end is not None and end.group() == "?"
        sentence = NUMBER_OF.sub(_blank, BESIDE_BASE.sub(_blank, text[start:stop]))
        words = set(re.findall(r"[a-z0-9][a-z0-9'-]*", sentence.lower().replace("’", "'")))
        if not question and not words & (HEDGES | LITTLE):
            yield from _clauses(sentence, start)
        start = end.end() if end else stop


def names_of(constant: str) -> Iterator[tuple[str, ...]]:
    """The ways a constant is called in prose: ("learning", "rate") and ("lr",) for LEARNING_RATE. None of an element."""
    label = constant.rpartition(":")[2].rpartition(".")[2]
    name = tuple(word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", label))
    if name and "[" not in label:
        yield name
        if name in SHORT_NAMES:
            yield SHORT_NAMES[name]


def _clauses(sentence: str, offset: int) -> Iterator[list[Item]]:
    start = 0
    for end in [*CLAUSE_END.finditer(sentence), None]:
        stop = end.start() if end else len(sentence)
        items = _named(_tokens(ASIDE.sub(_blank, sentence[start:stop]), offset + start))
        if items:
            yield items
        start = end.end() if end else stop


def _blank(match: re.Match[str]) -> str:
    """As many spaces, so that places in the text stay what they were."""
    return " " * len(match.group())


def _tokens(clause: str, offset: int) -> list[Item]:
    items: list[Item] = []
    approximate = False
    for match in TOKEN.finditer(clause.replace("_", " ")):
        place = offset + match.start(), offset + match.end()
        word = match.group().lower()
        if match["number"]:
            stated = _stated(match["number"], (match["unit"] or "").lower(), approximate)
            items.append(Item("#", *place, number=stated, plain="#"))
        elif word in COUNTS:
            items.append(Item("#", *place, number=Stated(COUNTS[word], "", 1.0, approximate), plain="#"))
        elif match["arrow"]:
            items.append(Item("->", *place))
        elif word not in DROPPED | APPROXIMATE:
            items.append(Item(word, *place, plain=word))
        approximate = word in APPROXIMATE
    return items


def _stated(digits: str, unit: str, approximate: bool) -> Stated | None:
    """The number; None for a multiple of something unsaid, or a number that no quantity has."""
    plain = digits.replace(",", "").lower()
    mantissa, _, exponent = plain.partition("e")
    step = float(f"1e{int(exponent or 0) - len(mantissa.partition('.')[2])}")
    if unit in UNCLEAR or abs(float(plain)) > LARGEST or step > LARGEST:
        return None
    return Stated(float(plain), unit, step, approximate)


def _named(items: list[Item]) -> list[Item]:
    """Join the words that together name a quantity."""
    joined: list[Item] = []
    at = 0
    while at < len(items):
        for length in range(min(LONGEST_NAME, len(items) - at), 0, -1):
            name = tuple(item.text for item in items[at : at + length])
            if quantity := QUANTITY_NAMES.get(name):
                last = items[at + length - 1]
                joined.append(replace(items[at], text=" ".join(name), end=last.end, quantity=quantity))
                at += length
                break
        else:
            joined.append(items[at])
            at += 1
    return joined
