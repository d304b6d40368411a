"""The gain in units of the noise."""

from research_app.web.candidates.columns import Column

COLUMN = Column(
    "sigmas",
    "In σ",
    hint="the gain in units of the run-to-run noise σ: the standard deviation of the score over seeds",
    order=2,
)
