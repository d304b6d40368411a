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
from statistics import fmean

import numpy as np
from scipy.special import betaincinv, chdtri, fdtr, fdtrc, stdtr

from research_app.evidence import digits
from research_app.evidence.digits import gain, in_sigma, number, spread
from research_app.evidence.errors import BadDesign, TooFewRuns, require_finite, require_runs, require_sigma

CALIBRATION_RUNS = 8
DRIFT_ALPHA = 0.01  # drift and A/A checks are repeated often: a false alarm should be rare


@dataclass(frozen=True)
class Noise:
    """Sigma in the metric's unit, its 95% interval, and the degrees of freedom that it rests on."""

    sigma: float
    low: float
    high: float
    degrees: int

    @property
    def sentence(self) -> str:
        """For pages: sigma with what is known about it."""
        known = f"95% {spread(self.low)} to {spread(self.high)}"
        return f"run-to-run noise σ {spread(self.sigma)} ({known}, {self.degrees} degrees of freedom)"


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

    sigma² = sum of squares within groups / sum of (n_i - 1); groups of one run say nothing and are ignored. The 95%
    interval is sigma sqrt(degrees / chi²). Raises TooFewRuns when no group repeats a run, BadSigma when nothing varies.
    """
    squares, degrees = _within(groups)
    if known is not None:
        squares, degrees = squares + known.degrees * known.sigma**2, degrees + known.degrees
    if degrees < 1:
        raise TooFewRuns("no tree was run twice: run at least 2 seeds of one tree to measure sigma")
    sigma = math.sqrt(squares / degrees)
    require_sigma(sigma)
    return Noise(
        sigma=sigma,
        low=sigma * math.sqrt(degrees / chdtri(degrees, 0.025)),
        high=sigma * math.sqrt(degrees / chdtri(degrees, 0.975)),
        degrees=degrees,
    )


def aa_check(noise: Noise, groups: Sequence[Sequence[float]]) -> NoiseCheck:
    """Whether changes that do nothing still scatter as sigma says.

    Each group holds the scores of one baseline version and of its A/A candidates, which all ran the same program. The
    ratio of their variance to sigma² is an F statistic when sigma was measured on other runs; two-sided at
    DRIFT_ALPHA.
    """
    squares, degrees = _within(groups)
    if degrees < 1:
        raise TooFewRuns("no A/A candidate beside a baseline run: run at least one A/A candidate")
    ratio = squares / degrees / noise.sigma**2
    p_value = float(min(1.0, 2 * min(fdtrc(degrees, noise.degrees, ratio), fdtr(degrees, noise.degrees, ratio))))
    holds = p_value >= DRIFT_ALPHA
    times = f"{number(math.sqrt(ratio))} times σ over {degrees} degrees of freedom"
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
    return NoiseCheck(holds, slope, p_value, sentence + ("" if holds else "; renew the baseline bank"))


def prior_spread(effects: Sequence[float], standard_errors: Sequence[float], floor: float) -> float:
    """Tau, the standard deviation about zero of the true effects behind these confirmed estimates, in the metric's
    unit.

    Method of moments: tau² = mean(D² - SE²) weighted by 1/SE⁴ (DerSimonian and Laird 1986, with the mean fixed at 0),
    never below `floor`, which is also the answer when there are no estimates yet.
    """
    if len(effects) != len(standard_errors):
        raise BadDesign(f"{len(effects)} effects and {len(standard_errors)} standard errors: give one for each")
    require_sigma(floor)
    require_finite(effects, "effect")
    for error in standard_errors:
        require_sigma(error)
    if not effects:
        return floor
    weights = [1 / error**4 for error in standard_errors]
    pairs = zip(weights, effects, standard_errors, strict=True)
    excess = sum(weight * (effect**2 - error**2) for weight, effect, error in pairs)
    return max(floor, math.sqrt(max(0.0, excess / sum(weights))))


def _slope(times: Sequence[float], scores: Sequence[float]) -> tuple[float, float]:
    """Least-squares slope and the two-sided p of its t-test with n - 2 degrees of freedom."""
    x, y = np.asarray(times) - fmean(times), np.asarray(scores) - fmean(scores)
    spread = float(x @ x)
    slope = float(x @ y) / spread
    left = float(np.sum((y - slope * x) ** 2)) / (len(times) - 2)
    if left == 0:
        return slope, 1.0 if slope == 0 else 0.0
    return slope, float(2 * stdtr(len(times) - 2, -abs(slope) / math.sqrt(left / spread)))


def _within(groups: Sequence[Sequence[float]]) -> tuple[float, int]:
    """(sum of squares within groups, degrees of freedom)."""
    squares, degrees = 0.0, 0
    for scores in groups:
        require_finite(scores, "repeated")
        if len(scores) < 2:
            continue
        if min(scores) < max(scores):  # equal scores leave exactly 0, not the rounding of a mean
            centre = fmean(scores)
            squares += sum((score - centre) ** 2 for score in scores)
        degrees += len(scores) - 1
    return squares, degrees
