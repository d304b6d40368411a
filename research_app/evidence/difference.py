"""The difference between two arms of runs: how large, how sure, and whether that is better, worse, or neither.

Every page, sentence and rule that calls an effect better, worse or within the noise asks here, so that two places cannot
disagree: the measure is the difference against its own standard error, never the difference alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from scipy.special import stdtr, stdtrit

from research_app.evidence.digits import Gain
from research_app.evidence.errors import TooFewRuns, require_finite, require_runs, require_sigma
from research_app.evidence.noise import Noise, squares_within

LEVEL = 0.95  # of every two-sided interval


class Direction(StrEnum):
    """What an interval says of an effect that is positive where the candidate is better."""

    BETTER = "better"
    WORSE = "worse"
    UNCLEAR = "cannot tell"


@dataclass(frozen=True)
class Difference:
    """An effect with its error. effect, sigma, standard_error and interval (95%) are in the metric's unit.

    `degrees` are those of sigma, and of the t distribution behind interval and p-values; math.inf where sigma is known.
    `p_value` is one-sided, for "better"; `p_harm` for "worse".
    """

    effect: float
    sigma: float
    standard_error: float
    degrees: float
    interval: tuple[float, float]
    p_value: float
    p_harm: float

    @property
    def direction(self) -> Direction:
        """Better or worse where the interval leaves out 0."""
        return direction_of(*self.interval)

    @property
    def sentence(self) -> str:
        """Which direction, by how much, and the interval: the one wording of an effect."""
        return in_words(self.gain)

    @property
    def gain(self) -> Gain:
        """As people read it."""
        return Gain(self.effect, self.standard_error, *self.interval)


def direction_of(low: float | None, high: float | None) -> Direction:
    """What an interval of an effect says; without one nothing can be told."""
    if low is not None and low > 0:
        return Direction.BETTER
    return Direction.WORSE if high is not None and high < 0 else Direction.UNCLEAR


def in_words(gain: Gain) -> str:
    """`worse: −0.042, 95% interval −0.045 … −0.039`; `better: …`; or that neither can be told, with the same figures."""
    words = {Direction.UNCLEAR: "better or worse cannot be told"}
    direction = direction_of(gain.low, gain.high)
    return f"{words.get(direction, direction.value)}: {gain.sentence}"


def compare(
    baseline: Sequence[float],
    candidate: Sequence[float],
    noise: Noise | None,
    *,
    weight: float = 0.0,
    lower_is_better: bool = True,
) -> Difference:
    """The effect of a candidate from the scores of both arms.

    With `weight` 0 sigma is that of `noise`. Otherwise the arms' own spread is weighed in (the moderated t-test of Smyth
    2004, Stat. Appl. Genet. Mol. Biol. 3, 3): s² = (w sigma² + squares within both arms) / (w + m - 2) with m runs in all
    and w the smaller of `weight` and the noise's degrees of freedom; an arm may be noisier than `noise` says. Without
    `noise` the arms' own spread is all there is (Student's t).

    `noise` must come from other runs than these for interval and p-values to hold. Raises TooFewRuns, BadScore, BadSigma.
    """
    effect = effect_between(baseline, candidate, lower_is_better)
    sigma, degrees = moderated(noise, weight, baseline, candidate)
    return from_estimate(effect, sigma, sigma * math.sqrt(1 / len(baseline) + 1 / len(candidate)), degrees)


def from_estimate(effect: float, sigma: float, standard_error: float, degrees: float) -> Difference:
    """Interval and p-values of an effect with its standard error, by Student's t."""
    half = t_quantile(degrees) * standard_error
    ratio = effect / standard_error
    p_value, p_harm = float(stdtr(degrees, -ratio)), float(stdtr(degrees, ratio))
    return Difference(effect, sigma, standard_error, degrees, (effect - half, effect + half), p_value, p_harm)


def effect_between(baseline: Sequence[float], candidate: Sequence[float], lower_is_better: bool = True) -> float:
    """mean(baseline) - mean(candidate), signs swapped where higher is better. Raises TooFewRuns, BadScore."""
    for scores, arm in ((baseline, "baseline"), (candidate, "candidate")):
        require_runs(scores, 1, arm)
        require_finite(scores, arm)
    difference = fmean(baseline) - fmean(candidate)
    return difference if lower_is_better else -difference


def moderated(noise: Noise | None, weight: float, *arms: Sequence[float]) -> tuple[float, float]:
    """(sigma, its degrees of freedom) after the arms' own spread is weighed in. Raises TooFewRuns, BadSigma."""
    if noise is not None:
        require_sigma(noise.sigma)
        if weight == 0 or math.isinf(weight):
            return noise.sigma, noise.degrees
    squares, own = squares_within(arms)
    counted = min(weight, noise.degrees) if noise is not None else 0.0
    if own + counted < 1:
        raise TooFewRuns("no noise is known and neither arm repeats a run: run at least 2 seeds of one of them")
    largest = max(noise.sigma if noise is not None else 0.0, squares.unit)  # squares of tiny or huge scores stay in range
    require_sigma(largest)
    known = counted * (noise.sigma / largest) ** 2 if noise is not None else 0.0
    sigma = largest * math.sqrt((known + squares.sum_in(largest)) / (own + counted))
    require_sigma(sigma)
    return sigma, own + counted


def t_quantile(degrees: float, level: float = LEVEL) -> float:
    """How many standard errors a two-sided interval reaches to either side."""
    return float(stdtrit(degrees, 0.5 + level / 2))
