"""The gain over the baseline, with its interval."""

from research_app.web.candidates.columns import EFFECT, Column, Order

COLUMN = Column(
    "effect",
    "Gain",
    hint="over the baseline, positive is better, with its 95% interval",
    orders=(
        Order("best", "largest gain first", EFFECT.desc(nulls_last=True)),
        Order("worst", "smallest gain first", EFFECT.asc(nulls_last=True)),
    ),
    by_default=True,
    order=1,
)
