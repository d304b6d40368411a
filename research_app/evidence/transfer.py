"""Does a gain at a small scale hold at a larger one? The verdict per rung, and the prediction for the next.

Savings are shares of the baseline's time at equal loss (`savings.Saving.saved`): unlike the loss itself, they can be
compared between scales. Compute is relative to the smallest rung (S = 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from research_app.evidence import digits
from research_app.evidence.apart import places_apart
from research_app.evidence.difference import Difference, Direction, compare
from research_app.evidence.digits import share
from research_app.evidence.errors import BadDesign, BadSigma, require_finite, require_runs, require_sigma
from research_app.evidence.noise import Noise, false_accept_rate

TRANSFER_ALPHA = 0.05
LEAST_SHARE = 0.5  # of the shrunken saving at the rung below
PREDICTED = 0.95  # of the measurements to come should lie inside the interval of their prediction
SLOPE_SPREAD = 0.03

_NORMAL = NormalDist()


@dataclass(frozen=True)
class RungSaving:
    """The time saved that was measured on one rung, with its standard error."""

    rung: str
    compute: float
    saved: float
    standard_error: float


@dataclass(frozen=True)
class RungVerdict:
    """Whether a candidate passes a rung, with the reason in a sentence, and the difference that this rests on."""

    passed: bool
    difference: Difference
    sentence: str


@dataclass(frozen=True)
class Prediction:
    """The saving expected at `compute`, with its 95% interval; `slope` is its change per e-fold of compute."""

    compute: float
    saved: float
    standard_error: float
    interval: tuple[float, float]
    slope: float


@dataclass(frozen=True)
class Forecast:
    """The saving that was predicted for a rung, with its 95% interval, and the one that was measured there afterwards."""

    predicted: float
    low: float
    high: float
    measured: float

    @property
    def inside(self) -> bool:
        """Whether what came lies in the interval that was shown before."""
        return self.low <= self.measured <= self.high


@dataclass(frozen=True)
class Coverage:
    """How many of some forecasts held, beside the 95% that should; `low` and `high`: 95% interval of the share."""

    inside: int
    of: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.inside / self.of

    @property
    def too_narrow(self) -> bool:
        """Whether fewer held than 95% intervals can explain."""
        return self.high < PREDICTED


def shrunken_saving(measured: RungSaving, tau: float) -> float:
    """The posterior mean of a saving under a normal prior with mean 0 and standard deviation `tau` (a share of
    time)."""
    if not tau > 0:
        raise BadSigma(f"tau is {tau}: the spread of true savings must be positive")
    return measured.saved * tau**2 / (tau**2 + measured.standard_error**2)


def judge_rung(
    noise: Noise | None,
    baseline: Sequence[float],
    candidate: Sequence[float],
    saved: float,
    saved_below: float,
    lower_is_better: bool = True,
    weight: float = math.inf,
) -> RungVerdict:
    """Pass when the gain is significant on this rung and the time saved is at least half of what the rung below
    promised.

    `noise` is this rung's own, from other runs than these; it counts for `weight` degrees of freedom beside the arms' own
    spread (difference.compare), and is None where no other run was repeated here. `saved` is the time saved here,
    `saved_below` the shrunken saving one rung below.
    """
    require_finite([saved, saved_below], "saving")
    difference = compare(baseline, candidate, noise, weight=weight, lower_is_better=lower_is_better)
    reasons = []
    if difference.direction is Direction.WORSE:
        reasons.append(f"{difference.sentence}, on this rung (one-sided {digits.p_value(difference.p_harm)})")
    elif difference.p_value >= TRANSFER_ALPHA:
        reasons.append(f"the gain is within the noise of this rung ({digits.p_value(difference.p_value)})")
    if saved < 0:
        promised = f", where the rung below promised {share(saved_below, 1)} less" if saved_below > 0 else ""
        reasons.append(f"it takes {share(-saved, 1)} more time{promised}")
    elif saved < LEAST_SHARE * saved_below:
        places = places_apart(100 * saved, 100 * LEAST_SHARE * saved_below, decimals=1, nothing=True)
        here, below = share(saved, places), share(saved_below, places)
        reasons.append(f"it saves {here}, less than half of the {below} expected from the rung below")
    p_value = digits.p_value(difference.p_value)
    sentence = f"saves {share(saved, 1)} here, {share(saved_below, 1)} expected from the rung below ({p_value})"
    return RungVerdict(not reasons, difference, "; ".join(reasons) or sentence)


def predict(
    measured: Sequence[RungSaving], compute: float, slope_spread: float = SLOPE_SPREAD, measured_with: float = 0.0
) -> Prediction:
    """The saving at a larger scale: a line in ln(compute) through the rungs measured so far, weighted by 1/SE².

    `measured_with` is the standard error that a measurement there will have: with it the interval is that of the saving which
    will be measured, without it that of the true one.

    The slope has a normal prior with mean 0 and standard deviation `slope_spread` per e-fold of compute (0.03: over a
    step of 8 times a saving moves by some 6 percentage points); the level has none. One rung alone thus predicts its
    own saving with an interval that widens with the distance, and more rungs let the data speak (Bayesian linear
    regression; Gelman et al. 2013, Bayesian Data Analysis, chapter 14).
    """
    require_runs([rung.saved for rung in measured], 1, "prediction of a saving")
    require_finite([rung.saved for rung in measured], "saving")
    require_sigma(slope_spread)
    for rung in measured:
        require_sigma(rung.standard_error)
    if not all(0 < c < math.inf for c in (compute, *(rung.compute for rung in measured))):
        raise BadDesign("compute must be positive on every rung: give it relative to the smallest rung")
    distances = np.log([rung.compute / compute for rung in measured])  # the level of the line is then the prediction
    rows = np.column_stack([np.ones(len(measured)), distances])
    weights = np.array([rung.standard_error**-2 for rung in measured])
    precision = rows.T @ (weights[:, None] * rows) + np.diag([0.0, slope_spread**-2])
    covariance = np.linalg.inv(precision)
    saved, slope = (covariance @ rows.T @ (weights * np.array([rung.saved for rung in measured]))).tolist()
    error = math.hypot(math.sqrt(covariance[0, 0]), measured_with)
    half = _NORMAL.inv_cdf(0.975) * error
    return Prediction(compute, saved, error, (saved - half, saved + half), slope)


def coverage_of(forecasts: Sequence[Forecast]) -> Coverage | None:
    """How many forecasts held, with the exact interval of their share (Clopper and Pearson 1934); None without any."""
    if not forecasts:
        return None
    inside, of = sum(forecast.inside for forecast in forecasts), len(forecasts)
    rate = false_accept_rate(inside, of)
    return Coverage(inside, of, rate.low, rate.high)
