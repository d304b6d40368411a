"""Combine: a person asks for several candidates to be tried together, as one candidate of its own."""

from collections.abc import Sequence

from django.contrib.auth.models import User

from research_app.loop.check.check import CheckFailed, build, examine
from research_app.loop.land.clashes import in_the_way
from research_app.loop.propose.near_misses import AUTHOR, joined, joined_before
from research_app.loop.propose.propose import enter
from research_app.models import Author, Candidate, Kind, Project
from research_app.repository import ConflictError, PatchError
from research_app.wording import counted

MOST = 8  # candidates in one combination; more of them are a stack


class CombinationRefused(Exception):
    """These candidates cannot be tried together; the message says why and what to do."""


def combine(project: Project, numbers: Sequence[int], person: User) -> Candidate:
    """Enter the changes of several candidates together as a new candidate on the baseline's tip. Raises CombinationRefused."""
    wanted = sorted(set(numbers))
    if not 2 <= len(wanted) <= MOST:
        raise CombinationRefused(
            f"Choose two to {MOST} candidates to try together; {counted(len(wanted), 'is', 'are')} chosen."
        )
    candidates_asked_for = project.candidates.filter(number__in=wanted, aa=False, kind=Kind.CHANGE, patch_set__isnull=False)
    candidates = list(candidates_asked_for.select_related("project", "base", "patch_set", "evidence").order_by("number"))
    if missing := sorted(set(wanted) - {candidate.number for candidate in candidates}):
        raise CombinationRefused(f"C-{missing[0]} has no change that could be tried with others.")
    if wanted in joined_before(project):
        raise CombinationRefused("These were tried together before: look for “together” in the list of candidates.")
    base = project.tip()
    try:
        proposal, patch = joined(project, base, candidates)
        examine(project, base, build(project, base, {"patch": patch}, "combined", AUTHOR))
    except ConflictError as conflict:
        whom, paths = in_the_way(base, candidates, conflict), ", ".join(conflict.paths)
        reason = f"{candidates[conflict.part]} changes the same lines of {paths} as {whom}: they do not go together."
        raise CombinationRefused(reason) from conflict
    except (CheckFailed, PatchError) as problem:
        raise CombinationRefused(str(problem)) from problem
    return enter(project, base, proposal, author=AUTHOR, kind=Author.SEARCH, patch=patch, submitted_by_id=person.pk)
