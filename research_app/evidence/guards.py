"""Guard metrics: what a candidate must not make worse while it improves the score, and the score source by source.

Non-inferiority of a ratio of means: means are compared on the logarithmic scale with a pooled t interval, so a change
is a share of the baseline and margins are shares too (Food and Drug Administration 2016, Non-Inferiority Clinical
Trials; Hauschke et al. 1999, Drug Inf. J. 33, 95). "Within" means that even the pessimistic end of the one-sided 95%
interval is inside the margin; "exceeded" that even the optimistic end is outside; anything else is "uncertain".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from scipy.stats import t

from research_app.evidence.digits import number, share, written
from research_app.evidence.errors import BadDesign, BadScore, require_finite, require_runs, require_sigma
from research_app.evidence.states import GuardStatus

GUARD_ALPHA = 0.05


@dataclass(frozen=True)
class Guard:
    """A metric with its margin: the share by which it may get worse, as a positive number."""

    metric: str
    margin: float
    lower_is_better: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.margin < math.inf:
            raise BadDesign(f"margin of {self.metric} is {self.margin}: give the share it may worsen by, such as 0.1")


DEFAULT_GUARDS = (
    Guard("peak_memory", 0.10),
    Guard("tokens_per_second", 0.10, lower_is_better=False),
    Guard("parameters", 0.10),
    Guard("flops_per_token", 0.10),
)


@dataclass(frozen=True)
class GuardResult:
    """One guard metric's row. `change` is the candidate's share above (+) or below (-) the baseline.

    `interval` spans the two one-sided 95% limits of the change; None when neither arm repeats a run. Where the arms cannot be
    compared the figures are None, and `note` says why.
    """

    metric: str
    baseline: float | None
    candidate: float | None
    change: float | None
    interval: tuple[float, float] | None
    margin: float
    status: GuardStatus
    note: str = ""


@dataclass(frozen=True)
class SourceResult:
    """The score on one source of text. `effect` is positive when better; the interval is simultaneous over all sources.

    `p_harm` is the one-sided p-value of harm, corrected for the number of sources (Holm). `margin` is in the metric's unit.
    """

    source: str
    baseline: float
    candidate: float
    effect: float
    interval: tuple[float, float]
    p_harm: float
    hurt: bool
    status: GuardStatus
    margin: float

    @property
    def hurt_beyond_margin(self) -> bool:
        """Measurably worse, and by its estimate by more than the margin."""
        return self.hurt and -self.effect > self.margin


@dataclass(frozen=True)
class SourceReport:
    """All sources, most harmed first, and the trade-off in a sentence."""

    sources: tuple[SourceResult, ...]
    hurt: tuple[str, ...]
    sentence: str


@dataclass(frozen=True)
class FailedGuard:
    """What a change makes worse than its margin allows: part of the verdict, and a reason is needed to approve it.

    `name` is safe to tell to agents; `sentence` has figures of the gate text.
    """

    name: str
    sentence: str


def failed_guards(guards: Sequence[GuardResult], sources: SourceReport | None) -> list[FailedGuard]:
    """The guard metrics and sources that fail, worst source first.

    A metric fails where even the optimistic end of its interval is outside the margin; a source also where it is measurably
    worse and, by its estimate, beyond the margin.
    """
    worse = [row for row in (sources.sources if sources else ()) if row.status == "exceeded" or row.hurt_beyond_margin]
    return [*(_failed_metric(row) for row in guards if row.status == "exceeded"), *map(_failed_source, worse)]


def _failed_source(row: SourceResult) -> FailedGuard:
    worse = -row.effect
    by = written(worse, (row.interval[1] - row.interval[0]) / 4)
    margin = f"{number(worse / row.margin, 2)} times its margin of {number(row.margin, 2)}" if row.margin else "its margin is 0"
    return FailedGuard(f"text from {row.source}", f"worse on {row.source} by {by}, {margin}")


def _failed_metric(row: GuardResult) -> FailedGuard:
    name = row.metric.replace("_", " ")
    margin = row.margin if (row.change or 0.0) >= 0 else -row.margin
    return FailedGuard(name, f"{name} {share(row.change, 1, signed=True)}, its margin is {share(margin, signed=True)}")


def not_compared(guard: Guard, why: str) -> GuardResult:
    """A row that says why the arms cannot be compared in this metric."""
    return GuardResult(guard.metric, None, None, None, None, guard.margin, "not comparable", why)


def check_guard(guard: Guard, baseline: Sequence[float], candidate: Sequence[float]) -> GuardResult:
    """Non-inferiority of one guard metric. Values must be positive; a metric that never varies is compared exactly.

    The variance is pooled over both arms, so one candidate run suffices once the baseline was repeated.
    """
    for arm, values in (("baseline", baseline), ("candidate", candidate)):
        require_runs(values, 1, f"{guard.metric} of the {arm}")
        require_finite(values, f"{guard.metric} {arm}")
        if min(values) <= 0:
            raise BadScore(f"{guard.metric} of the {arm} is {min(values)}: guard metrics are positive")
    logs = [math.log(value) for value in baseline], [math.log(value) for value in candidate]
    difference = fmean(logs[1]) - fmean(logs[0])
    variance, degrees = _pooled_variance(*logs)
    change = _share(difference)
    interval = None
    low = high = change
    if degrees:
        half = float(t.isf(GUARD_ALPHA, degrees)) * math.sqrt(variance * (1 / len(baseline) + 1 / len(candidate)))
        low, high = _share(difference - half), _share(difference + half)
        interval = (low, high)
    worst, best = (high, low) if guard.lower_is_better else (-low, -high)
    return GuardResult(
        guard.metric,
        fmean(baseline),
        fmean(candidate),
        change,
        interval,
        guard.margin,
        _status(worst, best, guard.margin),
    )


def check_sources(
    baseline: Mapping[str, Sequence[float]],
    candidate: Mapping[str, Sequence[float]],
    margin: float,
    sigmas: Mapping[str, float] | None = None,
    lower_is_better: bool = True,
) -> SourceReport:
    """The score of each source of text in both arms: who pays for an average gain.

    `margin` is in the metric's unit. `sigmas` gives each source's noise where it is known; otherwise it is the pooled
    standard deviation of both arms, which needs a repeated run. A source is hurt when the one-sided p-value of harm,
    after Holm's step-down correction (Holm 1979, Scand. J. Statist. 6, 65), is under GUARD_ALPHA. Intervals are
    Bonferroni's.
    """
    if set(baseline) != set(candidate) or not baseline:
        odd = ", ".join(sorted(set(baseline) ^ set(candidate))) or "no source at all"
        raise BadDesign(f"the arms were not scored on the same sources ({odd}): score both with the same scorer")
    rows = {
        source: _source(source, baseline[source], candidate[source], sigmas, lower_is_better, len(baseline))
        for source in baseline
    }
    adjusted = holm({source: p_value for source, (_, _, p_value) in rows.items()})
    results = []
    for source, (effect, half, _) in rows.items():
        low, high = effect - half, effect + half
        p_harm = adjusted[source]
        means = fmean(baseline[source]), fmean(candidate[source])
        status = _status(-low, -high, margin)
        results.append(SourceResult(source, *means, effect, (low, high), p_harm, p_harm < GUARD_ALPHA, status, margin))
    results.sort(key=lambda result: result.effect)
    hurt = tuple(result.source for result in results if result.hurt)
    return SourceReport(tuple(results), hurt, _trade_off(results, hurt))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjusted p-values, by name."""
    adjusted, running = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = running
    return adjusted


def _source(
    source: str,
    baseline: Sequence[float],
    candidate: Sequence[float],
    sigmas: Mapping[str, float] | None,
    lower_is_better: bool,
    sources: int,
) -> tuple[float, float, float]:
    """(effect, half-width of the simultaneous interval, one-sided p-value of harm)."""
    for arm, scores in (("baseline", baseline), ("candidate", candidate)):
        require_runs(scores, 1, f"{source} in the {arm}")
        require_finite(scores, f"{source} {arm}")
    effect = fmean(baseline) - fmean(candidate)
    effect = effect if lower_is_better else -effect
    if sigmas is None:
        variance, degrees = _pooled_variance(baseline, candidate)
        require_runs([*baseline, *candidate], 3, f"{source}, both arms")
        sigma, freedom = math.sqrt(variance), float(degrees)
    elif source in sigmas:
        sigma, freedom = sigmas[source], math.inf
    else:
        raise BadDesign(f"no sigma for the source {source}: give one for every source, or none at all")
    require_sigma(sigma)
    error = sigma * math.sqrt(1 / len(baseline) + 1 / len(candidate))
    half = float(t.isf(GUARD_ALPHA / sources, freedom)) * error
    return effect, half, float(t.cdf(effect / error, freedom))


def _pooled_variance(a: Sequence[float], b: Sequence[float]) -> tuple[float, int]:
    """(variance within the two arms, degrees of freedom); (0, 0) when neither repeats a run."""
    degrees = len(a) + len(b) - 2
    squares = sum((x - fmean(arm)) ** 2 for arm in (a, b) if min(arm) < max(arm) for x in arm)
    return (squares / degrees if degrees else 0.0), degrees


def _share(difference: float) -> float:
    """A difference of logarithms as a share; far beyond any margin it stays finite."""
    return math.expm1(min(difference, 50.0))


def _status(worst: float, best: float, margin: float) -> GuardStatus:
    """From the pessimistic and the optimistic end of how much worse the candidate is."""
    if worst <= margin:
        return "within"
    return "exceeded" if best > margin else "uncertain"


def _trade_off(results: Sequence[SourceResult], hurt: Sequence[str]) -> str:
    if not hurt:
        return f"no source of {len(results)} is measurably worse"
    average = fmean(result.effect for result in results)
    if average > 0:
        return f"better on average by {number(average)}, but worse on {', '.join(hurt)}"
    return f"worse on {', '.join(hurt)}"
