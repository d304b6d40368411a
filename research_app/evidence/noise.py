"""Sigma, the seed-to-seed standard deviation of the score of one fixed tree: its estimate, its uncertainty, its
failures.

Everything here works on groups of repeated runs: runs of the same tree at the same scale on the same kind of device,
which differ by seed alone. Scores are in the metric's unit. Sums of squares within groups divided by sigma² follow a
chi-squared distribution, which gives every interval and test below (normal scores assumed; NIST/SEMATECH e-Handbook,
1.3.5.8, 7.2.3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np
from scipy.special import betaincinv, chdtri, fdtr, fdtrc, stdtr

from research_app.evidence import digits
from research_app.evidence.digits import gain, in_sigma, number, spread
from research_app.evidence.errors import BadDesign, TooFewRuns, require_finite, require_runs, require_sigma
from research_app.wording import counted

CALIBRATION_RUNS = 8
WINSORIZED = 3.0
_MEDIAN_OF_NORMAL = 0.6745  # of |z|
DRIFT_ALPHA = 0.01  # drift and A/A checks are repeated often: a false alarm should be rare


@dataclass(frozen=True)
class LeftOut:
    """A group of repeated runs that sigma does not rest on: its own standard deviation is `times` that of the baseline."""

    group: str
    runs: int
    times: float

    @property
    def sentence(self) -> str:
        """`C-7: 6 runs that scatter 1,114 times as much as the baseline's`"""
        if not self.times:
            return f"{self.group}: {self.runs} runs that all score alike"
        if self.times >= 1:
            return f"{self.group}: {self.runs} runs that scatter {number(self.times)} times as much as the baseline's"
        return f"{self.group}: {self.runs} runs that scatter {number(1 / self.times)} times less than the baseline's"


@dataclass(frozen=True)
class Noise:
    """Sigma in the metric's unit, its 95% interval, and the degrees of freedom that it rests on.

    `left_out` are the groups that scatter too differently to be pooled, the largest deviation first (pooling.py).
    """

    sigma: float
    low: float
    high: float
    degrees: float
    left_out: tuple[LeftOut, ...] = ()

    @classmethod
    def known(cls, sigma: float, degrees: float = math.inf) -> Noise:
        """Sigma that is given rather than measured. Raises BadSigma."""
        require_sigma(sigma)
        return cls(sigma, sigma, sigma, degrees) if math.isinf(degrees) else with_interval(sigma, degrees)

    @property
    def sentence(self) -> str:
        """For pages: sigma with what is known about it."""
        known = f"95% {spread(self.low)} to {spread(self.high)}"
        return f"run-to-run noise σ {spread(self.sigma)} ({known}, {number(self.degrees)} degrees of freedom)"


@dataclass(frozen=True)
class NoiseCheck:
    """Whether an assumption about the noise still holds; `statistic` and `p_value` are those of the test."""

    holds: bool
    statistic: float
    p_value: float
    sentence: str


@dataclass(frozen=True)
class Rate:
    """`count` of `tried`, as a rate with its 95% interval."""

    count: int
    tried: int
    rate: float
    low: float
    high: float


def calibrate(scores: Sequence[float]) -> Noise:
    """Sigma from repeated runs of one tree; CALIBRATION_RUNS of them give it to within a factor of about 2.

    Raises TooFewRuns below 2, BadScore, and BadSigma when all scores are equal.
    """
    require_runs(scores, 2, "calibration")
    return pool([scores])


def pool(groups: Sequence[Sequence[float]], known: Noise | None = None) -> Noise:
    """Sigma pooled within groups of repeated runs, on top of what is `known` from other runs.

    sigma² = sum of squares within groups / sum of (n_i - 1); groups of one run say nothing and are ignored. Every group is
    believed: pooling.py has the estimate that one group cannot move. Raises TooFewRuns when no group repeats a run, BadSigma
    when nothing varies.
    """
    squares, degrees = squares_within(groups)
    unit = max(squares.unit, known.sigma if known else 0.0)
    counted: float = degrees
    total = squares.sum_in(unit)
    if known is not None:
        total, counted = total + known.degrees * (known.sigma / unit) ** 2, counted + known.degrees
    if counted < 1:
        raise TooFewRuns("no tree was run twice: run at least 2 seeds of one tree to measure sigma")
    return with_interval(unit * math.sqrt(total / counted), counted)


def with_interval(sigma: float, degrees: float) -> Noise:
    """Sigma with its 95% interval, sigma sqrt(degrees / chi²). Raises BadSigma."""
    require_sigma(sigma)
    low, high = (sigma * math.sqrt(degrees / chdtri(degrees, tail)) for tail in (0.025, 0.975))
    return Noise(sigma, low, high, degrees)


def aa_check(noise: Noise, groups: Sequence[Sequence[float]]) -> NoiseCheck:
    """Whether changes that do nothing still scatter as sigma says.

    Each group holds the scores of one baseline version and of its A/A candidates, which all ran the same program. The
    ratio of their variance to sigma² is an F statistic when sigma was measured on other runs; two-sided at
    DRIFT_ALPHA.
    """
    squares, degrees = squares_within(groups)
    if degrees < 1:
        raise TooFewRuns("no A/A candidate beside a baseline run: run at least one A/A candidate")
    ratio = squares.sum_in(noise.sigma) / degrees
    p_value = float(min(1.0, 2 * min(fdtrc(degrees, noise.degrees, ratio), fdtr(degrees, noise.degrees, ratio))))
    holds = p_value >= DRIFT_ALPHA
    times = f"{number(math.sqrt(ratio))} times σ over {counted(degrees, 'degree')} of freedom"
    sentence = f"changes that do nothing scatter {times} ({digits.p_value(p_value)})"
    advice = "" if holds else "; measure sigma again before trusting further verdicts"
    return NoiseCheck(holds, ratio, p_value, sentence + advice)


def false_accept_rate(accepted: int, tried: int) -> Rate:
    """The share of A/A candidates that were accepted, with its exact 95% interval (Clopper and Pearson 1934)."""
    if not 0 <= accepted <= tried or tried == 0:
        raise BadDesign(f"{accepted} of {tried} A/A candidates accepted: give a count between 0 and a positive number tried")
    low = float(betaincinv(accepted, tried - accepted + 1, 0.025)) if accepted else 0.0
    high = float(betaincinv(accepted + 1, tried - accepted, 0.975)) if accepted < tried else 1.0
    return Rate(accepted, tried, accepted / tried, low, high)


def drift_between(noise: Noise, groups: Mapping[str, Sequence[float]]) -> NoiseCheck:
    """Whether one tree scores alike on several days, devices or hosts (the keys): one-way analysis of variance.

    F = [sum n_i (mean_i - mean)² / (g - 1)] / sigma², with (g - 1, noise.degrees) degrees of freedom.
    """
    if len(groups) < 2:
        raise TooFewRuns(f"{len(groups)} group of runs: drift needs at least 2 days, devices or hosts to compare")
    for name, scores in groups.items():
        require_runs(scores, 1, name)
        require_finite(scores, name)
    everything = fmean(score for scores in groups.values() for score in scores)
    between = sum(len(scores) * (fmean(scores) - everything) ** 2 for scores in groups.values())
    ratio = between / (len(groups) - 1) / noise.sigma**2
    p_value = float(fdtrc(len(groups) - 1, noise.degrees, ratio))
    furthest = max(groups, key=lambda name: abs(fmean(groups[name]) - everything))
    shift = (fmean(groups[furthest]) - everything) / noise.sigma
    holds = p_value >= DRIFT_ALPHA
    sentence = f"{furthest} lies {in_sigma(shift)} from the mean of {len(groups)} groups ({digits.p_value(p_value)})"
    return NoiseCheck(holds, ratio, p_value, sentence + ("" if holds else "; compare runs only within one group"))


def drift_over_time(times: Sequence[float], scores: Sequence[float]) -> NoiseCheck:
    """Whether repeated runs of one tree get better or worse with time (any unit): t-test of a straight line's slope."""
    if len(times) != len(scores):
        raise BadDesign(f"{len(times)} times and {len(scores)} scores: give one time for each score")
    require_runs(scores, 4, "drift over time")
    require_finite(scores, "repeated")
    require_finite(times, "time of")
    if max(times) == min(times):
        raise BadDesign("all runs have the same time: drift over time needs runs at different times")
    slope, p_value = _slope(times, scores)
    change = slope * (max(times) - min(times))
    holds = p_value >= DRIFT_ALPHA
    sentence = f"scores of one tree moved by {gain(change)} over the period ({digits.p_value(p_value)})"
    return NoiseCheck(holds, slope, p_value, sentence + ("" if holds else "; measure the reference runs again"))


def prior_spread(effects: Sequence[float], standard_errors: Sequence[float], floor: float) -> float:
    """Tau, the standard deviation about zero of the true effects behind these confirmed estimates, in the metric's
    unit.

    Method of moments: tau² = mean(D² - SE²) weighted by 1/SE⁴ (DerSimonian and Laird 1986, with the mean fixed at 0),
    never below `floor`, which is also the answer when there are no estimates yet. No estimate counts for more than
    WINSORIZED standard deviations of the typical one, which is the median of all and of two imagined at the floor: one
    candidate with an absurd effect would otherwise set the prior of all others.
    """
    if len(effects) != len(standard_errors):
        raise BadDesign(f"{len(effects)} effects and {len(standard_errors)} standard errors: give one for each")
    require_sigma(floor)
    require_finite(effects, "effect")
    for error in standard_errors:
        require_sigma(error)
    if not effects:
        return floor
    sizes = [abs(effect) / floor for effect in effects]
    typical = max(1.0, median([*sizes, _MEDIAN_OF_NORMAL, _MEDIAN_OF_NORMAL]) / _MEDIAN_OF_NORMAL)
    smallest, excess, total = min(standard_errors), 0.0, 0.0
    for size, error in zip(sizes, standard_errors, strict=True):
        weight, own = (smallest / error) ** 4, error / floor
        excess += weight * (min(size, WINSORIZED * math.hypot(typical, own)) ** 2 - own**2)
        total += weight
    return floor * math.sqrt(max(1.0, excess / total))


def _slope(times: Sequence[float], scores: Sequence[float]) -> tuple[float, float]:
    """Least-squares slope and the two-sided p of its t-test with n - 2 degrees of freedom."""
    x, y = np.asarray(times) - fmean(times), np.asarray(scores) - fmean(scores)
    spread = float(x @ x)
    slope = float(x @ y) / spread
    left = float(np.sum((y - slope * x) ** 2)) / (len(times) - 2)
    if left == 0:
        return slope, 1.0 if slope == 0 else 0.0
    return slope, float(2 * stdtr(len(times) - 2, -abs(slope) / math.sqrt(left / spread)))


@dataclass(frozen=True)
class Squares:
    """A sum of squares, kept as `total` times `unit`²: squares of tiny or huge scores would leave the range of floats."""

    unit: float
    total: float

    def sum_in(self, unit: float) -> float:
        """The sum in units of `unit`²."""
        ratio = self.unit / unit if self.total else 0.0
        return self.total * (ratio * ratio)


def squares_within(groups: Sequence[Sequence[float]]) -> tuple[Squares, int]:
    """(sum of squares within groups, degrees of freedom). Raises BadScore."""
    deviations: list[float] = []
    degrees = 0
    for scores in groups:
        require_finite(scores, "repeated")
        if len(scores) < 2:
            continue
        if min(scores) < max(scores):  # equal scores leave exactly 0, not the rounding of a mean
            centre = fmean(scores)
            deviations += [score - centre for score in scores]
        degrees += len(scores) - 1
    unit = max((abs(deviation) for deviation in deviations), default=0.0)
    return Squares(unit, math.fsum((deviation / unit) ** 2 for deviation in deviations) if unit else 0.0), degrees
