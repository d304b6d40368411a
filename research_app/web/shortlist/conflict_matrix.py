"""Which candidates of the shortlist conflict with which, as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from research_app.loop.scale_up.shortlist import Conflict, conflicts
from research_app.models import Candidate, Project
from research_app.web.shortlist.shortlisted import waiting_at_gate_one

MOST = 40  # rows and columns
MOST_NAMED = 8  # constants of a cell


@dataclass(frozen=True)
class Matrix:
    """The candidates that conflict with any other, most conflicts first, and for each its cells in that order."""

    candidates: Sequence[Candidate]
    rows: Sequence[tuple[Candidate, Sequence[str]]]
    left_out: int
    without: int  # candidates that conflict with nobody


def conflict_matrix(project: Project) -> Matrix:
    """A cell says what both alter; empty where they do not conflict. A few queries."""
    listed = waiting_at_gate_one(project)
    clashes = conflicts(listed)
    clashing = sorted((c for c in listed if clashes[c.pk]), key=lambda c: (-len(clashes[c.pk]), c.number))
    first_ones = clashing[:MOST]
    rows = [(candidate, cells_of(candidate, first_ones, clashes)) for candidate in first_ones]
    return Matrix(first_ones, rows, len(clashing) - len(first_ones), len(listed) - len(clashing))


def cells_of(candidate: Candidate, first_ones: Sequence[Candidate], clashes: Mapping[int, Sequence[Conflict]]) -> list[str]:
    """What this candidate and each of those alter both."""
    by_other = {conflict.other.pk: conflict for conflict in clashes[candidate.pk]}
    return [words_of(by_other[other.pk]) if other.pk in by_other else "" for other in first_ones]


def words_of(conflict: Conflict) -> str:
    """`WARMUP, WIDTH; same lines train.py:12`"""
    named, more = list(conflict.constants[:MOST_NAMED]), len(conflict.constants) - MOST_NAMED
    parts = [", ".join(named) + (f" and {more} more" if more > 0 else "")] if named else []
    return "; ".join([*parts, *([f"same lines {', '.join(conflict.lines)}"] if conflict.lines else [])])
