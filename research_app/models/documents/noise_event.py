"""What the log says of the noise: the data of the events that record it."""

from research_app.documents import Document, Figure, Part, Text


class GroupLeftOut(Part):
    """Runs that sigma does not count, by their name."""

    group: Text


class NoiseEvent(Document):
    """`sigma` when it was recorded, `before` where that was a change, and what it left out."""

    sigma: Figure | None = None
    before: Figure | None = None
    left_out: tuple[GroupLeftOut, ...] = ()
