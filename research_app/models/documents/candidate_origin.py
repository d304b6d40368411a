"""What Signoff itself reads of a candidate's details: where it comes from. All else in them is a proposer's own memory."""

from collections.abc import Mapping

from research_app.documents import Part, Text, Whole
from research_app.models.documents.run_summary import Fact


class CandidateOrigin(Part):
    """Constants that it moves, with what they were; what it removes, after which ablation; what it combines.

    It names no version: a proposer may keep anything beside it, under any name.
    """

    knobs: Mapping[Text, Fact] = {}
    was: Mapping[Text, Fact] = {}
    removes: Whole | None = None
    stack_check: Whole | None = None
    combines: tuple[Whole, ...] = ()


def origin_read(stored: object) -> CandidateOrigin:
    """What is whole of it."""
    return CandidateOrigin.read(stored) or CandidateOrigin()
