"""Group-sequential boundaries: how large z must be at each look so that all looks together err at rate alpha.

Z_1 … Z_K are the statistics of one growing comparison. With information I_k (the inverse variance of the effect) they
have the canonical joint distribution Cov(Z_i, Z_j) = sqrt(I_i / I_j) for i <= j: S_k = Z_k sqrt(I_k) is Brownian
motion seen at the times I_k. The probability of a first crossing at look k follows from the density of S_k among the
paths that have not crossed yet, which is carried from look to look by integration.

Sources: Armitage, McPherson and Rowe (1969), J. R. Statist. Soc. A 132, 235 (the recursion); Wang and Tsiatis (1987),
Biometrics 43, 193 (the family of shapes); Jennison and Turnbull (2000), Group Sequential Methods, chapters 2 and 19.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

_REACH = 8.5  # standard deviations; beyond it the normal density is below 1e-16
_NODES_PER_STEP = 6  # integration nodes per standard deviation of one look's increment


def crossing_probabilities(
    boundary: Sequence[float], information: Sequence[float], drift: float = 0.0, two_sided: bool = False
) -> list[float]:
    """The probability of first crossing at each look, for Z_k ~ N(drift sqrt(I_k), 1).

    `boundary` holds z_k, `information` the increasing I_k, both of length K. One-sided counts Z_k >= z_k; two-sided
    also Z_k <= -z_k. Absolute accuracy is better than 1e-6 (compared with closed forms and published constants by the
    tests).
    """
    crossed: list[float] = []
    nodes, mass = np.zeros(1), np.ones(1)  # S_0 = 0 with certainty
    before = 0.0
    for z, time in zip(boundary, information, strict=True):
        step = math.sqrt(time - before)
        mean = nodes + drift * (time - before)
        upper = z * math.sqrt(time)
        probability = float(mass @ ndtr((mean - upper) / step))
        lower = -upper
        if two_sided:
            probability += float(mass @ ndtr((lower - mean) / step))
        else:
            lower = min(0.0, drift * time) - _REACH * math.sqrt(time)
        crossed.append(probability)
        top = min(upper, max(0.0, drift * time) + _REACH * math.sqrt(time))
        count = 32 * max(2, math.ceil(_NODES_PER_STEP * (top - lower) / step / 32))  # few sizes, so the rules are reused
        unit, weights = _gauss_legendre(count)
        half = (top - lower) / 2
        after = lower + half * (unit + 1)
        density = np.exp(-0.5 * ((after[:, None] - mean[None, :]) / step) ** 2) @ mass / (step * math.sqrt(2 * math.pi))
        nodes, mass = after, density * weights * half
        before = time
    return crossed


@lru_cache(maxsize=256)
def wang_tsiatis(
    alpha: float, looks: int, shape: float, two_sided: bool = False, information: tuple[float, ...] | None = None
) -> tuple[float, ...]:
    """z_k = C (K/k)^shape for k = 1 … K, with C such that crossing anywhere under no effect has probability alpha.

    `shape` 0 is Pocock's constant boundary, 0.5 is O'Brien and Fleming's (Wang and Tsiatis write 1/2 - Delta). Looks
    are equally spaced in information unless `information` gives the K levels.
    """
    levels = information or tuple(float(k) for k in range(1, looks + 1))
    profile = [(looks / k) ** shape for k in range(1, looks + 1)]

    def excess(constant: float) -> float:
        return sum(crossing_probabilities([constant * p for p in profile], levels, two_sided=two_sided)) - alpha

    # C is at least the one-look value (one look alone spends alpha) and at most Bonferroni's.
    tail = alpha / 2 if two_sided else alpha
    constant = brentq(excess, float(-ndtri(tail)) - 1e-3, float(-ndtri(tail / looks)) + 1e-3, xtol=1e-7)
    return tuple(float(constant) * p for p in profile)


@lru_cache(maxsize=64)
def _gauss_legendre(count: int) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return nodes, weights
