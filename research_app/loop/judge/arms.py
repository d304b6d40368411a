"""Arms: the runs that are compared."""

from collections.abc import Sequence
from dataclasses import dataclass

from research_app.models import Run


@dataclass(frozen=True)
class Arms:
    """The runs that are compared, in run order."""

    baseline: Sequence[Run]
    candidate: Sequence[Run]

    def scores(self, hidden: bool = False) -> tuple[list[float], list[float]]:
        """Scores of both arms, on the gate shard or, where it was measured, on the hidden one."""
        arms = (self.baseline, self.candidate)
        read = [[run.hidden_score if hidden and run.hidden_score is not None else run.score for run in arm] for arm in arms]
        return [float(score or 0.0) for score in read[0]], [float(score or 0.0) for score in read[1]]
