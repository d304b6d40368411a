"""Clashes: whose landing stands in the way of a change, or of taking one back. Named are those that altered its lines."""

from collections.abc import Sequence
from dataclasses import dataclass

from research_app.models import BaselineVersion, Candidate, Landing, LandingState
from research_app.repository import ConflictError

MOST_VERSIONS = 200
"""Later versions that are looked at, newest first: one git command for each and each file."""


@dataclass(frozen=True)
class Clash:
    """One version of the baseline that altered the same lines, what made it, and in which files."""

    version: BaselineVersion
    candidates: Sequence[Candidate]  # none where the branch was moved by hand
    paths: Sequence[str]

    @property
    def words(self) -> str:
        """What stands in the way, and where it stands on the baseline: "C-4 (baseline 3)"."""
        made = " and ".join(map(str, self.candidates)) or "what somebody changed by hand"
        return f"{made} (baseline {self.version.number})"


def clashes_of(base: BaselineVersion, start: str, commit: str, conflict: ConflictError) -> list[Clash]:
    """The versions after `base` that altered the lines of a change, oldest first.

    The change goes from `start` to `commit`. `start` is the tree of `base`, or where a candidate landed together with
    others, its own tree; then those others count with `base`. Where no line tells, whoever touched the files is named.
    """
    project = base.project
    newer = list(project.baseline_versions.filter(number__gt=base.number).order_by("-number")[:MOST_VERSIONS])[::-1]
    states = newer if project.repository.tree_of(start) == base.tree else [base, *newer]
    commits = [version.commit for version in states]
    altered = project.repository.altered_alike(start, commit, commits, conflict.paths)
    made = made_by(states)
    named = [
        Clash(version, touching(made.get(version.pk, []), paths), paths)
        for version, paths in zip(states, altered, strict=True)
        if paths
    ]
    return named or [
        Clash(version, landings, conflict.paths)
        for version in states
        if (landings := touching(made.get(version.pk, []), conflict.paths, strictly=True))
    ]


def made_by(versions: Sequence[BaselineVersion]) -> dict[int, list[Landing]]:
    """What made each version: of a batch its entries, not the stack as which they were judged (one query)."""
    rows = Landing.objects.filter(version__in=versions, state=LandingState.LANDED).select_related("candidate", "patch_set")
    landings_of_commit: dict[int, list[Landing]] = {}
    for landing in rows.order_by("pk"):
        landings_of_commit.setdefault(int(landing.version_id or 0), []).append(landing)
    for pk, landings in landings_of_commit.items():
        wholes = {landing.batch_id for landing in landings if landing.batch_id}
        landings_of_commit[pk] = [landing for landing in landings if landing.pk not in wholes]
    return landings_of_commit


def touching(landings: Sequence[Landing], paths: Sequence[str], *, strictly: bool = False) -> list[Candidate]:
    """Those of the landings of one version that changed one of these files; all of them where none did."""
    chosen = [each for each in landings if {file.path for file in each.patch_set.changed_files} & set(paths)]
    return [each.candidate for each in (chosen if chosen or strictly else landings)]


def names_of(clashes: Sequence[Clash]) -> str:
    """Whose landings these are, in words."""
    return " and ".join(clash.words for clash in clashes) or "a later change"


def paths_of(clashes: Sequence[Clash], conflict: ConflictError) -> str:
    """The files in which they clash, in words."""
    return ", ".join(sorted({path for clash in clashes for path in clash.paths} or conflict.paths))


def keep_clashes(landing: Landing, clashes: Sequence[Clash]) -> None:
    """Remember whose landings these are, for the page of the change that cannot go on. In a transaction."""
    landing.clashes_with.set([candidate for clash in clashes for candidate in clash.candidates])


def in_the_way(version: BaselineVersion, candidates: Sequence[Candidate], conflict: ConflictError) -> str:
    """With whom the candidate that a conflict counts as its part clashes, when these go onto a version one after the other.

    Only those are named that it clashes with by itself; at most as many git merges as there are candidates.
    """
    late, repository = candidates[conflict.part], version.project.repository
    part = (late.revision.base_commit, late.revision.commit)
    try:
        repository.combined(version.commit, [part])
    except ConflictError as alone:
        return names_of(clashes_of(late.revision.base, *part, alone))

    def clashes(other: Candidate) -> bool:
        try:
            repository.combined(version.commit, [(other.revision.base_commit, other.revision.commit), part])
        except ConflictError:
            return True
        return False

    earlier = candidates[: conflict.part]
    return " and ".join(str(each) for each in earlier if clashes(each)) or f"{', '.join(map(str, earlier))} together"
