"""Measured numbers as text: as many digits as the error leaves, one sign convention, no exponents in the ordinary range.

A gain is positive where the candidate is better, whichever direction of the metric that is. Pages, mail, commits, sentences
of the API and the command line all write gains through here, so that one gain reads the same everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

UNKNOWN = "–"
Z_95 = 1.959964  # of a two-sided 95% interval
SMALL, LARGE = 1e-6, 1e9  # the ordinary range: outside of it a power of ten reads better
MOST_DIGITS = 6  # of a value, however small its error: nobody reads more
CONVENTION = "positive is better"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Gain:
    """A gain in the metric's unit with its standard error and 95% interval; None where that is unknown."""

    value: float
    error: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        """`+0.0144`"""
        return gain(self.value, self.spread)

    @property
    def interval(self) -> str:
        """`+0.0091 … +0.0197`; empty without one."""
        return "" if self.low is None or self.high is None else interval(self.low, self.high, self.spread)

    @property
    def sentence(self) -> str:
        """`+0.0144, 95% interval +0.0091 … +0.0197`"""
        return self.in_unit("")

    def in_unit(self, unit: str) -> str:
        """`+0.0144 val_bpb, 95% interval +0.0091 … +0.0197`"""
        return f"{self.text} {unit}".strip() + (f", 95% interval {self.interval}" if self.interval else "")

    @property
    def spread(self) -> float | None:
        """The standard error, read off the interval where it was not kept."""
        if self.error is not None or self.low is None or self.high is None:
            return self.error
        return (self.high - self.low) / (2 * Z_95)


def gain(value: float | None, error: float | None = None) -> str:
    """A gain or a difference, with its sign: `+0.0144`. Decimals are those of the error's two leading digits."""
    return written(value, error, signed=True)


def interval(low: float, high: float, error: float | None = None) -> str:
    """Both bounds with the decimals of the value that they belong to: `+0.0091 … +0.0197`."""
    known = error if error is not None else (high - low) / (2 * Z_95)
    return f"{gain(low, known)} … {gain(high, known)}"


def score(value: float | None, error: float | None = None) -> str:
    """A score in the metric's unit: `2.1873`. Without an error four decimals, as long as those say something."""
    if error is None and value is not None and (0.001 <= abs(value) < 1000 or value == 0):
        return minus(f"{value:.4f}")
    return written(value, error, digits=4)


def spread(value: float | None) -> str:
    """A standard deviation or error, with two significant digits: `0.0071`."""
    return written(value, value)


def number(value: float | None, digits: int = 3) -> str:
    """Any other number, with so many significant digits: `2.19`, `139,840`, `1.2×10¹³`."""
    return written(value, digits=digits)


def p_value(value: float | None) -> str:
    """A probability under the null hypothesis: `p = 0.012`, `p = 0.00031`, `p = 2.3×10⁻¹⁷`."""
    if value is None or not math.isfinite(value):
        return "p unknown"
    if value <= 0:  # too small for a float
        return "p < 10⁻³⁰⁰"
    return f"p = {_stripped(_power(value, 1)) if value < 1e-5 else written(value, digits=2)}"


def share(value: float | None, decimals: int = 0, *, signed: bool = False) -> str:
    """A share as a percentage: 0.041 is `4%`, with one decimal and its sign `+4.1%`; what rounds to nothing has no sign."""
    if value is None or not math.isfinite(value) or not math.isfinite(100 * value):
        return UNKNOWN
    if abs(100 * value) >= LARGE:
        return f"{written(100 * value, signed=signed)}%"
    text = f"{100 * value:,.{decimals}f}"
    if not float(text.replace(",", "")):
        return f"{0:.{decimals}f}%"
    return minus(f"+{text}%" if signed and value > 0 else f"{text}%")


def in_sigma(value: float, decimals: int = 1) -> str:
    """A gain in units of the run-to-run noise: `+1.4 σ`."""
    return f"{minus(f'{value:+.{decimals}f}') if abs(value) < 1000 else written(value, signed=True)} σ"


def written(value: float | None, error: float | None = None, *, digits: int = 3, signed: bool = False) -> str:
    """The text of a number whose standard error is known, or else with so many significant digits. An en dash for none."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    decimals = decimals_for(value, error, digits)
    size = max(abs(value), error) if error and math.isfinite(error) else abs(value)
    if value == 0:
        text = f"{0:.{max(decimals, 0)}f}" if SMALL <= size < LARGE else "0"
    elif size < SMALL or abs(value) >= LARGE:
        text = _power(value, max(_exponent(value) + decimals, 0))
    else:
        text = f"{value:,.{max(decimals, 0)}f}" if abs(value) >= 10_000 else f"{value:.{max(decimals, 0)}f}"
    text = _stripped(text) if error is None else text
    return minus(f"+{text}" if signed and value > 0 else text)


def decimals_for(value: float, error: float | None, digits: int) -> int:
    """Places after the point: of the error's two leading digits, yet at most MOST_DIGITS of the value in all."""
    if error is None or not math.isfinite(error) or error <= 0:
        return digits - 1 - _exponent(value) if value else 0
    from_error = 1 - _exponent(error, 2)
    return min(from_error, MOST_DIGITS - 1 - _exponent(value)) if value and abs(value) > error else from_error


def minus(text: str) -> str:
    """With a real minus sign."""
    return text.replace("-", "−")


def _stripped(text: str) -> str:
    """Without zeros that no error vouches for: `0.012` for `0.0120`, `1×10⁻⁹` for `1.00×10⁻⁹`."""
    mantissa, times, power = text.partition("×")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}{times}{power}"


def _exponent(value: float, digits: int = 3) -> int:
    """Of the power of ten of the leading digit, as it is after rounding to so many digits: 0.0996 has −2, 0.0999999 has −1."""
    return int(f"{value:.{digits - 1}e}".partition("e")[2])


def _power(value: float, decimals: int) -> str:
    mantissa, _, exponent = f"{value:.{min(decimals, MOST_DIGITS - 1)}e}".partition("e")
    return f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPT)}"
