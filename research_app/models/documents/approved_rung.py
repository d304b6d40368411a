"""What was approved for one rung of a scale-up: its seeds, and what they were said to cost."""

from research_app.documents import Figure, Part, Text, Whole


class ApprovedRung(Part):
    """One rung of a scale-up. Hours and money are None where nothing told them."""

    rung: Text
    seeds: Whole
    runs: Whole = 0
    hours: Figure | None = None
    at_most: Figure = 0.0
    money: Figure | None = None
    money_at_most: Figure = 0.0
