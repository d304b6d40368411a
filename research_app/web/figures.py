"""Counts, sizes, shares and times as people read them. A missing value is an en dash; minus is a real minus sign.

Scores, gains and their errors: research_app/evidence/digits.py.
"""

import math
from datetime import datetime, timedelta

from django.utils import timezone

from research_app.evidence.digits import UNKNOWN, minus, number, share

NOTHING = UNKNOWN
_PREFIXES = (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6))


def quantity(value: float | int | None) -> str:
    """A count: 139,840 up to a million, then 0.71 G and so on."""
    if value is None:
        return NOTHING
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    for prefix, size in _PREFIXES:
        if abs(value) >= size:
            return f"{number(value / size)} {prefix}" if abs(value) < 1000 * size else number(value)
    return minus(f"{value:,.0f}") if abs(value) >= 100 or value == int(value) else number(value)


def size(count: float | None) -> str:
    """Bytes: 412 MB."""
    if count is None:
        return NOTHING
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= one:
            return f"{number(count / one)} {unit}" if count < 1000 * one else f"{count / one:,.0f} {unit}"
    return f"{count:.0f} B"


def percent(value: float | None, *, signed: bool = False) -> str:
    """A share: 0.041 is 4.1%, or +4.1% when signed."""
    return share(value, 1, signed=True) if signed else share(value)


def duration(seconds: float | timedelta | None) -> str:
    """A time span in its largest sensible unit: 48 s, 14 min, 2 h, 3 d."""
    if seconds is None:
        return NOTHING
    total = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    for unit, one, until in (("s", 1, 90), ("min", 60, 5400), ("h", 3600, 172_800)):
        if total < until:
            return f"{max(total, 0) / one:.0f} {unit}"
    return f"{total / 86_400:.0f} d"


def age(then: datetime | None) -> str:
    """How long ago, to the minute: seconds that tick would renew a page all the time."""
    if then is None:
        return NOTHING
    passed = timezone.now() - then
    return "<1 min" if passed < timedelta(minutes=1) else duration(max(passed, timedelta(seconds=90)))
