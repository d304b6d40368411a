"""Gains as time saved at equal loss, and time to a target loss.

A small change of the loss can be a large change of the time that it takes: near the end of a run the loss is close to
a straight line in the logarithm of the budget, and a flat one. The baseline is therefore trained at BUDGET_SHARES of
the budget, the line is fitted, and a candidate's score is read off it as the budget that the baseline would have
needed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy.stats import CensoredData, ecdf, logrank

from research_app.evidence.digits import gain, number, spread
from research_app.evidence.errors import BadDesign, require_finite, require_runs, require_sigma
from research_app.wording import counted

BUDGET_SHARES = (0.8, 0.9, 1.0, 1.15, 1.3)
_LEAST_SLOPE_Z = 3.0
_FARTHEST = 50.0  # e-folds of budget that are told apart


@dataclass(frozen=True)
class LossCurve:
    """score = intercept + slope ln(budget share) of the baseline, by least squares over shares `low` to `high`.

    `scatter` is (X'X)^-1 of the fit, row by row: times sigma² it is the covariance of (intercept, slope).
    """

    intercept: float
    slope: float
    scatter: tuple[float, float, float, float]
    low: float
    high: float

    def score_at(self, share: float) -> float:
        """The baseline's expected score at this share of the budget."""
        return self.intercept + self.slope * math.log(share)


@dataclass(frozen=True)
class Saving:
    """`saved` is the share of the baseline's time that the candidate saves at equal loss, negative when it costs time.

    `needed` is the share of the budget that the baseline needs for the candidate's score: saved = 1 - 1/needed.
    `interval` is 95% of `saved`. `extrapolated` says that `needed` lies outside the shares that were measured.
    """

    saved: float
    interval: tuple[float, float]
    needed: float
    extrapolated: bool


@dataclass(frozen=True)
class TimeToTarget:
    """How many seeds reached the target, and the median time of all seeds (Kaplan-Meier), None where it is beyond the
    data."""

    reached: int
    seeds: int
    median: float | None
    interval: tuple[float | None, float | None]

    @property
    def sentence(self) -> str:
        """For pages: 'k of n seeds reach it'."""
        words = f"{self.reached} of {counted(self.seeds, 'seed reaches', 'seeds reach')} it"
        return words if self.median is None else f"{words}, half of them by {number(self.median, 4)}"


def fit_loss_curve(shares: Sequence[float], scores: Sequence[float], sigma: float, lower_is_better: bool = True) -> LossCurve:
    """The baseline's score against the logarithm of its budget share; several runs at one share are welcome.

    Raises TooFewRuns below 3 runs, BadDesign below 3 different shares or when the score does not improve with the
    budget by at least 3 standard errors (no time can be read off a flat line), BadScore and BadSigma.
    """
    require_sigma(sigma)
    require_runs(scores, 3, "loss against budget")
    require_finite(scores, "baseline")
    if len(shares) != len(scores):
        raise BadDesign(f"{len(shares)} budget shares and {len(scores)} scores: give one share for each score")
    if not all(0 < share < math.inf for share in shares) or len(set(shares)) < 3:
        listed = ", ".join(f"{share:g}" for share in sorted(set(shares)))
        raise BadDesign(f"a loss curve needs runs at 3 or more shares of the budget above 0, and there are runs at {listed}")
    rows = np.column_stack([np.ones(len(shares)), np.log(shares)])
    scatter = np.linalg.inv(rows.T @ rows)
    intercept, slope = (scatter @ rows.T @ np.asarray(scores, dtype=float)).tolist()
    improvement = -slope if lower_is_better else slope
    error = sigma * math.sqrt(scatter[1, 1])
    if improvement < _LEAST_SLOPE_Z * error:
        raise BadDesign(
            f"the baseline's score changes by {gain(slope, error)} ± {spread(error)} per e-fold of budget, which is not a "
            "measurable improvement: run more seeds or a wider range of budgets"
        )
    a, b, c, d = scatter.ravel().tolist()
    return LossCurve(intercept, slope, (a, b, c, d), min(shares), max(shares))


def time_saved(
    curve: LossCurve,
    candidate: Sequence[float],
    sigma: float,
    degrees: float = math.inf,
    draws: int = 4000,
    seed: int = 0,
) -> Saving:
    """The time that a candidate saves at equal loss, with a 95% bootstrap interval.

    The bootstrap is parametric (Efron and Tibshirani 1993, chapter 6): fit and candidate mean are drawn again from
    normal noise of this sigma, because five budgets and a few seeds are too few to resample. Sigma itself is drawn as its
    degrees of freedom leave it open. The same seed gives the same interval.
    """
    needed, drawn = _budgets(curve, candidate, "candidate", sigma, degrees, draws, seed)
    low, high = np.quantile(1 - 1 / drawn, [0.025, 0.975]).tolist()
    return Saving(1 - 1 / needed, (low, high), needed, not curve.low <= needed <= curve.high)


@dataclass(frozen=True)
class Reach:
    """The share of its budget at which a version reaches a target score, with its 95% interval. `extrapolated`: outside the
    shares that were measured."""

    share: float
    interval: tuple[float, float]
    extrapolated: bool


def budget_to_reach(
    curve: LossCurve, target: Sequence[float], sigma: float, degrees: float = math.inf, draws: int = 4000, seed: int = 0
) -> Reach:
    """The share of the budget at which a version's own loss curve is where the runs of `target` are on average.

    The interval is the parametric bootstrap of `time_saved`: the curve and the target's mean are drawn again.
    """
    share, drawn = _budgets(curve, target, "target", sigma, degrees, draws, seed)
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    return Reach(share, (low, high), not curve.low <= share <= curve.high)


def _budgets(
    curve: LossCurve, runs: Sequence[float], name: str, sigma: float, degrees: float, draws: int, seed: int
) -> tuple[float, np.ndarray]:
    """(the budget at which the curve is where these runs are on average, the same for each draw of curve and mean)."""
    require_sigma(sigma)
    require_runs(runs, 1, name)
    require_finite(runs, name)
    rng = np.random.default_rng(seed)
    lines = rng.multivariate_normal([0.0, 0.0], np.array(curve.scatter).reshape(2, 2), size=draws)
    means = rng.standard_normal(draws) / math.sqrt(len(runs))
    spread = sigma * (np.sqrt(degrees / rng.chisquare(degrees, draws)) if math.isfinite(degrees) else np.ones(draws))
    intercepts, slopes = curve.intercept + spread * lines[:, 0], curve.slope + spread * lines[:, 1]
    # A drawn line that is flat or rises says "any amount of time": it stays in the interval as an extreme value.
    sign = math.copysign(1.0, curve.slope)
    slopes = sign * np.maximum(sign * slopes, abs(curve.slope) / 100)
    drawn = np.exp(np.clip((fmean(runs) + spread * means - intercepts) / slopes, -_FARTHEST, _FARTHEST))
    distance = (fmean(runs) - curve.intercept) / curve.slope
    return math.exp(min(max(distance, -_FARTHEST), _FARTHEST)), drawn


def first_reach(times: Sequence[float], scores: Sequence[float], target: float, lower_is_better: bool = True) -> float | None:
    """When a logged curve first reaches the target, between two points by a straight line; None when it never does."""
    if len(times) != len(scores):
        raise BadDesign(f"{len(times)} times and {len(scores)} scores: give one time for each point of the curve")
    sign = 1.0 if lower_is_better else -1.0
    before: tuple[float, float] | None = None
    for time, score in zip(times, scores, strict=True):
        above = sign * (score - target)
        if above <= 0:
            if before is None:
                return time
            return before[0] + (time - before[0]) * before[1] / (before[1] - above)
        before = (time, above) if math.isfinite(above) else None
    return None


def time_to_target(reached: Sequence[float | None], limits: Sequence[float]) -> TimeToTarget:
    """The median time to a target over seeds of which some stopped before they got there.

    `reached` holds each seed's time or None, `limits` the time at which each seed stopped (any unit, positive). The
    median and its 95% interval come from the Kaplan-Meier curve (1958, J. Am. Statist. Assoc. 53, 457) with log-log
    bounds.
    """
    data = _censored(reached, limits)
    count = sum(time is not None for time in reached)
    if count == 0:
        return TimeToTarget(0, len(reached), None, (None, None))
    survival = ecdf(data).sf
    with warnings.catch_warnings():  # the bounds are undefined where survival is 0 or 1; _first_at_half passes over them
        warnings.filterwarnings("ignore", message="The confidence interval is undefined", category=RuntimeWarning)
        band = survival.confidence_interval(0.95, method="log-log")
    median = _first_at_half(survival.quantiles, survival.probabilities)
    interval = (
        _first_at_half(survival.quantiles, band.low.probabilities),
        _first_at_half(survival.quantiles, band.high.probabilities),
    )
    return TimeToTarget(count, len(reached), median, interval)


def faster_to_target(
    baseline: Sequence[float | None],
    baseline_limits: Sequence[float],
    candidate: Sequence[float | None],
    candidate_limits: Sequence[float],
) -> float:
    """One-sided p-value that the candidate reaches the target sooner (log-rank test; Mantel 1966)."""
    arms = _censored(candidate, candidate_limits), _censored(baseline, baseline_limits)
    if not any(time is not None for time in (*baseline, *candidate)):
        return 1.0
    return float(logrank(*arms, alternative="greater").pvalue)  # greater: the first arm's events come sooner


def _censored(reached: Sequence[float | None], limits: Sequence[float]) -> CensoredData:
    require_runs(limits, 1, "time to target")
    if len(reached) != len(limits):
        raise BadDesign(f"{len(reached)} times and {len(limits)} limits: give each seed's time (or None) and its limit")
    for time, limit in zip(reached, limits, strict=True):
        if not 0 < limit < math.inf or (time is not None and not 0 <= time <= limit):
            raise BadDesign(f"a seed that stopped at {limit} cannot have reached the target at {time}")
    times = [limit if time is None else time for time, limit in zip(reached, limits, strict=True)]
    return CensoredData.right_censored(times, [time is None for time in reached])


def _first_at_half(times: np.ndarray, survival: np.ndarray) -> float | None:
    """The first time at which survival is at most one half; bounds that are undefined (NaN) do not count."""
    there = np.flatnonzero(survival <= 0.5)
    return float(times[there[0]]) if there.size else None
