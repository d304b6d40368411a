"""Numbers and times as people read them. A missing value is an en dash; minus is a real minus sign."""

import math
from datetime import datetime, timedelta

from django.utils import timezone

NOTHING = "–"
_PREFIXES = (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6))


def score(value: float | None) -> str:
    """A score in the metric's unit, with four decimals as long as those say something: 2.1873."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return minus(f"{value:.4f}" if 0.001 <= abs(value) < 1000 or value == 0 else f"{value:.4g}")


def spread(value: float | None) -> str:
    """A standard deviation or error, with two significant digits: 0.0071."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:.4f}" if 0.001 <= value < 1000 else f"{value:.2g}"


def change(value: float | None) -> str:
    """A difference of scores, always with its sign: −0.0115."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value:+.4f}" if 0.001 <= abs(value) < 1000 or value == 0 else f"{value:+.2g}"
    return minus(text)


def quantity(value: float | int | None) -> str:
    """A count: 139,840 up to a million, then 0.71 G and so on."""
    if value is None:
        return NOTHING
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    for prefix, size in _PREFIXES:
        if abs(value) >= size:
            return minus(f"{value / size:.3g} {prefix}") if abs(value) < 1000 * size else minus(f"{value:.3g}")
    return minus(f"{value:,.0f}") if abs(value) >= 100 or value == int(value) else minus(f"{value:.3g}")


def size(count: float | None) -> str:
    """Bytes: 412 MB."""
    if count is None:
        return NOTHING
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= one:
            return f"{count / one:.3g} {unit}" if count < 1000 * one else f"{count / one:,.0f} {unit}"
    return f"{count:.0f} B"


def percent(value: float | None, *, signed: bool = False) -> str:
    """A share: 0.041 is 4.1%, or +4.1% when signed."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return minus(f"{value:+.1%}" if signed else f"{value:.0%}")


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


def minus(text: str) -> str:
    return text.replace("-", "−")
