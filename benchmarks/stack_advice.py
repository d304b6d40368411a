"""Random stacks with interactions: how often the advice of an ablation is wrong, and how much following it costs.

    python -m benchmarks.stack_advice [--stacks 2000] [--seed 0]

Every decision is made by the shipped `points_of`, `follow_up`, `unsettled` and `report`, called as the loop calls them;
only git and training are left out. Scores are in units of the true sigma, which the check is told as 20 degrees of freedom
measured it. A stack has 2 to 6 changes, of which some have landed in a random order. Alone, seven in ten bring about 2
sigma, the others nothing or nearly nothing; one pair in four interacts, by 2 sigma. Beside it stands what was advised
before: to take out whatever the main effect over the two-level design does not show to help. Prints both; exits with 1 when
a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np

from research_app.evidence.ablation import Advice, Known, Report, follow_up, noise_of, report, unsettled
from research_app.evidence.ablation_design import PAIR_RUNS, Point, Stack, points_of
from research_app.evidence.noise import Noise, pool
from research_app.evidence.stacking import design, main_effects

DEGREES = 20  # of the sigma that is known before
MOST_CHANGES = 6
GOOD, NOTHING = 0.7, 0.85  # cumulative: what brings about 2 sigma alone, what brings nothing
INTERACTS, STRENGTH = 0.25, 2.0
WORST_REMOVALS = 0.05  # of all removals that are advised, those which cost the baseline more than the margin


@dataclass(frozen=True)
class World:
    """One stack with its truth: gains in sigma of each change alone, and of pairs beyond the sum."""

    stack: Stack
    single: Mapping[str, float]
    pairs: Mapping[Point, float]

    def gain(self, point: Point) -> float:
        """The true gain of a tree."""
        return sum(self.single[change] for change in point) + sum(more for pair, more in self.pairs.items() if pair <= point)

    def here(self, change: str) -> float:
        """What a change truly brings to the baseline."""
        return self.gain(self.stack.landed | {change}) - self.gain(self.stack.landed - {change})

    @property
    def beyond_the_sum(self) -> float:
        return sum(self.pairs.values())


@dataclass
class Removals:
    """Removals that were advised, and what following them one at a time truly costs the baseline, in sigma."""

    advised: int = 0
    cost: int = 0  # of them, those that lose anything
    beyond: int = 0  # those that lose more than the margin
    lost: float = 0.0
    worst: float = 0.0
    possible: int = 0  # landed changes that truly bring nothing or harm
    found: int = 0  # of them, those advised

    def count(self, advised: bool, effect: float, margin: float) -> None:
        self.possible += effect <= 0
        if advised:
            self.advised += 1
            self.cost += effect > 0
            self.beyond += effect > margin
            self.found += effect <= 0
            self.lost += max(0.0, effect)
            self.worst = max(self.worst, effect)

    @property
    def share_beyond(self) -> float:
        return self.beyond / self.advised if self.advised else 0.0


@dataclass
class Tally:
    """The outcome of all stacks."""

    stacks: int = 0
    runs: int = 0
    now: Removals = field(default_factory=Removals)
    before: Removals = field(default_factory=Removals)
    landings: int = 0  # waiting changes that are said to help
    bad_landings: int = 0  # of them, those that truly bring nothing or harm
    warnings: int = 0  # waiting changes that are said to do harm
    false_warnings: int = 0
    pairs: int = 0  # that truly interact by more than a sigma
    pairs_named: int = 0
    named: int = 0
    named_falsely: int = 0
    adds_up: int = 0
    adds_up_falsely: int = 0  # where more than half of the sum is missing or added
    intervals: int = 0
    covered: int = 0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--stacks", type=int, default=2000)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    tally = simulate(chosen.stacks, chosen.seed)
    print_tally(tally)
    print(json.dumps(asdict(tally)))
    sys.exit(0 if tally.now.share_beyond <= WORST_REMOVALS else 1)


def simulate(stacks: int, seed: int) -> Tally:
    """Check random stacks and count what was advised."""
    rng, tally = np.random.default_rng(seed), Tally()
    for _ in range(stacks):
        world = draw(rng)
        known = known_noise(rng)
        found, runs = check(world, known, rng)
        count(tally, world, found, runs)
        count_before(tally.before, world, known, rng)
    return tally


def draw(rng: np.random.Generator) -> World:
    """One random stack."""
    changes = tuple(str(number + 1) for number in range(int(rng.integers(2, MOST_CHANGES + 1))))
    landed = rng.permutation(list(changes))[: int(rng.integers(0, len(changes) + 1))]
    stack = Stack(changes, Point(landed.tolist()))
    single = {change: _single(rng) for change in changes}
    pairs = {Point(pair): float(rng.normal(0, STRENGTH)) for pair in stack.pairs if rng.random() < INTERACTS}
    return World(stack, single, pairs)


def _single(rng: np.random.Generator) -> float:
    kind = rng.random()
    if kind < GOOD:
        return float(max(0.3, rng.normal(2.0, 1.0)))
    return 0.0 if kind < NOTHING else float(rng.normal(0, 0.5))


def known_noise(rng: np.random.Generator) -> Noise:
    """Sigma as earlier runs measured it."""
    return pool([rng.normal(0, 1, DEGREES + 1).tolist()])


def scores_of(world: World, runs: Mapping[Point, int], rng: np.random.Generator) -> dict[Point, list[float]]:
    """Scores, lower is better, of so many runs of each tree."""
    return {point: (100 - world.gain(point) + rng.normal(0, 1, count)).tolist() for point, count in runs.items()}


def check(world: World, known: Noise, rng: np.random.Generator, said: Known | None = None) -> tuple[Report, int]:
    """A whole check of one stack, all its rounds; its report and the number of runs."""
    stack, points, said = world.stack, points_of(world.stack), said or Known()
    scores = scores_of(world, points, rng)
    more = follow_up(stack, scores, noise_of(scores.values(), known), lower=True)
    fresh = scores_of(world, more.fresh(stack), rng)
    scores |= scores_of(world, dict.fromkeys(more.pairs, PAIR_RUNS), rng)
    still = unsettled(stack, fresh, noise_of((*scores.values(), *fresh.values()), known), said, lower=True)
    for point, runs in scores_of(world, still.fresh(stack), rng).items():
        fresh[point] += runs
    noise = noise_of((*scores.values(), *fresh.values()), known)
    return report(stack, scores, fresh, noise, said), sum(points.values()) + more.runs + still.runs


def count(tally: Tally, world: World, found: Report, runs: int) -> None:
    """What a report says against what is true."""
    tally.stacks += 1
    tally.runs += runs
    for each in found.effects:
        truth = world.here(each.change)
        if each.landed:
            tally.now.count(each.advice.removes, truth, each.margin)
        tally.landings += each.advice is Advice.ADD
        tally.bad_landings += each.advice is Advice.ADD and truth <= 0
        tally.warnings += each.advice is Advice.ADD_HARM
        tally.false_warnings += each.advice is Advice.ADD_HARM and truth >= 0
        if each.interval:
            tally.intervals += 1
            tally.covered += each.interval[0] <= truth <= each.interval[1]
    named = {Point(each.changes) for each in found.found}
    real = {pair for pair, more in world.pairs.items() if abs(more) > 1}
    tally.pairs += len(real)
    tally.pairs_named += len(real & named)
    tally.named += len(named)
    tally.named_falsely += len(named - set(world.pairs))
    if found.bundle and found.bundle.verdict == "adds up":
        tally.adds_up += 1
        tally.adds_up_falsely += abs(world.beyond_the_sum) > abs(sum(world.single.values())) / 2


def count_before(removals: Removals, world: World, known: Noise, rng: np.random.Generator) -> None:
    """What was advised before: to take out each landed change whose main effect is not shown to be positive."""
    plan = design(world.stack.changes)
    scores = {n: float(100 - world.gain(row) + rng.normal(0, 1)) for n, row in enumerate(plan.runs)}
    for effect in main_effects(plan, scores, known.sigma):
        if effect.change in world.stack.landed:
            removals.count(effect.unhelpful, world.here(effect.change), Known().margin(effect.change, known.sigma))


def print_tally(tally: Tally) -> None:
    """Both ways of advising, and what else was said."""
    print(f"{tally.stacks} stacks, {tally.runs / tally.stacks:.0f} runs each")
    print(f"{'removals':28} {'advised':>8} {'cost':>6} {'> margin':>9} {'lost':>7} {'worst':>6} {'found of possible':>18}")
    for name, each in (("leave one out, fresh seeds", tally.now), ("main effect (before)", tally.before)):
        print(
            f"{name:28} {each.advised:8} {each.cost:6} {each.share_beyond:9.1%} {each.lost:7.1f} {each.worst:6.2f} "
            f"{each.found:9} of {each.possible}"
        )
    print(f"said to help where it waits: {tally.landings}, of which bring nothing or harm: {tally.bad_landings}")
    print(f"said to do harm where it waits: {tally.warnings}, of which do none: {tally.false_warnings}")
    print(f"pairs that interact by more than a sigma: {tally.pairs}, named {tally.pairs_named}")
    print(f"pairs named: {tally.named}, of which do not interact at all: {tally.named_falsely}")
    print(f"said to add up: {tally.adds_up}, of which are off by more than half of the sum: {tally.adds_up_falsely}")
    print(f"95% intervals on the baseline: {tally.covered / tally.intervals:.1%} of {tally.intervals} hold the truth")


if __name__ == "__main__":
    main()
