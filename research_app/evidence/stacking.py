"""Do changes that each helped alone help together? Two-level designs over a set of changes, and leave-one-out.

Each run switches some changes on. The columns of a Hadamard matrix are orthogonal, so every run counts for every
change: R runs give each main effect a standard error of 2 sigma/sqrt(R). The fold-over adds each run's mirror image,
which frees the main effects from every interaction of two changes. Sources: Plackett and Burman (1946), Biometrika
33, 305; Paley (1933), J. Math. Phys. 12, 311; Box and Wilson (1951), J. R. Statist. Soc. B 13, 1.

Effects are positive when the change improves the metric, in the metric's unit; intervals are 95%, two-sided, by Student's t
with the degrees of freedom that sigma has (infinite where it is known). What a change brings depends on what else is on: a main
effect is an average over the design, `leave_one_out` is beside all others, `added_alone` beside none (all in ablation.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from research_app.evidence.difference import t_quantile
from research_app.evidence.errors import BadDesign, require_finite, require_runs, require_sigma
from research_app.evidence.policy import measured_effect

ENOUGH = 0.5  # of the sum: an interval that reaches further to either side does not show that a bundle adds up

BundleVerdict = Literal["adds up", "less than the sum", "more than the sum", "cannot tell"]


@dataclass(frozen=True)
class StackDesign:
    """`runs[r]` is the set of changes that run r switches on; a folded design holds each run's mirror image too."""

    changes: tuple[str, ...]
    runs: tuple[frozenset[str], ...]
    folded: bool


@dataclass(frozen=True)
class Effect:
    """The effect of one change within a stack. `unhelpful`: the data do not show that it helps (interval reaches 0)."""

    change: str
    effect: float
    standard_error: float
    interval: tuple[float, float]

    @property
    def unhelpful(self) -> bool:
        """Whether to leave it out next, to see if anyone would miss it."""
        return self.interval[0] <= 0


@dataclass(frozen=True)
class BundleCheck:
    """The bundle's gain against the sum of the gains that its changes had alone."""

    total: float
    bundle: float
    difference: float
    interval: tuple[float, float]
    verdict: BundleVerdict


@dataclass(frozen=True)
class Interaction:
    """What two changes bring together beyond the sum of what each brings alone; negative where it is less."""

    changes: tuple[str, str]
    effect: float
    standard_error: float
    interval: tuple[float, float]

    @property
    def found(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.interval[0] > 0 or self.interval[1] < 0


def design(changes: Sequence[str], folded: bool = True, least_runs: int = 0) -> StackDesign:
    """A design over these changes with the fewest runs that are possible and at least `least_runs`.

    20 changes take 24 runs, or 48 folded. The first run switches everything on, so the bundle itself is always a run; a
    folded design also holds the bare baseline. Raises BadDesign for fewer than 2 changes or repeated names.
    """
    if len(changes) < 2 or len(set(changes)) < len(changes):
        raise BadDesign(f"a stack needs at least 2 different changes, got {list(changes)}")
    order = 4 * math.ceil((len(changes) + 1) / 4)
    while (matrix := hadamard(order)) is None or order * (1 + folded) < least_runs:
        order += 4
    half = matrix[:, 1 : len(changes) + 1]
    signs = np.vstack([half, -half]) if folded else half
    runs = tuple(frozenset(change for change, on in zip(changes, row > 0, strict=True) if on) for row in signs)
    return StackDesign(tuple(changes), runs, folded)


def hadamard(order: int) -> np.ndarray | None:
    """A Hadamard matrix with first row and column +1, by Sylvester's doubling and Paley's first construction, else
    None."""
    if order in (1, 2):
        return np.array([[1, 1], [1, -1]])[:order, :order]
    prime = order - 1
    if order % 4 == 0 and all(prime % divisor for divisor in range(2, math.isqrt(prime) + 1)):
        squares = {x * x % prime for x in range(1, prime)}
        character = [0, *(1 if x in squares else -1 for x in range(1, prime))]
        jacobsthal = np.array([[character[(column - row) % prime] for column in range(prime)] for row in range(prime)])
        matrix = np.ones((order, order), dtype=int)
        matrix[1:, 1:] = jacobsthal - np.eye(prime, dtype=int)
        return matrix
    smaller = hadamard(order // 2) if order % 4 == 0 else None
    return None if smaller is None else np.kron(np.array([[1, 1], [1, -1]]), smaller)


def main_effects(
    stack: StackDesign,
    scores: Mapping[int, float],
    sigma: float,
    lower_is_better: bool = True,
    degrees: float = math.inf,
    runs: Mapping[int, int] | None = None,
) -> tuple[Effect, ...]:
    """What each change does on average over the stack, by least squares, best first.

    `scores` maps run numbers of the design to scores, or to the means of so many `runs`; runs that could not be built or
    crashed may be missing as long as the rest still separates the changes. Raises BadDesign when it does not or a number is
    not in the design, BadScore, BadSigma.
    """
    require_sigma(sigma)
    require_finite(scores.values(), "stack")
    if strangers := sorted(set(scores) - set(range(len(stack.runs)))):
        raise BadDesign(f"runs {strangers} are not in this design of {len(stack.runs)} runs")
    numbers = sorted(scores)
    signs = [[1.0 if change in stack.runs[number] else -1.0 for change in stack.changes] for number in numbers]
    rows = np.column_stack([np.ones(len(numbers)), np.array(signs).reshape(len(numbers), len(stack.changes))])
    if np.linalg.matrix_rank(rows) < rows.shape[1]:
        raise BadDesign(
            f"{len(numbers)} of {len(stack.runs)} runs cannot tell {len(stack.changes)} changes apart: run the missing ones"
        )
    solve = np.linalg.inv(rows.T @ rows) @ rows.T
    coefficients = solve @ np.array([scores[number] for number in numbers])
    variances = solve**2 @ np.array([1 / (runs or {}).get(number, 1) for number in numbers])
    sign = -2.0 if lower_is_better else 2.0  # from off (-1) to on (+1) is two steps of a coefficient
    effects = [
        _effect(change, sign * float(coefficients[column]), 2 * sigma * math.sqrt(variances[column]), degrees)
        for column, change in enumerate(stack.changes, start=1)
    ]
    return tuple(sorted(effects, key=lambda effect: -effect.effect))


def check_bundle(
    singles: Sequence[tuple[float, float]],
    sigma: float,
    baseline: Sequence[float],
    bundle: Sequence[float],
    lower_is_better: bool = True,
    degrees: float = math.inf,
) -> BundleCheck:
    """The bundle's measured gain against the sum of `singles`, the (effect, standard error) of each change alone.

    Use estimates that were not selected on (confirmations), each measured without the others: the sum of selected ones is too
    high and never adds up, and what was measured beside a partner is not what a change brings alone.
    """
    require_runs(singles, 1, "single effects")
    require_finite([number for single in singles for number in single], "single effect")
    gain, error = measured_effect(sigma, baseline, bundle, lower_is_better)
    total = sum(effect for effect, _ in singles)
    return _bundle_check(total, gain, math.hypot(error, *(single_error for _, single_error in singles)), degrees)


def check_sum(
    sigma: float,
    bare: Sequence[float],
    alone: Mapping[str, Sequence[float]],
    bundle: Sequence[float],
    lower_is_better: bool = True,
    degrees: float = math.inf,
) -> BundleCheck:
    """The same from runs of one check: the tree with all changes, those with one alone, and the bare tree that both are held
    against. Its noise is in every single effect, so that it counts n - 1 times in the difference."""
    require_sigma(sigma)
    require_runs(list(alone), 1, "changes alone")
    gain, _ = measured_effect(sigma, bare, bundle, lower_is_better)
    total = sum(measured_effect(sigma, bare, scores, lower_is_better)[0] for scores in alone.values())
    shares = [1 / len(bundle), (len(alone) - 1) ** 2 / len(bare), *(1 / len(scores) for scores in alone.values())]
    return _bundle_check(total, gain, sigma * math.sqrt(sum(shares)), degrees)


def _bundle_check(total: float, gain: float, error: float, degrees: float) -> BundleCheck:
    half, difference = t_quantile(degrees) * error, gain - total
    verdict: BundleVerdict = "adds up" if half <= ENOUGH * abs(total) else "cannot tell"
    if abs(difference) > half:
        verdict = "more than the sum" if difference > 0 else "less than the sum"
    return BundleCheck(total, gain, difference, (difference - half, difference + half), verdict)


def leave_one_out(
    sigma: float,
    bundle: Sequence[float],
    without: Mapping[str, Sequence[float]],
    lower_is_better: bool = True,
    degrees: float = math.inf,
) -> tuple[Effect, ...]:
    """What the bundle loses when each change alone is taken out; the ones that nobody would miss come first."""
    effects = []
    for change, scores in without.items():
        effect, error = measured_effect(sigma, scores, bundle, lower_is_better)
        effects.append(_effect(change, effect, error, degrees))
    return tuple(sorted(effects, key=lambda effect: effect.effect))


def added_alone(
    sigma: float,
    bare: Sequence[float],
    alone: Mapping[str, Sequence[float]],
    lower_is_better: bool = True,
    degrees: float = math.inf,
) -> tuple[Effect, ...]:
    """What each change brings when it is the only one that is put onto a tree; those that bring least come first."""
    effects = []
    for change, scores in alone.items():
        effect, error = measured_effect(sigma, bare, scores, lower_is_better)
        effects.append(_effect(change, effect, error, degrees))
    return tuple(sorted(effects, key=lambda effect: effect.effect))


def interaction(
    sigma: float,
    names: tuple[str, str],
    bare: Sequence[float],
    singly: tuple[Sequence[float], Sequence[float]],
    both: Sequence[float],
    lower_is_better: bool = True,
    degrees: float = math.inf,
    level: float = 0.95,
) -> Interaction:
    """What two changes bring together beyond the sum of what each brings alone, with its interval of this level."""
    sum_of_two = sum(measured_effect(sigma, bare, scores, lower_is_better)[0] for scores in singly)
    excess = measured_effect(sigma, bare, both, lower_is_better)[0] - sum_of_two
    error = sigma * math.sqrt(sum(1 / len(scores) for scores in (bare, *singly, both)))
    half = t_quantile(degrees, level) * error
    return Interaction(names, excess, error, (excess - half, excess + half))


def _effect(change: str, effect: float, error: float, degrees: float) -> Effect:
    half = t_quantile(degrees) * error
    return Effect(change, effect, error, (effect - half, effect + half))
