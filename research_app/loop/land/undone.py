"""Undone: what landed and is no longer part of the baseline, because a revert or a removal landed or somebody moved the branch.

`Candidate.undone_by` holds the version that took it off, so that every page, list and count can say so without working it out.
A revert that is itself taken back puts what it had taken off back on.
"""

from collections.abc import Iterable

from django.db.models import Q

from research_app.models import BaselineVersion, Candidate, Event, Kind, Landing, LandingState, Project, Stage
from research_app.models.event_kinds import EventKind


def note_landed(candidate: Candidate, version: BaselineVersion) -> None:
    """What the landing of this candidate, as this version, takes off the baseline or puts back. In a transaction."""
    if candidate.reverts is None:
        return
    how = f"by {candidate}, as baseline {version.number}"
    if candidate.kind == Kind.REVERT:
        take_off(brought_by(candidate.reverts), version, how)
    elif candidate.kind == Kind.REMOVAL:
        take_off(removed_by(candidate), version, how)


def note_moved(version: BaselineVersion, dropped: Iterable[Landing], back: Iterable[Landing]) -> None:
    """The branch was moved by hand: landings that are no longer part of it, newest first, and those that are again."""
    how = f"by moving the branch by hand, which is baseline {version.number}"
    for landing in dropped:
        if landing.version:
            take_off(brought_by(landing.version), version, how)
    for landing in back:
        if landing.version:
            put_back([row for row in brought_by(landing.version) if row.undone], version, how)


def moved_away(project: Project) -> list[Landing]:
    """Landings that a move by hand took off the baseline, oldest first: another move may bring them back (one query)."""
    rows = Landing.objects.filter(project=project, candidate__undone_by__moved_outside=True, version__isnull=False)
    return list(rows.select_related("version").order_by("pk"))


def brought_by(version: BaselineVersion) -> list[Candidate]:
    """All that one version brought: what landed as it, and the members of stacks among that."""
    candidates: dict[int, Candidate] = {}
    level = list(Candidate.objects.filter(landings__version=version, landings__state=LandingState.LANDED))
    while level:
        candidates |= {row.pk: row for row in level}
        level = list(
            Candidate.objects.filter(stacks__in=[row.pk for row in level], stage=Stage.LANDED).exclude(pk__in=candidates)
        )
    return list(Candidate.objects.filter(pk__in=candidates).select_related("project", "reverts").order_by("-pk"))


def removed_by(candidate: Candidate) -> list[Candidate]:
    """What a removal takes out: one candidate of the version that brought it."""
    assert candidate.reverts is not None  # note_landed lets no other through
    brought = brought_by(candidate.reverts)
    number = candidate.origin.removes
    return [row for row in brought if row.number == number] if number else brought if len(brought) == 1 else []


def take_off(candidates: Iterable[Candidate], version: BaselineVersion, how: str) -> None:
    """These are no longer part of the baseline; what the reverts among them had taken back is part of it again."""
    for row in candidates:
        if not Candidate.objects.filter(pk=row.pk, stage=Stage.LANDED, undone_by=None).update(
            undone_by=version, why=f"{landed_words(row)} Taken back {how}."
        ):
            continue
        Event.objects.record(EventKind.TAKEN_OFF_THE_BASELINE, row, "signoff", row.project, baseline=version.number, how=how)
        if row.kind == Kind.REVERT:
            undone = Candidate.objects.filter(undone_by__in=versions_of(row)).select_related("project", "reverts")
            put_back(list(undone), version, how)


def put_back(candidates: Iterable[Candidate], version: BaselineVersion, how: str) -> None:
    """These are part of the baseline again; what the reverts among them had taken back is not."""
    for row in candidates:
        Candidate.objects.filter(pk=row.pk).update(undone_by=None, why=f"{landed_words(row)} Put back {how}.")
        Event.objects.record(EventKind.PUT_BACK_ON_THE_BASELINE, row, "signoff", row.project, baseline=version.number, how=how)
        if row.kind == Kind.REVERT and row.reverts:
            take_off(brought_by(row.reverts), version, how)


def versions_of(candidate: Candidate) -> list[int]:
    """Keys of the versions as which it landed, alone or in a stack."""
    mine = Q(candidate=candidate) | Q(candidate__members=candidate)
    rows = Landing.objects.filter(mine, state=LandingState.LANDED, version__isnull=False).values_list("version", flat=True)
    return [int(pk) for pk in rows if pk]


def landed_words(candidate: Candidate) -> str:
    """The sentence by which its landing was told."""
    return candidate.why.partition(" Taken back ")[0].partition(" Put back ")[0]
