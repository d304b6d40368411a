"""The values that a constant may take: round numbers around the current value, or what its comment allows."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

from agent.constants import Constant, Value, snake
from agent.proposal import NothingToPropose

REACH = 4  # a ladder goes from the current value divided by this to the value times this
NEAREST = Decimal("0.08")  # a smaller relative step would drown in the noise between seeds
# One decade of two-digit numbers, about 12% apart.
ROUND = tuple(Decimal(n) / 100 for n in (100, 110, 120, 135, 150, 170, 200, 220, 250, 280))
ROUND += tuple(Decimal(n) / 100 for n in (300, 350, 400, 450, 500, 550, 600, 700, 800, 900))
MOST_STEPS = 1000
LONGEST_RULE = 500  # characters of a `# knob:` comment

FROM_ZERO = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
FROM_ZERO_RATE = (0.0, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4)
FROM_ZERO_STEPS = (0, 10, 20, 50, 100, 200)
FROM_ZERO_COUNT = (0, 1, 2, 3, 4)

DIRECTIVE = re.compile(r"[#;]\s*(?:(?P<no>not a knob)\b|knob:\s*(?P<rule>[^#;]*))", re.IGNORECASE)
RANGE = re.compile(r"(?P<low>\S+?)\s*\.\.\s*(?P<high>\S+?)(?:\s+step\s+(?P<step>\S+))?")
FORMS = '"# knob: 4..64", "# knob: 4..64 step 4", "# knob: one of 64, 128" or "# not a knob"'


def _words(*patterns: str) -> re.Pattern[str]:
    """Matches a name in snake case that holds one of the patterns as whole words."""
    return re.compile(rf"(?:^|_)(?:{'|'.join(patterns)})(?:_|$)")


# Changing these measures something else, spends another budget, or does nothing to the score.
NOT_KNOBS = _words(
    "seed|evals?|val|valid|validation|test|log|logging|print|report|save|checkpoint|init_from|resume|metrics?|wandb|verbose|debug|interval|every",
    "port|version|vocab|mode|device|dtype|backend|world|rank|path|dir|name|eos|bos|pad|ignore",
    r"target_(\w+_)?(flops|tokens|ratio)",
    "budget|timeout|seconds|minutes|hours|epochs?|(max|num|n|total)_((scheduled|extension|train|training|opt|update)_)?(steps?|iters?|iterations?)",
)
MIXTURE = _words("mix|mixture|weights|shares|sources")  # the keys are names of data, such as "validation"
BELOW_ONE = _words(r"dropout|drop|betas?\d?|b[12]|momentum|ema|prob|probability|p|frac|fraction|ratio|share|smoothing")
MAY_BE_OFF = _words("dropout|drop|weight_decay|wd|smoothing", "(min|final|end)_(.*_)?(lr|frac|fraction|ratio)")
LEARNING_RATE = _words("lr|learning_rate")
COUNTS_STEPS = _words("steps?|iters?|iterations?|warmup")


class BadKnobComment(NothingToPropose):
    """A `# knob:` comment that cannot be understood; the message names the line and the accepted forms."""


def ladder(constant: Constant) -> tuple[Value, ...]:
    """The values worth trying, the current one among them, in ascending order; empty if this is not a knob.

    Raises BadKnobComment.
    """
    directive = DIRECTIVE.search(constant.comment)
    if directive and directive["no"]:
        return ()
    values: Iterable[Value]
    variable = constant.label.partition("[")[0]
    if directive:
        values = _allowed(constant, directive["rule"].strip())
    elif NOT_KNOBS.search(snake(variable if MIXTURE.search(snake(variable)) else constant.label)) or constant.part_of:
        return ()
    else:
        values = constant.choices or _around(constant)
    # Not a set of the values themselves: True and 1 are equal.
    distinct = list({(type(value), value): value for value in (*values, constant.value)}.values())
    distinct.sort()
    return tuple(distinct) if len(distinct) > 1 else ()


def _around(constant: Constant) -> Iterable[Value]:
    """Values around the current one, by its kind and its name."""
    value, words = constant.value, snake(constant.label)
    if isinstance(value, bool):
        return (False, True)
    if isinstance(value, str):
        return constant.compared_with
    if isinstance(value, int):
        if value == -1:  # "the last", "none", "all": a mark, not a quantity
            return ()
        if value == 0:
            return FROM_ZERO_STEPS if COUNTS_STEPS.search(words) else FROM_ZERO_COUNT
        sign = 1 if value > 0 else -1
        if "**" in constant.literal:
            return [power for power in (value // 4, value // 2, value * 2, value * 4) if power >= 1]
        return [sign * step for step in _whole_numbers(abs(value), abs(value) / REACH, abs(value) * REACH)]
    return _floats(value, words)


def _floats(value: float, words: str) -> Iterable[float]:
    if value == 0:
        return FROM_ZERO_RATE if LEARNING_RATE.search(words) and not BELOW_ONE.search(words) else FROM_ZERO
    exact = abs(Decimal(repr(value)))
    sign = 1 if value > 0 else -1
    if Decimal("0.8") <= exact < 1:  # averages and momenta: what matters is their memory, 1 / (1 - beta)
        gap = 1 - exact
        gaps = _round_numbers(gap / REACH, min(gap * REACH, Decimal("0.5")), apart_from=gap)
        return [sign * float(1 - step) for step in gaps]
    high = exact * REACH
    if exact < 1 and BELOW_ONE.search(words):
        high = min(high, Decimal("0.95"))
    steps = [sign * float(step) for step in _round_numbers(exact / REACH, high, apart_from=exact)]
    return [0.0, *steps] if MAY_BE_OFF.search(words) else steps


def _round_numbers(low: Decimal, high: Decimal, apart_from: Decimal) -> list[Decimal]:
    """Numbers of two digits, about 12% apart, in [low, high] but not too near one value; low is positive."""
    decades = range(low.adjusted(), high.adjusted() + 1)
    numbers = [digits.scaleb(decade) for decade in decades for digits in ROUND]
    return [n for n in numbers if low <= n <= high and abs(n - apart_from) >= NEAREST * apart_from]


def _whole_numbers(value: int, low: float, high: float) -> list[int]:
    """Positive whole numbers in [low, high] about 12% apart, in the steps in which such constants usually move.

    All are multiples of the largest power of two up to 8 that divides `value`: widths, heads and batches must often
    divide each other. Further up, where that costs no resolution, of a larger power of two that divides it as well;
    a value that was written as a round decimal number (divisible by 25) stays with round decimal numbers.
    """
    unit = min(8, value & -value)
    decimal = value % 25 == 0
    numbers = []
    for target in _round_numbers(Decimal(repr(float(max(low, 1)))), Decimal(repr(float(high))), Decimal(value)):
        if decimal:
            if target % unit == 0:
                numbers.append(int(target))
            continue
        step = max(unit, min(value & -value, 1 << max(0, int(target / 8).bit_length() - 1)))
        number = int((target / step).quantize(Decimal(1), ROUND_HALF_UP)) * step
        numbers.append(max(step, number))
    return numbers


def _allowed(constant: Constant, rule: str) -> list[Value]:
    """The values that a `# knob:` comment allows. Raises BadKnobComment."""
    if len(rule) > LONGEST_RULE:
        raise _bad(constant, f"{rule[:40]} …", f"a rule has at most {LONGEST_RULE} characters")
    if listed := re.fullmatch(r"one of\s+(.+)", rule):
        return [_parsed(constant, item.strip(), rule) for item in listed[1].split(",")]
    match = RANGE.fullmatch(rule)
    if not match or isinstance(constant.value, bool | str):
        raise _bad(constant, rule, "the comment is not understood" if not match else "only a number can have a range")
    low, high = (Decimal(str(_parsed(constant, match[side], rule))) for side in ("low", "high"))
    if low >= high:
        raise _bad(constant, rule, "the range is empty")
    whole = isinstance(constant.value, int)
    if match["step"]:
        step = Decimal(str(_parsed(constant, match["step"], rule)))
        if step <= 0 or (high - low) / step > MOST_STEPS:
            raise _bad(constant, rule, f"the step must be positive and give at most {MOST_STEPS} values")
        values = [low + step * index for index in range(int((high - low) / step) + 1)]
    elif whole and high - low <= 64:
        values = [low + index for index in range(int(high - low) + 1)]
    elif low > 0:
        values = [low, *_round_numbers(low, high, Decimal(repr(abs(constant.value)))), high]
    else:
        values = [low + (high - low) * index / 20 for index in range(21)]
    return [int(value) if whole else float(value) for value in values]


def _parsed(constant: Constant, item: str, rule: str) -> Value:
    """One value of a comment, as the constant's own kind. Raises BadKnobComment."""
    kind = type(constant.value)
    try:
        value: Value = ast.literal_eval(item)
    except (ValueError, SyntaxError):
        value = item  # an unquoted word
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise _bad(constant, rule, f"{item} is no {kind.__name__} like {constant.literal}")
    if isinstance(value, float) and not math.isfinite(value):
        raise _bad(constant, rule, f"{item} is not a finite number")
    return value


def _bad(constant: Constant, rule: str, why: str) -> BadKnobComment:
    return BadKnobComment(
        f'{constant.path}: the comment "# knob: {rule}" at {constant.label} cannot be used: {why}. '
        f"Write {FORMS}, or remove the comment."
    )
