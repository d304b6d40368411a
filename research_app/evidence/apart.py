"""Figures that are compared in one sentence are written with as many digits as it takes to see which is larger."""

from __future__ import annotations

import math

MOST = 15  # decimals; a float has no more to tell


def told_apart(*values: float, decimals: int = 2) -> tuple[str, ...]:
    """The texts of numbers that a sentence compares: with `decimals` places, or as many more as it takes.

    No two that differ read the same, and none but 0 reads as 0. Numbers that differ in no more than the last bits of a float,
    or that are not finite, are written as they are.
    """
    places = places_apart(*values, decimals=decimals)
    return tuple(_text(value, places) for value in values)


def places_apart(*values: float, decimals: int = 2, nothing: bool = False) -> int:
    """How many decimals that takes. With `nothing` small numbers may read as 0, as long as no two that differ read the same."""
    return next((places for places in range(decimals, MOST + 1) if _distinct(values, places, nothing)), MOST)


def percent_apart(*shares: float, decimals: int = 0) -> tuple[str, ...]:
    """The same of shares: 0.0744 beside 0.0741 is 7.44% beside 7.41%."""
    return tuple(f"{text}%" for text in told_apart(*(100 * share for share in shares), decimals=decimals))


def _distinct(values: tuple[float, ...], places: int, nothing: bool) -> bool:
    texts = {_text(value, places) for value in values}
    hidden = any(value and not float(_text(value, places)) for value in values if math.isfinite(value))
    return (nothing or not hidden) and len(texts) == len(set(values))


def _text(value: float, places: int) -> str:
    return f"{value:.{places}f}" if math.isfinite(value) else str(value)
