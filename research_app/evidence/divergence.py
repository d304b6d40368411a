"""Which of one tree's runs diverged, though they ended with a score: they are failures, and enter no mean.

A run that got away from the others of its tree would decide every comparison alone: among eight baseline runs around 1.05, one
at 8.0 makes any candidate look better by 0.87. It is told by its distance from the median on the bad side, in standard
deviations of the others and as a share of the score: heavy tails of the noise are no divergence.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from research_app.evidence.errors import require_finite
from research_app.evidence.noise import Noise

FAR = 25.0  # standard deviations
LARGE = 0.10  # of the median score
# Where no noise is known, the runs' own median deviation must do, which is small by chance in few runs: by number of runs, how
# many of those. Normal scores come this far once in 7,000 groups of 8, in 11,000 of 6 and in 300,000 of 4.
OWN = ((8, 25.0), (6, 50.0), (4, 1000.0))
_OF_NORMAL = 1.4826  # standard deviations in a median absolute deviation


def diverged(scores: Sequence[float], noise: Noise | None, lower_is_better: bool = True) -> list[int]:
    """Positions of the scores that got away from the others; none in fewer than 3 runs, and never more than half of them.

    `noise` must not rest on these runs. Raises BadScore.
    """
    require_finite(scores, "repeated")
    limit = FAR if noise is not None and len(scores) >= 3 else next((times for runs, times in OWN if len(scores) >= runs), None)
    if limit is None:
        return []
    centre = median(scores)
    own = _OF_NORMAL * median(abs(score - centre) for score in scores)
    spread = max(noise.sigma if noise is not None else 0.0, own)
    sign = 1.0 if lower_is_better else -1.0
    reach = max(limit * spread, LARGE * abs(centre))
    return [position for position, score in enumerate(scores) if spread and sign * (score - centre) > reach]
