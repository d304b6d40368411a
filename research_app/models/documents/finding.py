"""Findings of detectors, as a run keeps them (findings) and as a patch set keeps them (flags)."""

from typing import TYPE_CHECKING, Literal

from research_app.documents import Part, Text, Whole

if TYPE_CHECKING:  # detectors bring scipy's statistics, without which pages start
    from training.detectors import Finding

Level = Literal["info", "warning", "invalid"]


class KeptFinding(Part):
    """training.detectors.Finding: what one detector saw, and where: on a curve, or on a line of a changed file."""

    detector: Text
    level: Level
    sentence: Text
    series: Text | None = None
    step_from: Whole | None = None
    step_to: Whole | None = None
    path: Text | None = None
    line: Whole | None = None

    @classmethod
    def of_finding(cls, finding: "Finding") -> "KeptFinding":
        """With what the finding says and nothing else, so that only that is stored."""
        fields = {name: value for name, value in vars(finding).items() if value is not None}
        return cls.model_validate(fields)
