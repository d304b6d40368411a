"""What several lists say of a candidate."""

from collections.abc import Sequence

from research_app.models import Candidate
from research_app.web.shared.cells import Cell
from research_app.web.shared.effects import Effect

COLUMNS = ("candidate", "title", "stage", "verdict", "author", "category", "gain", "low", "high", "n", "n of the baseline")


def cells(candidate: Candidate, effect: Effect | None) -> Sequence[Cell]:
    """Health hides the gain here too."""
    evidence = candidate.evidence
    gain = (effect.value, effect.low, effect.high, effect.candidate_n, effect.baseline_n) if effect else (None,) * 5
    verdict = evidence.verdict if evidence else ""
    return (str(candidate), candidate.title, candidate.stage, verdict, candidate.author, candidate.category, *gain)
