"""Counts, sizes, shares and times as people read them. A missing value is an en dash; minus is a real minus sign.

Scores, gains and their errors: research_app/evidence/digits.py.
"""

import math
from datetime import datetime, timedelta

from django.utils import timezone

from research_app.evidence.digits import UNKNOWN, minus, number, share

NOTHING = UNKNOWN
LONGEST = timedelta(days=36_525)  # beyond a century a time is a fault of something, and is written short
_PREFIXES = (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6))


def as_number(value: object) -> float | None:
    """What is a number, as a float; infinite where it is longer than any. None for all else: words, lists, truths."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return math.inf if value > 0 else -math.inf


def quantity(value: float | None) -> str:
    """A count: 139,840 up to a million, then 0.71 G and so on."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return minus(str(value))
    for prefix, size in _PREFIXES:
        if abs(value) >= size:
            return f"{number(value / size)} {prefix}" if abs(value) < 1000 * size else number(value)
    return minus(f"{value:,.0f}") if abs(value) >= 100 or value == int(value) else number(value)


def size(count: float | None) -> str:
    """Bytes: 412 MB."""
    if count is None or not math.isfinite(count):
        return NOTHING
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= one:
            return f"{number(count / one)} {unit}" if count < 1000 * one else f"{count / one:,.0f} {unit}"
    return f"{count:.0f} B"


def percent(value: float | None, *, signed: bool = False) -> str:
    """A share: 0.041 is 4.1%, or +4.1% when signed."""
    return share(value, 1, signed=True) if signed else share(value)


def seconds(value: float | None) -> str:
    """A time to a tenth of a second: 15.2 s."""
    return NOTHING if value is None or not math.isfinite(value) else minus(f"{value:.1f} s")


def duration(seconds: float | timedelta | None) -> str:
    """A time span in its largest sensible unit: 48 s, 14 min, 2 h, 3 d."""
    if seconds is None:
        return NOTHING
    total = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    if not math.isfinite(total):
        return NOTHING
    for unit, one, until in (("s", 1, 90), ("min", 60, 5400), ("h", 3600, 172_800)):
        if total < until:
            return f"{max(total, 0) / one:.0f} {unit}"
    return f"{total / 86_400:.0f} d" if total < LONGEST.total_seconds() else f"{number(total / 86_400)} d"


def age(then: datetime | None) -> str:
    """How long ago, to the minute: seconds that tick would renew a page all the time."""
    if then is None:
        return NOTHING
    passed = timezone.now() - then
    return "<1 min" if passed < timedelta(minutes=1) else duration(max(passed, timedelta(seconds=90)))
