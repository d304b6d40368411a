"""Holds what a hypothesis says of numbers and directions against what was measured of base and candidate.

The text is anybody's, in any wording. A small grammar reads the plain statements ("depth 8 to 9", "dim about 512", "fewer
parameters", "no extra memory", "LEARNING_RATE from 8e-3 to 6e-3") and says nothing about the rest: a statement that is hedged,
compared with something else, about a part of the model, or not understood is no contradiction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from research_app.evidence.digits import number
from training.claims_text import APPROXIMATE, Item, Stated, clauses, names_of, words

Fact = float | int | str
Constant = bool | int | float | str
Direction = Literal["up", "down", "same", "not up"]

SHOWN = 100  # characters of the hypothesis in a sentence


@dataclass(frozen=True)
class Contradiction:
    """`quote` is quoted from the hypothesis, untrusted; `measured` is the fact; `sentence` has both."""

    quote: str
    measured: str
    sentence: str


@dataclass(frozen=True)
class Quantity:
    """A fact with the name it has in sentences. Changes up to `noise` (a share) may be chance."""

    fact: str
    name: str
    noise: float
    written: Callable[[float], str]


def _count(value: float) -> str:
    return f"{value:,.0f}" if value < 1e6 else f"{number(value / 1e6, 4)} million"


QUANTITIES = {
    quantity.fact: quantity
    for quantity in (
        Quantity("parameters", "the number of parameters", 0.0, lambda value: f"{value:,.0f}"),
        Quantity("layers", "the number of layers", 0.0, _count),
        Quantity("width", "the width", 0.0, _count),
        Quantity("heads", "the number of heads", 0.0, _count),
        Quantity("tokens", "the number of tokens trained on", 0.005, _count),
        Quantity("steps", "the number of steps", 0.005, _count),
        Quantity("flops_per_token", "FLOPs per token", 0.005, _count),
        Quantity("peak_memory_bytes", "peak memory", 0.05, lambda value: f"{value / 2**20:,.0f} MiB"),
        Quantity("tokens_per_second", "tokens per second", 0.10, _count),
    )
}
NUMBERED = frozenset({"parameters", "layers", "width", "heads"})  # of the others a number is said in too many senses

# A quantity is the whole model's where one of these, or nothing, stands before it: "head dim" and "MLP width" are not.
WHOLE = words(
    "to with at and then now use uses using set model layer network transformer same new = : -> is are has have gives "
    "giving keep keeps keeping while so but more less fewer extra additional higher lower larger smaller"
)
UP = words(
    "more extra additional higher greater larger bigger increased increase increases increasing raise raises raising "
    "grow grows growing add adds adding double doubles doubling"
)
DOWN = words(
    "fewer less lower smaller reduced decreased decrease decreases decreasing reduce reduces reducing lowers lowering "
    "cut cuts cutting save saves saving shrink shrinks shrinking halve halves halving"
)
SAME = words("same identical equal unchanged")
RISES = words("rise rises grow grows increase increases")
FALLS = words("drop drops fall falls shrink shrinks decrease decreases")
STAYS = words("stay stays remain remains unchanged constant")
NOT_ANY = words("no without zero")
UNITS_OF_CHANGE = words("parameters layers heads")  # "adds 2 layers" is understood, "adds 2 width" is not
FACTORS = {"double": 2.0, "doubles": 2.0, "doubling": 2.0, "halve": 0.5, "halves": 0.5, "halving": 0.5}
FACTOR_SLACK = 0.2  # "doubles" is said of anything from 1.6 to 2.4
WISHES = words("need needs needing require requires after over from for given once deserve deserves favour favours to")
PARTIAL = words("of in for per on inside within from to at by")  # what follows names a part, or a limit
LIMITS = words("of in for per on inside within from to ->")  # after a number: it is that of a part
SPANS = words("in within for")  # "more steps in 5 minutes" is about the whole run
CONNECTS = words("of is = : at to equals becomes be from now ->")
TO = frozenset({"to", "->"})
REMARKS = words("is are was were seems looks leaves limits wastes hurts too")  # "width 32 is too narrow" is the old one
BEFORE_NUMBER = words("use uses using with at has have now = : and go")
BEFORE_WITH = words("model network transformer train trains run gpt go")
BEFORE_TO = words("depth width heads layers params parameters model network up down go goes grow grows deepen widen")
BEFORE_FROM_TO = words("from go goes increase raise reduce grow deepen and use model network") | BEFORE_TO
AFTER_NUMBERED = words("instead and with at total wide deep model network transformer gpt while but so -> = then")
MODELS = words("model network transformer gpt")
SINGLE = words("layer parameter")
COMPARATIVES: dict[str, tuple[str, Direction]] = {
    "deeper": ("layers", "up"),
    "shallower": ("layers", "down"),
    "wider": ("width", "up"),
    "narrower": ("width", "down"),
    "bigger": ("parameters", "up"),
    "larger": ("parameters", "up"),
    "smaller": ("parameters", "down"),
}


def contradictions(
    hypothesis: str,
    base: Mapping[str, Fact],
    candidate: Mapping[str, Fact],
    constants: Mapping[str, tuple[Constant, Constant]] | None = None,
) -> tuple[Contradiction, ...]:
    """Statements of the hypothesis that the facts contradict, each once, in the order of the text.

    `base` and `candidate` hold any of the facts in QUANTITIES; `constants` maps names (LEARNING_RATE, train.py:GPTConfig.width)
    to their resolved values before and after. What is not known of both is not judged.
    """
    by_claim: dict[str, Contradiction] = {}
    for items in clauses(hypothesis):
        statements = [
            *_numbers(items, base, candidate),
            *_directions(items, base, candidate),
            *_constants(items, constants or {}),
        ]
        for start, end, measured in sorted(statements):
            quote = _quoted(hypothesis, items[start], items[end - 1])
            by_claim.setdefault(measured, Contradiction(quote, measured, f"The hypothesis says “{quote}”, but {measured}."))
    return tuple(by_claim.values())


Found = tuple[int, int, str]  # first item, item after the last, what was measured


def _numbers(items: Sequence[Item], base: Mapping[str, Fact], candidate: Mapping[str, Fact]) -> Iterator[Found]:
    """As in "width 64", "depth from 2 to 3", "9 layers", "12-layer model", with the number that was built."""
    for at, item in enumerate(items):
        if item.quantity not in NUMBERED:
            continue
        statement = _number_after(items, at) or _number_before(items, at)
        values = _values(item.quantity, base, candidate)
        if statement is None or values is None:
            continue
        start, end, stated = statement
        if not stated.matches(values[1], rounded=item.quantity == "parameters"):
            yield start, end, _measured(item.quantity, *values)


def _number_after(items: Sequence[Item], at: int) -> tuple[int, int, Stated] | None:
    if at and items[at - 1].text not in WHOLE | UP | DOWN:
        return None
    if at > 1 and items[at - 1].text == "with" and items[at - 2].text not in BEFORE_WITH:
        return None  # "a head with dim 24"
    if items[at].text in SINGLE or (items[at].text == "layers" and not (at and items[at - 1].text in UP | DOWN)):
        return None  # "layer 3" is one of them, "layers 2 to 5" are some
    return _number_here(items, at, at + 1)


def _number_here(items: Sequence[Item], start: int, at: int) -> tuple[int, int, Stated] | None:
    """The number that a name before `at` is said to have: `8`, `= 8`, `to 8`, `from 6 to 8`, `6 -> 8`."""
    came_from = False
    while at < len(items) and items[at].text in CONNECTS:
        came_from |= items[at].text == "from"
        at += 1
    if at >= len(items) or (stated := items[at].number) is None:
        return None
    if at + 2 < len(items) and items[at + 1].text in TO and (later := items[at + 2].number) is not None:
        return start, at + 3, later
    following = items[at + 1].text if at + 1 < len(items) else ""
    if came_from or following in REMARKS | LIMITS:
        return None
    return start, at + 1, stated


def _number_before(items: Sequence[Item], at: int) -> tuple[int, int, Stated] | None:
    if not at or (stated := items[at - 1].number) is None:
        return None
    following = items[at + 1].text if at + 1 < len(items) else ""
    if following not in AFTER_NUMBERED and following:
        return None
    if items[at].text in SINGLE and following not in MODELS:
        return None  # a two-layer perceptron
    before = items[at - 2].text if at > 1 else ""
    earlier = items[at - 3] if at > 2 else None
    if before in TO:
        # "2 to 4 layers", but not "weight decay 2 to 4 layers"
        start = items[at - 4].text if at > 3 else ""
        plain = earlier is not None and earlier.number is not None and (not start or start in BEFORE_FROM_TO)
        fits = plain or (earlier is not None and earlier.text in BEFORE_TO)
    elif before == "with":
        fits = earlier is None or earlier.text in BEFORE_WITH
    else:
        fits = not before or before in BEFORE_NUMBER
    return (at - 1, at + 1, stated) if fits else None


def _directions(items: Sequence[Item], base: Mapping[str, Fact], candidate: Mapping[str, Fact]) -> Iterator[Found]:
    for at in range(len(items)):
        for start, end, fact, direction, factor in (*_said_before(items, at), *_said_after(items, at), *_compared(items, at)):
            values = _values(fact, base, candidate)
            if values is not None and _contradicts(direction, factor, *values, QUANTITIES[fact].noise):
                yield start, end, _measured(fact, *values)


Said = tuple[int, int, str, Direction, float | None]  # first item, item after the last, fact, direction, times what it was


def _said_before(items: Sequence[Item], at: int) -> Iterator[Said]:
    """As in "fewer parameters", "reduces memory", "no extra memory", "adds 2 layers", "the same depth"."""
    fact = items[at].quantity
    start = at - 1
    if fact in UNITS_OF_CHANGE and start > 0 and items[start].number is not None:
        start -= 1
    if not fact or start < 0 or _is_partial(items, at):
        return
    word, before = items[start].text, items[start - 1].text if start else ""
    following = items[at + 1].text if at + 1 < len(items) else ""
    if word in SAME:
        yield start, at + 1, fact, "same", None
    elif word not in UP | DOWN or before in WISHES or items[at].text == "layer" or following in REMARKS:
        return  # "more steps are needed"
    elif before in NOT_ANY:
        if word in UP:
            yield start - 1, at + 1, fact, "not up", None
    else:
        yield start, at + 1, fact, "up" if word in UP else "down", FACTORS.get(word)


def _said_after(items: Sequence[Item], at: int) -> Iterator[Said]:
    """As in "parameters drop", "memory stays the same"."""
    fact = items[at].quantity
    if not fact or at + 1 >= len(items) or (at and items[at - 1].text not in ("and", "while", "so", "but", "model", "then")):
        return
    verb = items[at + 1].text
    if verb in ("is", "are", "stays", "remains") and at + 2 < len(items) and items[at + 2].text in STAYS | SAME:
        yield at, at + 3, fact, "same", None
    elif verb in RISES:
        yield at, at + 2, fact, "up", None
    elif verb in FALLS:
        yield at, at + 2, fact, "down", None
    elif verb in STAYS:
        yield at, at + 2, fact, "same", None


def _compared(items: Sequence[Item], at: int) -> Iterator[Said]:
    """As in "a deeper model"."""
    known = COMPARATIVES.get(items[at].text)
    alone = not at or items[at - 1].text not in WISHES
    following = [item.text for item in items[at + 1 : at + 3]]
    if known and alone and following and following[0] in MODELS and not PARTIAL.intersection(following[1:]):
        yield at, at + 2, known[0], known[1], None


def _is_partial(items: Sequence[Item], at: int) -> bool:
    """Whether what follows limits the quantity to a part: "parameters of the head", "memory per layer"."""
    following = items[at + 1] if at + 1 < len(items) else None
    if following is None or following.text not in PARTIAL:
        # "the parameter budget" is no parameter, "layer norm" no layer
        return following is not None and not following.quantity and following.number is None and following.is_noun_like
    if following.text in SPANS and items[at].quantity in ("steps", "tokens"):
        return False
    return not (following.text in ("from", "to", "by") and at + 2 < len(items) and items[at + 2].number is not None)


def _contradicts(direction: Direction, factor: float | None, before: float, after: float, noise: float) -> bool:
    """Counts must move as said; what is measured with noise must not have moved the other way."""
    change = after / before - 1
    if direction == "not up":
        return change > noise
    if direction == "same":
        return abs(change) > noise
    if factor is not None and abs(after / before / factor - 1) > FACTOR_SLACK + noise:
        return True
    towards = change if direction == "up" else -change
    return towards <= 0 if noise <= 0.005 else towards < -noise


def _constants(items: Sequence[Item], constants: Mapping[str, tuple[Constant, Constant]]) -> Iterator[Found]:
    """As in "LEARNING_RATE 8e-3 to 6e-3", "raise weight decay": a constant by its whole name and its resolved value."""
    plain = tuple(item.plain for item in items)
    known = [(wanted, name) for name in constants for wanted in names_of(name)]
    for wanted, name in known:
        old, new = constants[name]
        if isinstance(old, bool | str) or isinstance(new, bool | str):
            continue
        if any(other[-len(wanted) :] == wanted for other, owner in known if owner != name):
            continue  # EMBEDDING_LR and MATRIX_LR: which of them is "LR"?
        measured = f"{name.rpartition(':')[2]} is {new:g}" + (f" ({old:g} before)" if new != old else ", as before")
        for at in range(len(plain) - len(wanted) + 1):
            before, end = items[at - 1].text if at else "", at + len(wanted)
            if plain[at:end] != wanted or (before and before not in WHOLE | UP | DOWN):
                continue  # the learning rate of something
            statement = _number_here(items, at, end)
            if statement is not None and not statement[2].matches(new):
                yield at, statement[1], measured
            elif end == len(items) and ((before in UP and new < old) or (before in DOWN and new > old)):
                yield at - 1, end, measured


def _values(fact: str, base: Mapping[str, Fact], candidate: Mapping[str, Fact]) -> tuple[float, float] | None:
    """The fact of base and candidate; None unless both are positive numbers."""
    values = base.get(fact), candidate.get(fact)
    numbers = [float(value) for value in values if isinstance(value, int | float) and value > 0]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else None


def _measured(fact: str, before: float, after: float) -> str:
    quantity = QUANTITIES[fact]
    verb = "are" if quantity.name.startswith(("FLOPs", "tokens")) else "is"
    was, now = quantity.written(before), quantity.written(after)
    return f"{quantity.name} {verb} {now}" + (f" ({was} before)" if was != now else ", as before")


def _quoted(text: str, first: Item, last: Item) -> str:
    quote = " ".join(text[first.start : last.end].split())
    before = text[: first.start].rsplit(None, 1)[-1:]
    if before and before[0].lower() in APPROXIMATE:
        quote = f"about {quote}"
    return quote if len(quote) <= SHOWN else f"{quote[: SHOWN - 1]}…"
