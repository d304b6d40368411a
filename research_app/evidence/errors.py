"""What can be wrong with the numbers handed to this package. Every message says what to do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

LARGEST_SCORE = 1e100
"""A score beyond this is that of a run that diverged; its square, and the sums of squares here, would leave the floats."""


class EvidenceError(ValueError):
    """The numbers given cannot be turned into evidence."""


class BadPolicy(EvidenceError):
    """A policy whose settings contradict themselves or lie outside their range."""


class BadScore(EvidenceError):
    """A score that is not a finite number, or beyond LARGEST_SCORE."""


class BadSigma(EvidenceError):
    """A noise estimate that is zero, negative or not finite."""


class TooFewRuns(EvidenceError):
    """Fewer runs than the computation needs."""


class TooManyRuns(EvidenceError):
    """More runs than the policy has looks; its error rate would no longer hold."""


class BadDesign(EvidenceError):
    """Inputs of a design, a fit or a comparison that do not belong together."""


def require_finite(scores: Iterable[float], arm: str) -> None:
    """Raise BadScore naming the arm and the first score that is NaN, infinite or beyond LARGEST_SCORE."""
    for position, score in enumerate(scores, start=1):
        if not abs(score) <= LARGEST_SCORE:
            raise BadScore(
                f"{arm} score {position} is {score}: a run without a finite score failed, and one beyond {LARGEST_SCORE:g} "
                "diverged; leave it out of the scores and count it in the arm's failures"
            )


def require_sigma(sigma: float) -> None:
    """Raise BadSigma unless sigma is a positive finite number."""
    if not (math.isfinite(sigma) and sigma > 0):
        raise BadSigma(
            f"sigma is {sigma}: it must be positive; repeated runs that never differ mean that the seed does not "
            "reach the training or that the score is rounded: mend that, then calibrate again"
        )


def require_runs(scores: Sequence[object], needed: int, what: str) -> None:
    """Raise TooFewRuns, naming `what`, when there are fewer than `needed` scores."""
    if len(scores) < needed:
        missing = needed - len(scores)
        raise TooFewRuns(f"{what}: {len(scores)} of {needed} runs have a score; run {missing} more")
