"""The decision policy: what a patch set's scores so far say must happen next.

Units: scores and effects in the metric's own unit, sigma the standard deviation of the score over seeds of one fixed
tree. A positive effect means that the candidate is better, whichever direction the metric has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from research_app.evidence.boundary import wang_tsiatis
from research_app.evidence.difference import Direction, compare, direction_of, effect_between
from research_app.evidence.errors import BadPolicy, BadSigma, TooManyRuns, require_runs, require_sigma
from research_app.evidence.noise import Noise

Step = Literal["drop", "run", "confirm", "inconclusive"]


@dataclass(frozen=True)
class Policy:
    """The settings of a project's decisions. Frozen: evidence keeps the policy it was judged by.

    alpha           one-sided error rate of the provisional accept, over all looks together
    n_max           the most candidate runs before confirmation, which is also the number of looks
    reference_runs  K, the fewest baseline runs that a candidate is compared with
    first_drop      after run 1, drop below this effect (in sigma)
    drop            after runs 2 to n_max, drop below this effect (in sigma)
    confirm_runs    fresh seeds of each arm in the confirmation
    confirm_alpha   one-sided error rate of the confirmation
    shape           exponent of the boundary C (n_max/k)^shape: 0 is Pocock, 0.5 O'Brien-Fleming
    sigma_weight    degrees of freedom that sigma counts for beside the confirming runs' own spread; inf: sigma alone

    The defaults are the best that was found in the simulation of `benchmarks/policy.py` (docs/explanation/statistics.md has
    the table).
    """

    alpha: float = 0.01
    n_max: int = 8
    reference_runs: int = 4
    first_drop: float = 0.8
    drop: float = 0.9
    confirm_runs: int = 5
    confirm_alpha: float = 0.07
    shape: float = 0.25
    sigma_weight: float = 8.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("alpha", 1e-6, 0.5),
            ("confirm_alpha", 1e-6, 0.5),
            ("n_max", 1, 64),
            ("reference_runs", 1, 64),
            ("confirm_runs", 1, 64),
            ("shape", 0.0, 0.5),
            ("first_drop", 0.01, 10.0),  # a candidate that looks no better never gets a second run
            ("drop", 0.01, 10.0),
            ("sigma_weight", 1.0, math.inf),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise BadPolicy(f"{name} is {value}: it must lie between {low:g} and {high:g}")
            if isinstance(low, int) and not isinstance(value, int):
                raise BadPolicy(f"{name} is {value}: it must be a whole number")

    @property
    def boundaries(self) -> tuple[float, ...]:
        """z at looks 1 to n_max (Wang-Tsiatis, one-sided alpha). Computed once per setting, then cached."""
        return wang_tsiatis(self.alpha, self.n_max, self.shape)

    def drop_below(self, runs: int) -> float:
        """The effect, in sigma, under which a candidate with this many runs is dropped."""
        return self.first_drop if runs == 1 else self.drop

    def reference_runs_for(self, runs: int) -> int:
        """How many reference runs there should be for a candidate with this many runs."""
        return max(self.reference_runs, runs)


@dataclass(frozen=True)
class Decision:
    """What must happen next, and why.

    effect and standard_error are in the metric's unit; z = effect / standard_error; boundary is what z must reach at
    this look. `runs_needed` counts further candidate runs: for `run`, until the boundary would be crossed if the
    effect stays as it is (or until the last look, if it would not be); for `confirm`, the fresh seeds of each arm;
    for `inconclusive`, how many more runs of the candidate, with the reference runs grown alongside, would settle it at this
    effect; for `drop`, 0. `reference_runs_needed` is the number of baseline runs to have before the next look.
    """

    step: Step
    effect: float
    standard_error: float
    z: float
    boundary: float
    runs_needed: int
    reference_runs_needed: int


@dataclass(frozen=True)
class Confirmation:
    """The comparison on fresh seeds and the hidden shard: the only estimate that is shown as the effect.

    effect, sigma, standard_error, interval (95%), shrunk_effect and shrunk_interval are in the metric's unit; sigma is the
    one used here, after the confirming runs' own spread was weighed in, and `degrees` are its degrees of freedom.
    `p_value` is one-sided, for a gain; `p_harm` for harm. `same_sign` says whether the gate shard agrees that the candidate
    is better; None when no effect on it was given.
    """

    solid: bool
    effect: float
    sigma: float
    standard_error: float
    degrees: float
    interval: tuple[float, float]
    shrunk_effect: float
    shrunk_interval: tuple[float, float]
    p_value: float
    p_harm: float
    same_sign: bool | None

    @property
    def direction(self) -> Direction:
        """Better or worse where the interval that pages show leaves out 0."""
        return direction_of(*self.shrunk_interval)


def measured_effect(
    sigma: float, baseline: Sequence[float], candidate: Sequence[float], lower_is_better: bool = True
) -> tuple[float, float]:
    """(effect, standard error): D = mean(baseline) - mean(candidate), SE = sigma sqrt(1/K + 1/n).

    Raises BadSigma, BadScore or TooFewRuns.
    """
    require_sigma(sigma)
    effect = effect_between(baseline, candidate, lower_is_better)
    return effect, sigma * math.sqrt(1 / len(baseline) + 1 / len(candidate))


def decide(
    policy: Policy, sigma: float, baseline: Sequence[float], candidate: Sequence[float], lower_is_better: bool = True
) -> Decision:
    """The next step for a candidate whose runs gave these scores, compared with the reference scores of the baseline.

    The looks of one candidate have the canonical joint distribution with information 1/(1/K + 1/n), because the reference and
    the candidate's runs only ever grow. As long as n/K does not fall from one look to the next, they are at least as
    correlated as the equally spaced looks that the boundary is computed for, so alpha is kept (Slepian's inequality); a
    reference that jumps in between, filled by another candidate's runs, costs at most a quarter of alpha by default.

    A boundary that is crossed wins over the drop rule: what was found is not futile. Raises TooFewRuns when the reference is
    smaller than the policy's, TooManyRuns beyond n_max, BadScore and BadSigma.
    """
    require_runs(baseline, policy.reference_runs, "reference runs of the baseline")
    runs = len(candidate)
    if runs > policy.n_max:
        raise TooManyRuns(f"candidate has {runs} runs, the policy stops at {policy.n_max}: judge the first {policy.n_max}")
    effect, error = measured_effect(sigma, baseline, candidate, lower_is_better)
    z, boundary = effect / error, policy.boundaries[runs - 1]
    step, needed, reference = _next_step(policy, effect / sigma, z >= boundary, runs, len(baseline))
    return Decision(step, effect, error, z, boundary, needed, max(reference, len(baseline)))


def decide_confirmation(
    policy: Policy,
    noise: Noise,
    baseline: Sequence[float],
    candidate: Sequence[float],
    tau: float,
    lower_is_better: bool = True,
    gate_effect: float | None = None,
) -> Confirmation:
    """The verdict on the confirming runs: fresh seeds of both arms, scored on the hidden shard.

    The arms are compared by `difference.compare` with `sigma_weight`: a tree can be noisier than sigma says, and sigma itself
    is an estimate, so the confirming runs' own spread is weighed in. `noise` must not rest on these runs. An infinite weight
    takes sigma alone, with its degrees of freedom.

    Solid when the one-sided p-value is under `confirm_alpha` and, where `gate_effect` (the effect of the same fresh runs on
    the gate shard) is given, that is positive too. `tau` is the standard deviation of the true effects among the candidates
    that get this far, in the metric's unit (`noise.prior_spread` estimates it): the effect is shrunk to the posterior mean
    D tau²/(tau² + SE²) with variance SE² tau²/(tau² + SE²) (normal prior with mean 0; Efron and Morris 1973, J. Am.
    Statist. Assoc. 68, 117).

    The baseline arm's scores on the gate shard join the reference runs afterwards if the candidate is not solid, the
    candidate's if it lands. Raises TooFewRuns when an arm has fewer runs than `confirm_runs`, BadSigma and BadScore.
    """
    require_runs(baseline, policy.confirm_runs, "baseline arm of the confirmation")
    require_runs(candidate, policy.confirm_runs, "candidate arm of the confirmation")
    if not tau > 0:
        raise BadSigma(f"tau is {tau}: the spread of true effects must be positive")
    difference = compare(baseline, candidate, noise, weight=policy.sigma_weight, lower_is_better=lower_is_better)
    same_sign = None if gate_effect is None else gate_effect > 0
    kept = 1.0 if math.isinf(tau) else 1 / (1 + (difference.standard_error / tau) ** 2)
    shrunk, half = kept * difference.effect, math.sqrt(kept) * (difference.interval[1] - difference.effect)
    return Confirmation(
        solid=difference.p_value < policy.confirm_alpha and same_sign is not False,
        effect=difference.effect,
        sigma=difference.sigma,
        standard_error=difference.standard_error,
        degrees=difference.degrees,
        interval=difference.interval,
        shrunk_effect=shrunk,
        shrunk_interval=(shrunk - half, shrunk + half),
        p_value=difference.p_value,
        p_harm=difference.p_harm,
        same_sign=same_sign,
    )


def _next_step(policy: Policy, effect: float, crossed: bool, runs: int, reference: int) -> tuple[Step, int, int]:
    """(step, runs needed, reference runs needed) for an effect in sigma."""
    if crossed:
        return "confirm", policy.confirm_runs, reference
    if effect < policy.drop_below(runs):
        return "drop", 0, reference
    if runs < policy.n_max:
        return "run", _runs_to_cross(policy, effect, runs, reference), policy.reference_runs_for(runs + 1)
    more = _runs_to_settle(policy, effect, reference) - runs
    return "inconclusive", more, policy.reference_runs_for(runs + more)


def _runs_to_cross(policy: Policy, effect: float, runs: int, reference: int) -> int:
    """Further runs until an unchanged effect (in sigma) crosses the boundary; up to the last look if it never does."""
    for n in range(runs + 1, policy.n_max):
        if effect >= policy.boundaries[n - 1] * math.sqrt(1 / max(reference, policy.reference_runs_for(n)) + 1 / n):
            return n - runs
    return policy.n_max - runs


def _runs_to_settle(policy: Policy, effect: float, reference: int) -> int:
    """The runs in all at which an unchanged effect (in sigma) would reach the last boundary: effect = z sqrt(1/K +
    1/n)."""
    variance = (effect / policy.boundaries[-1]) ** 2
    runs = math.ceil(1 / (variance - 1 / reference)) if variance > 1 / reference else math.inf
    if runs > reference:  # the reference must grow with the candidate: K = n
        runs = math.ceil(2 / variance)
    return max(int(runs), policy.n_max + 1)
