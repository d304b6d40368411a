"""Near misses: changes that looked better without being proved so. Two of them together may stand out of the noise."""

import itertools
from collections.abc import Sequence

from agent.proposal import Edit, Proposal
from agent.title import title_of
from research_app.evidence.digits import in_sigma
from research_app.models import BaselineVersion, Candidate, Kind, Project, Stage
from research_app.models.candidate import CandidateQuerySet
from research_app.models.documents.candidate_origin import origin_read
from research_app.repository import ConflictError, PatchError

AUTHOR = "combine"
NEAR = 0.5
"""A candidate missed nearly where its effect is at least so many standard errors, but nobody could say that it is real."""
AT_MOST = 8  # near misses of which pairs are made


def near_misses(project: Project, base: BaselineVersion) -> CandidateQuerySet:
    """Undecided candidates of this baseline with the best effects first."""
    candidates = project.candidates.filter(base=base, aa=False, kind=Kind.CHANGE, stage__in=[Stage.DROPPED, Stage.INCONCLUSIVE])
    better = candidates.filter(evidence__effect__gt=0, evidence__sigma__isnull=False).order_by("-evidence__effect", "number")
    return better.select_related("project", "base", "patch_set", "evidence")


def next_combination(project: Project, base: BaselineVersion) -> list[Candidate] | None:
    """The pair with the largest sum of effects that was not joined before and goes together; None where there is none."""
    candidates = [c for c in near_misses(project, base)[: 2 * AT_MOST] if is_near(c)][:AT_MOST]
    tried = {frozenset(numbers) for numbers in joined_before(project)}
    pairs = [pair for pair in itertools.combinations(candidates, 2) if frozenset(c.number for c in pair) not in tried]
    pairs.sort(key=lambda pair: -sum(effect_in_sigma(candidate) for candidate in pair))
    for pair in pairs:
        try:
            joined(project, base, pair)
        except (ConflictError, PatchError):
            continue
        return list(pair)
    return None


def is_near(candidate: Candidate) -> bool:
    """Whether it missed nearly, and is no combination itself."""
    evidence = candidate.evidence
    if evidence is None or evidence.effect is None or not evidence.standard_error or candidate.origin.combines:
        return False
    return evidence.effect >= NEAR * evidence.standard_error


def effect_in_sigma(candidate: Candidate) -> float:
    """The effect in standard deviations of the score; 0 without one."""
    evidence = candidate.evidence
    if evidence is None or evidence.effect is None or not evidence.sigma:
        return 0.0
    return evidence.effect / evidence.sigma


def joined_before(project: Project) -> list[list[int]]:
    """Numbers of the candidates of every earlier combination (one query)."""
    rows = project.candidates.filter(details__has_key="combines").values_list("details", flat=True)
    return [list(origin_read(details).combines) for details in rows]


def joined(project: Project, base: BaselineVersion, candidates: Sequence[Candidate]) -> tuple[Proposal, str]:
    """Several candidates as one proposal on a baseline, with its patch.

    Raises ConflictError where they do not go together, PatchError where nothing is left of them.
    """
    repository = project.repository
    commit = repository.combined(base.commit, [(c.revision.base_commit, c.revision.commit) for c in candidates])
    patch = repository.patch(base.commit, commit)
    if not patch.strip():
        raise PatchError("The baseline has all of this already.")
    names = " and ".join(str(candidate) for candidate in candidates)
    hypotheses = "; ".join(f"{c}: {c.hypothesis.rstrip('.')}" for c in candidates)
    total = sum(effect_in_sigma(candidate) for candidate in candidates)
    first = max(candidates, key=effect_in_sigma)
    proposal = Proposal(
        title=title_of(f"{names} together"),
        hypothesis=f"{names} together may stand out of the noise where each alone did not. {hypotheses}.",
        category=first.category,
        edits=(Edit("", "", patch),),  # the contract wants an edit; the patch itself is what is kept
        expected_effect=f"{in_sigma(total)}, if their gains add up.",
        details={"combines": sorted(candidate.number for candidate in candidates)},
    )
    return proposal, patch
