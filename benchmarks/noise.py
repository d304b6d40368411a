"""Campaigns in which sigma is measured as the loop measures it, and in which somebody tries to move it.

    python -m benchmarks.noise [--replicates 100] [--candidates 700] [--first 0]

`benchmarks/policy.py` tells the policy what sigma is; here the shipped `pool_guarded` says so for each candidate, from the
calibration, the reference runs and the fresh runs of all other candidates. Each world has somebody in it who decides how their
own runs scatter: they get the runs of a confirmation whatever they score, and are never accepted, so that only sigma is at
stake. Beside the guard stands what came before it: every repeated run of every tree pooled as it is, those of the looks too.
Exits with 1 when the guard misses a bound.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from benchmarks.policy import CALIBRATION_RUNS, TAU, Scenario, Tally, World
from research_app.evidence.noise import Noise, pool
from research_app.evidence.policy import Policy, decide, decide_confirmation
from research_app.evidence.pooling import Repeats, pool_guarded

POLICY = Policy()
RUNS = POLICY.confirm_runs
FALSE_MOST = 0.06  # of the accepts, in every world
FOUND_LEAST = 0.8  # of what is found where nobody poisons anything


@dataclass(frozen=True)
class Meddling:
    """How many candidates scatter on purpose, and the scores of the runs of one of them around 0."""

    name: str
    count: int = 0
    scores: Callable[[np.random.Generator], list[float]] = field(default=lambda rng: [])
    tails: float = math.inf  # degrees of freedom of every run's noise, a t of unit variance
    rho: float = 0.0


def _third_seed(rng: np.random.Generator) -> list[float]:
    return [1000.0 * (seed % 3 == 0) + score for seed, score in enumerate(rng.standard_normal(RUNS).tolist())]


def _spread(times: float) -> Callable[[np.random.Generator], list[float]]:
    return lambda rng: (times * rng.standard_normal(RUNS)).tolist()


def _alike(rng: np.random.Generator) -> list[float]:
    return [0.0] * RUNS


def _cauchy(rng: np.random.Generator) -> list[float]:
    return rng.standard_cauchy(RUNS).tolist()


WORLDS = (
    Meddling("honest"),
    Meddling("correlated seeds", rho=0.8),
    Meddling("heavy tails (t, 3 degrees)", tails=3.0),
    Meddling("one diverges on every third seed", 1, _third_seed),
    Meddling("50 diverge on every third seed", 50, _third_seed),
    Meddling("50 with Cauchy noise", 50, _cauchy),
    Meddling("50 with twice the noise", 50, _spread(2.0)),
    Meddling("50 whose seeds do nothing", 50, _alike),
    Meddling("50 with half the noise", 50, _spread(0.5)),
)

Pool = Callable[[list[Repeats]], Noise]
LOOKED_AT = "looked at"
"""Runs of the looks: whether there is a second one depends on the first, so that they scatter too much."""


def pool_fresh(groups: list[Repeats]) -> Noise:
    """As the loop does it: the baseline's runs, and those of candidates that no look has selected."""
    return pool_guarded([group for group in groups if group.name != LOOKED_AT])


def pool_everything(groups: list[Repeats]) -> Noise:
    """What the guard replaced: the spread within all groups."""
    return pool([group.scores for group in groups])


@dataclass
class Ledger:
    """The runs of a campaign by tree, and the sigma that they give; worked out again when a group has grown."""

    pooled: Pool
    groups: list[Repeats] = field(default_factory=list)
    sigmas: list[float] = field(default_factory=list)
    _known: Noise | None = None

    def group(self, name: str, anchor: bool = False) -> list[float]:
        """The scores of a new tree, to be appended to."""
        self.groups.append(Repeats(name, [], anchor))
        return self.groups[-1].scores

    def add(self, scores: list[float], score: float) -> None:
        """One more run of a tree."""
        scores.append(score)
        if len(scores) > 1:
            self._known = None

    def noise(self) -> Noise:
        """Sigma now."""
        if self._known is None:
            self._known = self.pooled([group for group in self.groups if len(group.scores) > 1])
            self.sigmas.append(self._known.sigma)
        return self._known


class Heavy(World):
    """A world whose runs have a t distribution of unit variance."""

    def __init__(self, meddling: Meddling, candidates: int, rng: np.random.Generator) -> None:
        super().__init__(Scenario(meddling.name, rho=meddling.rho), candidates, rng)
        if math.isfinite(meddling.tails):
            scale = math.sqrt((meddling.tails - 2) / meddling.tails)
            self._normals = (float(x) * scale for x in iter(lambda: rng.standard_t(meddling.tails), None))


def campaign(meddling: Meddling, pooled: Pool, world: World, tally: Tally, rng: np.random.Generator) -> list[float]:
    """One campaign as `benchmarks.policy.signoff` plays it, with sigma pooled as it goes; every sigma that was used."""
    ledger = Ledger(pooled)
    level, most = 0.0, POLICY.reference_runs_for(POLICY.n_max)
    meddlers = set(rng.choice(len(world.candidates), meddling.count, replace=False).tolist())
    reference = ledger.group("baseline", anchor=True)
    for seed in range(CALIBRATION_RUNS):
        ledger.add(reference, world.run(level, 1.0, seed))
    fresh = CALIBRATION_RUNS
    for number, (effect, real, _, _) in enumerate(world.candidates):
        noise, mine = ledger.noise(), ledger.group(LOOKED_AT)  # its own runs are no part of its standard
        if number in meddlers:
            on_purpose = ledger.group("candidate")
            for score in meddling.scores(rng):
                ledger.add(on_purpose, score)
            continue
        step = "run"
        while step == "run":
            if len(reference) <= len(mine):
                ledger.add(reference, world.run(level, 1.0, len(reference)))
            ledger.add(mine, world.run(level - effect, 1.0, len(mine)))
            step = decide(POLICY, noise.sigma, reference, mine).step
        if step != "confirm":
            continue
        seeds = range(fresh, fresh + POLICY.confirm_runs)
        fresh += POLICY.confirm_runs
        theirs, ours = ([world.run(level - gain, 1.0, seed) for seed in seeds] for gain in (0.0, effect))
        for score in theirs:
            ledger.add(reference, score)
        confirmed = ledger.group("candidate")
        for score in ours:
            ledger.add(confirmed, score)
        if decide_confirmation(POLICY, noise, theirs, ours, TAU).solid:
            tally.accept(real)
            level -= effect
            reference = ledger.group("baseline", anchor=True)
            for seed in range(fresh, fresh + most // 2):
                ledger.add(reference, world.run(level, 1.0, seed))
            fresh += most // 2
    return ledger.sigmas


def simulate(meddling: Meddling, pooled: Pool, replicates: int, candidates: int, first: int = 0) -> tuple[Tally, list[float]]:
    """The outcome of the campaigns, and every sigma that was used in them."""
    tally, sigmas = Tally(replicates), []
    for replicate in range(first, first + replicates):
        rng = np.random.default_rng([zlib.crc32(meddling.name.encode()), replicate])
        world = Heavy(meddling, candidates, rng)
        sigmas += campaign(meddling, pooled, world, tally, rng)
        tally.runs += world.runs
    return tally, sigmas


def told(tally: Tally, sigmas: list[float]) -> str:
    """A cell of the table."""
    low, high = np.quantile(sigmas, [0.05, 0.95])
    spread = f"{low:.2f} to {high:.2f}" if high < 10 else f"{low:.3g} to {high:.3g}"
    return f"{spread} / {tally.false_share:.1%} / {tally.found:.1f} / {tally.runs_each:,.0f}"


def missed_bounds(meddling: Meddling, tally: Tally, sigmas: list[float], honest: float) -> list[str]:
    """What the guard promises in every world and did not keep."""
    missed = []
    if tally.false_share > FALSE_MOST:
        missed.append(f"{meddling.name}: {tally.false_share:.1%} false discoveries, at most {FALSE_MOST:.0%} are allowed")
    if tally.found < FOUND_LEAST * honest:
        missed.append(f"{meddling.name}: {tally.found:.1f} found, at least {FOUND_LEAST:.0%} of {honest:.1f} are asked for")
    middle = float(np.median(sigmas))
    if not 0.75 < middle < 1.35:
        missed.append(f"{meddling.name}: sigma is {middle:.2f} of the true one in the middle")
    return missed


def report(replicates: int, candidates: int, first: int) -> list[str]:
    """Print the table in Markdown; what the guard missed."""
    print("\nEach cell: sigma over the true one, 5% to 95% / false discoveries / real improvements found / runs.\n")
    print("| | guarded | every group pooled |\n|---|---|---|")
    missed, honest = [], 0.0
    for meddling in WORLDS:
        tally, sigmas = simulate(meddling, pool_fresh, replicates, candidates, first)
        honest = honest or tally.found
        missed += missed_bounds(meddling, tally, sigmas, honest)
        cells = told(tally, sigmas), told(*simulate(meddling, pool_everything, replicates, candidates, first))
        print(f"| {meddling.name} | {' | '.join(cells)} |", flush=True)
    return missed


def main() -> int:
    """Print the table in Markdown; 1 when a bound is missed."""
    parser = argparse.ArgumentParser(description="Simulate campaigns in which somebody tries to move sigma.")
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--candidates", type=int, default=700)
    parser.add_argument("--first", type=int, default=0)
    options, started = parser.parse_args(), time.monotonic()
    missed = report(options.replicates, options.candidates, options.first)
    print(f"\n{options.candidates} candidates, {options.replicates} replicates, {time.monotonic() - started:.0f} s.")
    print("\n".join(missed) if missed else "Every bound holds.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
