"""Sigma of a project from all its groups of repeated runs, such that no candidate can move it by much.

A candidate's author decides how its runs scatter: one that diverges on every third seed, or that ignores the seed, would
set the noise that all others are judged by. The baseline's own runs are therefore the anchor, and candidates only sharpen
it: a group whose variance lies outside the 99.8% range of the F distribution beside the anchor is left out and named; the
others count with a variance that is clamped to the F distribution's 10% and 90% (winsorized) and corrected for that, with at
most an eighth of the anchor's weight each and its whole weight together. On clean data the estimate is unbiased; the worst
that one candidate can do is bounded by `most_moved_by_one`, what all of them together can do by `most_moved_by_all`.
`benchmarks/noise.py` measures both.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import chdtr, chdtri, fdtri

from research_app.evidence.errors import TooFewRuns
from research_app.evidence.noise import LeftOut, Noise, pool, squares_within, with_interval

LEFT_OUT = 0.001  # of each tail: a group beyond it is no group of the same noise
CLAMP = 0.10  # of each tail
LARGEST_SHARE = 1 / 8  # of the anchor's degrees of freedom that one group may count for
NAMED = 20  # groups that are left out and named; there may be more


@dataclass(frozen=True)
class Repeats:
    """The scores of one tree's runs, which differ by seed alone and were not selected by each other. `anchor`: the
    baseline's."""

    name: str
    scores: list[float]
    anchor: bool = False


@dataclass(frozen=True)
class _Group:
    """A group with its variance, as a multiple of the anchor's."""

    repeats: Repeats
    degrees: int
    ratio: float


def pool_guarded(groups: Sequence[Repeats]) -> Noise:
    """Sigma over these groups. Raises TooFewRuns when no tree was run twice, BadSigma when nothing varies, BadScore.

    Where the baseline was not run twice, nothing says which group to believe: the median of the groups' variances, each
    corrected for its degrees of freedom, takes the anchor's place.
    """
    repeated = [group for group in groups if len(group.scores) > 1]
    baseline = [group for group in repeated if group.anchor]
    if not repeated:
        raise TooFewRuns("no tree was run twice: run at least 2 seeds of one tree to measure sigma")
    if not baseline:
        return _of_median(repeated)
    anchor = pool([group.scores for group in baseline])
    return _sharpened(anchor, [group for group in repeated if not group.anchor])


def scatter_apart(name: str, scores: Sequence[float], noise: Noise) -> LeftOut | None:
    """How a tree's runs scatter where that is not what `noise`, from other runs, says; None where it is, or cannot be told."""
    if len(scores) < 2:
        return None
    group = _measured(Repeats(name, list(scores)), noise.sigma)
    return _named([group])[0] if _is_foreign(group, noise.degrees) else None


def most_moved_by_one(anchor_degrees: int) -> float:
    """The largest factor by which one candidate's runs can raise sigma, whatever they score."""
    return max(_moved(anchor_degrees, min(degrees, anchor_degrees * LARGEST_SHARE), degrees) for degrees in range(1, 65))


def most_moved_by_all(anchor_degrees: int) -> float:
    """The largest factor by which all candidates together can raise sigma."""
    return max(_moved(anchor_degrees, anchor_degrees, degrees) for degrees in range(1, 65))


def _moved(anchor: float, weight: float, degrees: int) -> float:
    high = _limits(degrees, anchor)[1] / _correction(degrees, anchor)
    return math.sqrt((anchor + weight * high) / (anchor + weight))


def _sharpened(anchor: Noise, candidates: Sequence[Repeats]) -> Noise:
    """The anchor's sigma with what the candidates' groups say of it."""
    groups = [_measured(group, anchor.sigma) for group in candidates]
    kept = [group for group in groups if not _is_foreign(group, anchor.degrees)]
    counted = [min(group.degrees, anchor.degrees * LARGEST_SHARE) for group in kept]
    share = min(1.0, anchor.degrees / sum(counted)) if counted else 0.0
    weight, total = float(anchor.degrees), float(anchor.degrees)
    for group, degrees in zip(kept, counted, strict=True):
        low, high = _limits(group.degrees, anchor.degrees)
        ratio = min(max(group.ratio, low), high) / _correction(group.degrees, anchor.degrees)
        weight, total = weight + share * degrees, total + share * degrees * ratio
    noise = with_interval(anchor.sigma * math.sqrt(total / weight), math.floor(weight + 1e-9))
    return replace(noise, left_out=_named([group for group in groups if _is_foreign(group, anchor.degrees)]))


def _measured(group: Repeats, sigma: float) -> _Group:
    squares, degrees = squares_within([group.scores])
    return _Group(group, degrees, squares.sum_in(sigma) / degrees)


def _is_foreign(group: _Group, anchor_degrees: float) -> bool:
    """Whether a group's runs cannot have the anchor's noise; equal scores have none at all."""
    low, high = _range(group.degrees, anchor_degrees)
    return not low <= group.ratio <= high or group.ratio == 0


def _named(groups: Sequence[_Group]) -> tuple[LeftOut, ...]:
    def extremity(group: _Group) -> float:
        return math.inf if group.ratio == 0 else abs(math.log(group.ratio))

    ordered = sorted(groups, key=extremity, reverse=True)
    return tuple(LeftOut(g.repeats.name, len(g.repeats.scores), math.sqrt(g.ratio)) for g in ordered)


def _of_median(groups: Sequence[Repeats]) -> Noise:
    """Sigma from the median variance, with the degrees of freedom of the group that is the median."""
    if len(groups) == 1:
        return pool([groups[0].scores])
    scaled = []
    for group in groups:
        squares, degrees = squares_within([group.scores])
        typical = float(chdtri(degrees, 0.5)) / degrees  # the median of chi² / degrees
        scaled.append((squares.unit * math.sqrt(squares.total / degrees / typical), degrees))
    return with_interval(*sorted(scaled)[(len(scaled) - 1) // 2])


@functools.lru_cache(maxsize=4096)
def _range(degrees: int, anchor: float) -> tuple[float, float]:
    """Ratios of variances between which a group belongs to the anchor's noise."""
    return float(fdtri(degrees, anchor, LEFT_OUT)), float(fdtri(degrees, anchor, 1 - LEFT_OUT))


@functools.lru_cache(maxsize=4096)
def _limits(degrees: int, anchor: float) -> tuple[float, float]:
    """Ratios of variances that a group is clamped to."""
    return float(fdtri(degrees, anchor, CLAMP)), float(fdtri(degrees, anchor, 1 - CLAMP))


@functools.lru_cache(maxsize=4096)
def _correction(degrees: int, anchor: float) -> float:
    """What a clamped variance of a group of the anchor's own noise is on average, over the true variance.

    The anchor's variance y, in units of the true one, is distributed as chi² / degrees, and the group's own x is clamped to
    [a y, b y]: E[x; a y < x < b y] + a y P(x < a y) + b y P(x > b y), in closed form through chi² with two more degrees. The
    mean over y is taken at 200 equally likely values.
    """
    low, high = _limits(degrees, anchor)
    y = chdtri(anchor, (np.arange(200) + 0.5) / 200) / anchor
    inside = chdtr(degrees + 2, degrees * high * y) - chdtr(degrees + 2, degrees * low * y)
    below, above = chdtr(degrees, degrees * low * y), 1 - chdtr(degrees, degrees * high * y)
    return float(np.mean(inside + low * y * below + high * y * above))
