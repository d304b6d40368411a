"""The decision policy in a simulated research campaign: how often what lands is real, what is found, what it costs.

    python -m benchmarks.policy [--replicates 400] [--candidates 700] [--first 0]

Every decision is made by the shipped `decide` and `decide_confirmation`, called as the loop calls them. Scores are in
units of the true sigma of the first baseline. In each replicate one baseline is improved over a campaign of candidates:
what is accepted lands, its effect adds to the baseline's, and its confirming runs become the new reference runs; where a
confirmation fails, the baseline's confirming runs join them. Every run is counted: candidates, reference, both arms of each
confirmation, and the calibration. Exits with 1 when the default policy misses a bound.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy.stats import t

from research_app.evidence.noise import Noise, calibrate
from research_app.evidence.policy import Policy, decide, decide_confirmation

REAL, NEUTRAL = 0.05, 0.60  # shares of candidates; the rest is harmful
NEUTRAL_WIDTH = 0.2
HARM_MEAN = 1.5
TAU = 1.5
CALIBRATION_RUNS = 8


@dataclass(frozen=True)
class Scenario:
    """One world. Spreads and levels are in units of the baseline's true sigma.

    rho            correlation of two trees' scores on one seed
    real_mean      mean of the exponentially distributed effects of the real improvements
    spread         sigma of the logarithm of each tree's own noise level (heterogeneous noise)
    outliers       probability that a run lands N(0, 4 sigma) away
    sigma_factor   sigma that the policy is told, over the true one; None: estimated from 8 runs and never updated
    drift          standard deviation of the random walk of all scores from one candidate to the next
    """

    name: str
    rho: float = 0.0
    real_mean: float = 1.5
    spread: float = 0.0
    outliers: float = 0.0
    sigma_factor: float | None = 1.0
    drift: float = 0.0


SCENARIOS = (
    Scenario("rho 0"),
    Scenario("rho 0.8", rho=0.8),
    Scenario("heterogeneous noise", spread=0.4),
    Scenario("outliers", outliers=0.05),
    Scenario("sigma 20% too low", sigma_factor=0.8),
    Scenario("sigma from 8 runs", sigma_factor=None),
    Scenario("drifting scores", drift=0.1),
)
CALM = SCENARIOS[:2]  # the others are the stress cases


@dataclass
class Tally:
    """What one strategy did, summed over replicates."""

    replicates: int
    accepted: int = 0
    false: int = 0
    runs: int = 0

    def accept(self, real: bool) -> None:
        """Count an accepted candidate."""
        self.accepted += 1
        self.false += not real

    @property
    def false_share(self) -> float:
        """False discoveries as a share of all accepts."""
        return self.false / max(self.accepted, 1)

    @property
    def found(self) -> float:
        """Real improvements accepted per campaign."""
        return (self.accepted - self.false) / self.replicates

    @property
    def runs_each(self) -> float:
        """Runs per campaign."""
        return self.runs / self.replicates


class World:
    """The candidates of one replicate and the noise of every run."""

    def __init__(self, scenario: Scenario, candidates: int, rng: np.random.Generator) -> None:
        self.scenario = scenario
        kind = rng.random(candidates)
        real = kind < REAL
        neutral = ~real & (kind < REAL + NEUTRAL)
        effects = -NEUTRAL_WIDTH - rng.exponential(HARM_MEAN, candidates)
        effects[neutral] = rng.uniform(-NEUTRAL_WIDTH, NEUTRAL_WIDTH, int(neutral.sum()))
        effects[real] = rng.exponential(scenario.real_mean, int(real.sum()))
        spreads = np.exp(rng.normal(0.0, scenario.spread, candidates)) if scenario.spread else np.ones(candidates)
        walk = np.cumsum(rng.normal(0.0, scenario.drift, candidates)) if scenario.drift else np.zeros(candidates)
        self.candidates: list[tuple[float, bool, float, float]] = list(
            zip(effects.tolist(), real.tolist(), spreads.tolist(), walk.tolist(), strict=True)
        )
        self._normals = _endless(rng.standard_normal)
        self._uniforms = _endless(rng.random)
        self._seeds: dict[int, float] = {}
        self._shared, self._own = math.sqrt(scenario.rho), math.sqrt(1 - scenario.rho)
        self.runs = 0

    def run(self, level: float, spread: float, seed: int) -> float:
        """The score of one run of a tree with this level and noise on this seed; lower is better."""
        self.runs += 1
        noise = next(self._normals)
        if self._shared:
            if seed not in self._seeds:
                self._seeds[seed] = next(self._normals)
            noise = self._shared * self._seeds[seed] + self._own * noise
        if self.scenario.outliers and next(self._uniforms) < self.scenario.outliers:
            noise += 4 * next(self._normals)
        return level + spread * noise

    def noise(self) -> Noise:
        """The sigma that the policy is told."""
        if self.scenario.sigma_factor is not None:
            self.runs += CALIBRATION_RUNS
            return Noise.known(self.scenario.sigma_factor)
        return calibrate([self.run(0.0, 1.0, -1 - seed) for seed in range(CALIBRATION_RUNS)])


def _endless(draw: Callable[[int], np.ndarray]) -> Iterator[float]:
    while True:
        yield from draw(4096).tolist()


Strategy = Callable[[World, Tally], None]


def signoff(policy: Policy, confirm: bool = True, reuse: bool = True) -> Strategy:
    """The shipped policy. Without `confirm`, a provisional accept lands at once; without `reuse`, the baseline's runs of
    a failed confirmation are thrown away."""

    def campaign(world: World, tally: Tally) -> None:
        noise = world.noise()
        most = policy.reference_runs_for(policy.n_max)
        level, spread, fresh = 0.0, 1.0, most  # fresh: the next seed never used
        seeds = list(range(most))  # seed i of the candidate is seed i of the reference
        reference = [world.run(level, spread, seed) for seed in seeds[: policy.reference_runs]]
        for effect, real, own_spread, walk in world.candidates:
            scores: list[float] = []
            step = "run"
            while step == "run":
                seed = seeds[len(scores)]
                if len(reference) <= len(scores):
                    reference.append(world.run(level + walk, spread, seed))
                scores.append(world.run(level - effect + walk, own_spread, seed))
                step = decide(policy, noise.sigma, reference, scores).step
            if step != "confirm":
                continue
            if confirm:
                seeds_now = list(range(fresh, fresh + policy.confirm_runs))
                fresh += policy.confirm_runs
                base = [world.run(level + walk, spread, seed) for seed in seeds_now]
                mine = [world.run(level - effect + walk, own_spread, seed) for seed in seeds_now]
                if not decide_confirmation(policy, noise, base, mine, TAU).solid:
                    if reuse:
                        seeds = seeds[: len(reference)] + seeds_now + seeds[len(reference) :]
                        reference = reference + base
                    continue
            else:
                seeds_now, mine = seeds[: len(scores)], scores
            tally.accept(real)
            level, spread, reference = level - effect, own_spread, mine
            extra = max(0, most - len(seeds_now))
            seeds = seeds_now + list(range(fresh, fresh + extra))
            fresh += extra
            while len(reference) < policy.reference_runs:
                reference.append(world.run(level + walk, spread, seeds[len(reference)]))

    return campaign


def keep_if_lower(world: World, tally: Tally) -> None:
    """One run of each candidate on one seed; the lower score stays."""
    level = 0.0
    best = world.run(level, 1.0, 0)
    for effect, real, spread, walk in world.candidates:
        score = world.run(level - effect + walk, spread, 0)
        if score < best:
            tally.accept(real)
            level, best = level - effect, score


def t_test(seeds: int, alpha: float) -> Strategy:
    """A two-sided pooled t-test of `seeds` runs each; an accepted candidate's runs are the next baseline's."""
    critical = float(t.isf(alpha / 2, 2 * seeds - 2))

    def campaign(world: World, tally: Tally) -> None:
        level = 0.0
        base = [world.run(level, 1.0, seed) for seed in range(seeds)]
        for effect, real, spread, walk in world.candidates:
            mine = [world.run(level - effect + walk, spread, seed) for seed in range(seeds)]
            a, b = fmean(base), fmean(mine)
            squares = sum((x - a) ** 2 for x in base) + sum((x - b) ** 2 for x in mine)
            error = math.sqrt(squares / (2 * seeds - 2) * 2 / seeds)
            if a - b > critical * error:
                tally.accept(real)
                level, base = level - effect, mine

    return campaign


# The policy as first specified, which the default was measured against.
FIRST_POLICY = Policy(first_drop=0.75, drop=0.8, confirm_runs=4, confirm_alpha=0.05, sigma_weight=math.inf)

DEFAULT = "**Signoff, default policy**"
STRATEGIES: dict[str, Strategy] = {
    DEFAULT: signoff(Policy()),
    "first policy": signoff(FIRST_POLICY, reuse=False),
    "default policy without confirmation": signoff(Policy(), confirm=False),
    "keep if lower, 1 run": keep_if_lower,
    "t-test at 0.05, 3 seeds": t_test(3, 0.05),
    "t-test at 0.05, 5 seeds": t_test(5, 0.05),
    "t-test at 0.10, 5 seeds": t_test(5, 0.10),
}


def simulate(strategy: Strategy, scenario: Scenario, replicates: int, candidates: int, first: int = 0) -> Tally:
    """One strategy over replicates `first`, `first` + 1, … of a scenario. Every strategy meets the same candidates."""
    tally = Tally(replicates)
    for replicate in range(first, first + replicates):
        rng = np.random.default_rng([zlib.crc32(scenario.name.encode()), replicate])
        world = World(scenario, candidates, rng)
        strategy(world, tally)
        tally.runs += world.runs
    return tally


def missed_bounds(scenario: Scenario, tally: Tally) -> list[str]:
    """What the default policy promises for a campaign of 700 and did not keep."""
    calm = scenario in CALM
    limit = 0.02 if calm else 0.06
    missed = []
    if tally.false_share > limit:
        missed.append(f"{scenario.name}: {tally.false_share:.1%} false discoveries, at most {limit:.0%} are allowed")
    if scenario is SCENARIOS[0] and tally.found < 11:
        missed.append(f"{scenario.name}: {tally.found:.1f} real improvements found, at least 11 are asked for")
    if calm and tally.runs_each > 1200:
        missed.append(f"{scenario.name}: {tally.runs_each:.0f} runs, at most 1,200 are allowed")
    return missed


def main() -> int:
    """Print the table in Markdown; 1 when a bound is missed."""
    parser = argparse.ArgumentParser(description="Simulate the decision policy against its alternatives.")
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--candidates", type=int, default=700, help="candidates in each campaign")
    parser.add_argument("--first", type=int, default=0, help="number of the first replicate; others give fresh noise")
    options = parser.parse_args()
    started, missed = time.monotonic(), []
    print("Each cell: false discoveries as a share of accepts / real improvements found / runs, per campaign.\n")
    print("| | " + " | ".join(scenario.name for scenario in SCENARIOS) + " |")
    print("|---" * (len(SCENARIOS) + 1) + "|")
    for name, strategy in STRATEGIES.items():
        cells = []
        for scenario in SCENARIOS:
            tally = simulate(strategy, scenario, options.replicates, options.candidates, options.first)
            cells.append(f"{tally.false_share:.1%} / {tally.found:.1f} / {tally.runs_each:,.0f}")
            if name == DEFAULT:
                missed += missed_bounds(scenario, tally)
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    seconds = time.monotonic() - started
    print(f"\n{options.candidates} candidates, {options.replicates} replicates, {seconds:.0f} s.")
    print("\n".join(missed) if missed else "Every bound holds.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
