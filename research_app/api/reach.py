"""What a token reaches: the projects that it is scoped to and what is in them; to be revised, its own person's candidates."""

from django.http import Http404

from research_app.models import Candidate, Project, Run, Token


class NotYours(Exception):
    """The candidate was submitted by somebody else; the message says what to do."""


def project_of(token: Token, slug: str) -> Project:
    """A project in the token's reach. Raises Http404 for any other, as if there were none. One query."""
    if row := token.reach().filter(slug=slug).first():
        return row
    raise Http404


def candidate_of(token: Token, slug: str, number: int) -> Candidate:
    """A candidate of a project in the token's reach. Raises Http404. One query."""
    rows = Candidate.objects.with_evidence().filter(project__in=token.reach(), project__slug=slug)
    if row := rows.filter(number=number).first():
        return row
    raise Http404


def candidate_to_revise(token: Token, slug: str, number: int) -> Candidate:
    """The same where it is the token's own person's, because a revision voids votes. Raises Http404, NotYours. One query."""
    row = candidate_of(token, slug, number)
    if row.submitted_by_id != token.user_id:
        raise NotYours(
            f"{row} was not submitted by {token.user.get_username()}, and a token revises only its own person's candidates. "
            "Submit the change as a candidate of its own, or ask the author."
        )
    return row


def run_of(token: Token, slug: str, number: int) -> Run:
    """A run of a project in the token's reach. Raises Http404. One query."""
    rows = Run.objects.select_related("project", "baseline", "patch_set__candidate")
    if row := rows.filter(project__in=token.reach(), project__slug=slug, pk=number).first():
        return row
    raise Http404
