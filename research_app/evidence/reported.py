"""What a table of reported scores is worth: how noisy it is, which of its keeps are larger than that, and where its gain lies.

Reported scores come from one run each as a rule, and the loop that wrote them kept whatever scored better than the last keep,
its incumbent. So everything here is an estimate from claims, and each says what it rests on. Gains are positive where better.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from scipy.special import chdtri, ndtri

from research_app.evidence.averages import mean

KEPT = ("baseline", "keep")
SMALLEST_GROUP = 4  # results beside one incumbent, for their spread to count
FEWEST = 8  # such results in all
PAUSE = 2.0  # times the typical time of an experiment: longer than that is a pause
MEDIAN_OF_NORMAL = 0.6745  # of |z|
_HEX = re.compile(r"[0-9a-f]{4,64}")
_SAME = re.compile(
    r"\b(?:re-?runs?|re-?ran|(?:repeat(?:s|ed)?|replicat(?:e|es|ed|ion))(?=$| (?:of|the|run|runs|best|baseline|last)\b)"
    r"|no[ -]op|a/a|same (?:config|code|setup|as before)|(?:random|another|different|new|other) seed"
    r"|seed\s{0,3}(?:=|:|to|from|->|→)?\s{0,3}\d++)\b(?:\s{0,3}(?:=|:|to|from|->|→)?\s{0,3}\d++)*+",
    re.IGNORECASE,
)
_MOST_WORDS = 10  # a longer text describes a change beside the seed


@dataclass(frozen=True)
class Reported:
    """One row: its place, outcome ("baseline", "keep", "discard", "crash"), score, words, commit and time."""

    number: int
    outcome: str
    score: float | None
    words: str = ""
    commit: str = ""
    at: datetime | None = None


@dataclass(frozen=True)
class Attempt:
    """A scored row beside the incumbent that it was compared with; `gain` is what it claims."""

    row: Reported
    incumbent: Reported
    gain: float
    repeats: bool  # its words or its commit say that it changes nothing but the seed


@dataclass(frozen=True)
class Estimate:
    """Sigma of one run, by one method. `rests_on` are numbers of rows; `low` and `high` its 95% interval where there is one."""

    method: str  # "repeats" or "spread"
    sigma: float
    count: int  # differences between repeats, or results whose spread was taken
    low: float | None = None
    high: float | None = None
    rests_on: tuple[int, ...] = ()

    @property
    def floor(self) -> float:
        """The standard deviation of the difference between two single runs."""
        return self.sigma * math.sqrt(2)


@dataclass(frozen=True)
class Concentration:
    """How the gain of all keeps together is spread over them."""

    total: float  # first incumbent to the last one
    positive: float  # sum of the gains of keeps that claim one
    top: Mapping[int, float]  # how many of the largest → their share of `positive`
    half: int  # how many of the largest make half of it


@dataclass(frozen=True)
class Idle:
    """Pauses between experiments, read off the times of those that have one."""

    dated: int
    span: timedelta
    typical: timedelta  # of one experiment
    paused: timedelta
    longest: timedelta
    longest_after: int  # number of the row after which the longest pause was

    @property
    def share(self) -> float:
        return self.paused / self.span if self.span else 0.0


@dataclass(frozen=True)
class HistoryAudit:
    """What a table of reported scores is worth. `noise` is the estimate that the rest is held against; None: there is none."""

    attempts: tuple[Attempt, ...]
    keeps: tuple[Attempt, ...]
    estimates: tuple[Estimate, ...]
    noise: Estimate | None
    smaller: tuple[Attempt, ...]  # keeps whose gain is below the noise floor
    near_misses: tuple[Attempt, ...]  # discards that are no further from their incumbent than the floor; the best first
    by_chance: float | None  # what the best of so many runs of one tree would seem to gain
    concentration: Concentration | None
    idle: Idle | None


def audit_history(rows: Sequence[Reported], lower_is_better: bool) -> HistoryAudit:
    """Everything that can be told from the rows alone, in their order."""
    attempts = attempts_of(rows, lower_is_better)
    keeps = tuple(each for each in attempts if each.row.outcome == "keep")
    repeats, spread = sigma_of_repeats(rows, attempts), sigma_of_spread(attempts)
    estimates = tuple(each for each in (repeats, spread) if each is not None)
    noise = estimates[0] if estimates else None
    floor = noise.floor if noise else 0.0
    missed = [each for each in attempts if each.row.outcome == "discard" and not each.repeats and each.gain > -floor]
    return HistoryAudit(
        attempts,
        keeps,
        estimates,
        noise,
        smaller=tuple(each for each in keeps if noise and each.gain < floor),
        near_misses=tuple(sorted(missed, key=lambda each: -each.gain)) if noise else (),
        by_chance=noise.sigma * expected_best(len(attempts) + 1) if noise and attempts else None,
        concentration=concentration_of(keeps, attempts),
        idle=idle_of(rows),
    )


def attempts_of(rows: Sequence[Reported], lower_is_better: bool) -> tuple[Attempt, ...]:
    """Every scored row but the first incumbent, beside what was kept last before it."""
    attempts: list[Attempt] = []
    incumbent: Reported | None = None
    seen: set[str] = set()
    for row in rows:
        if row.score is None:
            continue
        if incumbent is not None and incumbent.score is not None:
            gain = (incumbent.score - row.score) * (1.0 if lower_is_better else -1.0)
            attempts.append(Attempt(row, incumbent, gain, row.commit in seen or says_repeat(row)))
        if row.outcome in KEPT or incumbent is None:
            incumbent = row
        seen |= {row.commit} if _HEX.fullmatch(row.commit) else set()
    return tuple(attempts)


def says_repeat(row: Reported) -> bool:
    """Whether a row is the baseline once more, or its words say that nothing but the seed differs."""
    if row.outcome == "baseline":
        return True
    rest, repeats = _SAME.subn(" ", row.words)
    return repeats > 0 and len(row.words.split()) <= _MOST_WORDS and not re.search(r"\d", rest)


def sigma_of_repeats(rows: Sequence[Reported], attempts: Sequence[Attempt]) -> Estimate | None:
    """Sigma from groups of runs of one tree, pooled: sums of squares follow a chi-squared distribution (e-Handbook, 7.2.3)."""
    groups: dict[int | str, dict[int, float]] = {}
    for each in attempts:
        if each.repeats and each.incumbent.score is not None and each.row.score is not None:
            first = next((row for row in rows if row.commit == each.row.commit and _HEX.fullmatch(row.commit)), each.row)
            like = first if first.number != each.row.number and first.score is not None else each.incumbent
            group = groups.setdefault(like.number, {like.number: float(like.score or 0.0)})
            group[each.row.number] = each.row.score
    squares, degrees = 0.0, 0
    for group in groups.values():
        middle = mean(list(group.values())) or 0.0
        squares += math.fsum((score - middle) ** 2 for score in group.values())
        degrees += len(group) - 1
    if not degrees or not squares or not math.isfinite(squares):
        return None
    low, high = (math.sqrt(squares / float(chdtri(degrees, tail))) for tail in (0.025, 0.975))
    numbers = tuple(sorted({number for group in groups.values() for number in group}))
    return Estimate("repeats", math.sqrt(squares / degrees), degrees, low, high, numbers)


def sigma_of_spread(attempts: Sequence[Attempt]) -> Estimate | None:
    """Sigma at most: the robust spread of results beside one incumbent, around their own median. Real effects widen it."""
    groups: dict[int, list[float]] = {}
    for each in attempts:
        groups.setdefault(each.incumbent.number, []).append(each.gain)
    apart = [abs(gain - median(group)) for group in groups.values() if len(group) >= SMALLEST_GROUP for gain in group]
    if len(apart) < FEWEST:
        return None
    sigma = median(apart) / MEDIAN_OF_NORMAL
    return Estimate("spread", sigma, len(apart)) if 0 < sigma < math.inf else None


def expected_best(count: int) -> float:
    """By how many sigma the best of so many runs of one tree is better than their mean (Blom 1958)."""
    return float(ndtri((count - 0.375) / (count + 0.25))) if count > 1 else 0.0


def concentration_of(keeps: Sequence[Attempt], attempts: Sequence[Attempt]) -> Concentration | None:
    """How few of the keeps made most of the gain; None where no keep claims any."""
    gains = sorted((each.gain for each in keeps if each.gain > 0), reverse=True)
    positive = math.fsum(gains) if all(map(math.isfinite, gains)) else math.inf
    if not gains or not math.isfinite(positive):
        return None
    total = math.fsum(each.gain for each in attempts if each.row.outcome in KEPT)
    shares = {count: math.fsum(gains[:count]) / positive for count in (1, 3, 5) if count <= len(gains)}
    half = next(count for count in range(1, len(gains) + 1) if math.fsum(gains[:count]) >= positive / 2)
    return Concentration(total, positive, shares, half)


def idle_of(rows: Sequence[Reported]) -> Idle | None:
    """Pauses, where at least three rows have a time. Between two of them lie as many experiments as rows."""
    dated = [(row.number, row.at) for row in rows if row.at is not None]
    gaps = [
        (number, later_number - number, later - at) for (number, at), (later_number, later) in pairwise(dated) if later >= at
    ]
    span = sum((gap for *_, gap in gaps), timedelta())
    if len(gaps) < 2 or not span:
        return None
    typical = timedelta(seconds=median(gap.total_seconds() / count for _, count, gap in gaps))
    pauses = [(gap - count * typical, number) for number, count, gap in gaps if gap > PAUSE * count * typical]
    longest, after = max(pauses, default=(timedelta(), 0))
    return Idle(len(dated), span, typical, sum((pause for pause, _ in pauses), timedelta()), longest, after)
