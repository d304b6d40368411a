"""On the baseline: which changes are part of a version of it, and which landing brought them there."""

from collections.abc import Iterable

from research_app.models import BaselineVersion, Candidate, Landing, LandingState, Stage


def landings_on_baseline(candidates: Iterable[Candidate], version: BaselineVersion | None = None) -> dict[int, Landing]:
    """The landing that brought each candidate which is part of this version of the baseline, or of today's, by candidate: its
    own, or that of the stack that it is part of. Two queries."""
    listed = [candidate for candidate in candidates if candidate.stage == Stage.LANDED]
    through = Candidate.members.through.objects.filter(to_candidate__in=listed).order_by("from_candidate")
    parts = list(through.values_list("to_candidate", "from_candidate"))
    keys = {*(candidate.pk for candidate in listed), *(stack for _, stack in parts)}
    rows = Landing.objects.filter(candidate__in=keys, state=LandingState.LANDED, version__isnull=False)
    landings = {landing.candidate_id: landing for landing in rows.select_related("version")}
    as_part = {member: landings[stack] for member, stack in parts if stack in landings}
    landings_by_candidate: dict[int, Landing] = {}
    for candidate in listed:
        landing = landings.get(candidate.pk) or as_part.get(candidate.pk)
        if landing and _holds(candidate, landing, version):
            landings_by_candidate[candidate.pk] = landing
    return landings_by_candidate


def _holds(candidate: Candidate, landing: Landing, version: BaselineVersion | None) -> bool:
    """Whether a landing is part of a version: it is no later, and nothing has taken it back up to there."""
    if version is None:
        return not candidate.undone
    gone = candidate.undone_by is not None and candidate.undone_by.number <= version.number
    return landing.version is not None and landing.version.number <= version.number and not gone
