"""Disclosure: what a proposer may know of the people who review its work: what they say, never who says it or how they vote.

An agent that knows its reviewers learns whom to please. It is told the reasons and the comments, because they are for it; names
of people, votes and their number stay out of every context, answer and history that an agent gets.
"""

from collections.abc import Sequence

from research_app.models import Candidate, Comment, Decision

PERSON = "a researcher"
"""What any person is called towards an agent."""


def speaker(comment: Comment) -> str:
    """Who said something, as agents are told: proposers by name, people not."""
    return PERSON if comment.author_id is not None else comment.name


def reasons_for(candidate: Candidate) -> Sequence[str]:
    """What people who turned it down or asked for changes want, each text once (one query)."""
    wanted = candidate.reviews.standing().filter(decision__in=(Decision.REJECT, Decision.CHANGES)).exclude(reason="")
    return sorted(set(wanted.values_list("reason", flat=True)))
