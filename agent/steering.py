"""What is wanted next: a share of modes, a bandit over categories, and whether the research has reached a plateau.

Everything is computed from outcomes that stand in rows; nothing is remembered between calls.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.proposal import CATEGORIES

PRIOR = (1.0, 4.0)  # Beta: before anything was tried, one candidate in five of a category is thought to be solid
MEMORY = 60  # later outcomes that halve the weight of an earlier one: what helped a weak recipe stops helping
DRAWS = 2000  # of the shown chances
PLATEAU = 24  # outcomes in a row without a solid one
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Arm:
    """What is known of a category: outcomes in all, how many were solid, and both with old ones counting less."""

    category: str
    tried: int
    solid: int
    misses: float
    hits: float

    @property
    def rate(self) -> float:
        """The share of solid outcomes that is expected of the next, between 0 and 1."""
        return (PRIOR[0] + self.hits) / (sum(PRIOR) + self.hits + self.misses)

    def draw(self, chance: random.Random) -> float:
        """One draw of the rate from what is known of it."""
        return chance.betavariate(PRIOR[0] + self.hits, PRIOR[1] + self.misses)


@dataclass(frozen=True)
class Plateau:
    """So many outcomes in a row without a solid one; `at_most` is the 95% bound on the rate that goes with it."""

    outcomes: int

    @property
    def at_most(self) -> float:
        """Upper bound of the rate of solid outcomes: 1 − 0.05^(1/n), about 3/n."""
        return float(1 - (1 - CONFIDENCE) ** (1 / self.outcomes))

    @property
    def sentence(self) -> str:
        return (
            f"Plateau: none of the last {self.outcomes} judged candidates was solid, so at most one in "
            f"{1 / self.at_most:.0f} like them is (95%). Another kind of idea or a larger budget may help."
        )


def arms_of(outcomes: Sequence[tuple[str, bool]]) -> list[Arm]:
    """One arm for each category, from (category, was it solid) in the order in which the outcomes came."""
    arms = []
    for category in CATEGORIES:
        here = [(age, solid) for age, (name, solid) in enumerate(reversed(outcomes)) if name == category]
        weights = [(0.5 ** (age / MEMORY), solid) for age, solid in here]
        hits = sum(weight for weight, solid in weights if solid)
        misses = sum(weight for weight, solid in weights if not solid)
        arms.append(Arm(category, len(here), sum(solid for _, solid in here), misses, hits))
    return arms


def drawn_category(arms: Sequence[Arm], seed: str) -> str:
    """Thompson sampling: the category whose draw is the highest. The same seed draws the same."""
    chance = random.Random(f"category {seed}")
    draws = {arm.category: arm.draw(chance) for arm in arms}
    return max(draws, key=draws.__getitem__)


def chances(arms: Sequence[Arm]) -> dict[str, float]:
    """How often each category would be drawn next, from 2,000 draws with a fixed seed."""
    counts = Counter(drawn_category(arms, str(draw)) for draw in range(DRAWS))
    return {arm.category: counts[arm.category] / DRAWS for arm in arms}


def drawn_mode(shares: Mapping[str, float], seed: str) -> str:
    """A mode, each as often as its share says. The same seed draws the same."""
    chance = random.Random(f"mode {seed}")
    return chance.choices(list(shares), weights=list(shares.values()))[0]


def plateau_of(outcomes: Sequence[bool]) -> Plateau | None:
    """The plateau that outcomes (solid or not, in order) end with; None while there is none."""
    since = 0
    for solid in reversed(outcomes):
        if solid:
            break
        since += 1
    return Plateau(since) if since >= PLATEAU else None
