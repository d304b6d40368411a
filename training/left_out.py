"""What of a run's values is kept, and how many of the others were left out by which limit: nothing vanishes unsaid."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TypeGuard

MOST_SERIES = 256  # of one run
MOST_FACTS = 64  # of one run
NAME_LIMIT = 64  # characters
FACT_LIMIT = 200  # characters of a fact that is text
LINE_LIMIT = 1 << 20  # bytes of one line of series.jsonl

NO_POINT = "lines that are neither a point nor facts"
NOT_FINITE = "values that are not finite"
TOO_LARGE = "values beyond 1e300"
NO_NUMBER = "values that are no number"
BAD_NAME = f"values whose name is empty, longer than {NAME_LIMIT} characters or cannot be printed"
TOO_MANY = f"values of series beyond the first {MOST_SERIES} of a run"
BAD_FACT = f"facts that are no finite number and no short text (at most {FACT_LIMIT} printable characters)"
MORE_FACTS = f"facts beyond the first {MOST_FACTS}"
LONG_POINTS = f"lines of more than {LINE_LIMIT:,} bytes"
LONG_LINES = "characters of lines that are too long"
LOG_BYTES = "bytes in the middle of the log"


class LeftOut:
    """Takes what may be kept of what a run logged, and counts the rest by the limit that it broke: nothing vanishes unsaid."""

    def __init__(self, *always: str) -> None:
        self.counts: Counter[str] = Counter()
        self.names: set[str] = {*always}  # of the series so far, and of those that are kept whenever they come

    def count(self, why: str, number: int = 1) -> None:
        self.counts[why] += number

    def values(self, record: Mapping[str, object]) -> dict[str, float]:
        """The finite numbers of a point, of the first MOST_SERIES series of the run."""
        counts = {}
        for name, value in record.items():
            if why := self._no_value(name, value):
                self.count(why)
            else:
                self.names.add(name)
                counts[name] = float(value)  # type: ignore[arg-type]
        return counts

    def _no_value(self, name: str, value: object) -> str:
        """Why a value is not kept; empty where it is."""
        if not is_number(value):
            return no_number(value)
        if len(name) > NAME_LIMIT or not name.isprintable() or not name.strip():
            return BAD_NAME
        return TOO_MANY if name not in self.names and len(self.names) >= MOST_SERIES else ""

    def facts(self, record: Mapping[str, object]) -> dict[str, float | int | str]:
        """The finite numbers and short texts of a run's facts."""
        facts: dict[str, float | int | str] = {}
        for name, value in record.items():
            text = isinstance(value, str) and value.isprintable() and len(value) <= FACT_LIMIT
            if len(name) > NAME_LIMIT or not name.isprintable() or not (text or is_number(value)):
                self.count(BAD_FACT)
            elif len(facts) >= MOST_FACTS:
                self.count(MORE_FACTS)
            else:
                facts[name] = value  # type: ignore[assignment]
        return facts


def no_number(value: object) -> str:
    """Why a value that `is_number` refuses is left out."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NO_NUMBER
    return TOO_LARGE if isinstance(value, int) or math.isfinite(value) else NOT_FINITE


def printable(text: str) -> str:
    """Untrusted text on one line, without what cannot be shown or stored."""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


def is_number(value: object) -> TypeGuard[float | int]:
    """Whether a value is a finite number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300 and math.isfinite(value)
