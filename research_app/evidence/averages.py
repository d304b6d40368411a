"""Mean and spread of numbers of any size. The standard library's raise OverflowError where a sum exceeds the largest float."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev


def mean(values: Sequence[float]) -> float | None:
    """The arithmetic mean; None of no values. Not finite where one of the values is not."""
    if not values:
        return None
    size = _size(values)
    return size * fmean(value / size for value in values) if math.isfinite(size) else math.nan


def deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation, n − 1; None of fewer than two values. Infinite where it exceeds the largest float."""
    if len(values) < 2:
        return None
    size = _size(values)
    return size * stdev(value / size for value in values) if math.isfinite(size) else math.nan


def _size(values: Sequence[float]) -> float:
    """A power of two by which all values can be divided without an overflow and without losing digits."""
    largest = max(abs(value) for value in values)
    if not all(math.isfinite(value) for value in values):
        return math.nan
    return 2.0 ** min(1000, max(-1000, math.frexp(largest)[1])) if largest else 1.0
