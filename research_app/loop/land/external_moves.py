"""Moved: a baseline branch that somebody moved outside Signoff. It waits for a person, who takes it over or puts it back.

Until then nothing lands and no proposer is asked: whatever is trained would be compared with code that may not stay. What is
under way goes on, on the version that was there before.
"""

import logging

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from research_app.access import may_vote
from research_app.loop.land.undone import moved_away, note_moved
from research_app.loop.runs import ensure_reference_runs
from research_app.models import (
    BaselineVersion,
    Event,
    ExternalMove,
    Gate,
    Landing,
    LandingState,
    Message,
    MoveState,
    Project,
)
from research_app.models.documents.outside_commit import OutsideCommit
from research_app.models.documents.typed_column import rows_written
from research_app.models.event_kinds import EventKind
from research_app.repository import RepositoryError, StaleTipError
from research_app.repository.inspection import commits_between
from research_app.repository.trailers import CANDIDATE

logger = logging.getLogger(__name__)

SHOWN = 50  # commits that a move keeps


class BaselineMoved(Exception):
    """The branch is where no landing brought it, and nobody has taken that over; the message says what to do."""


class AdoptionRefused(Exception):
    """The move was not taken over; the message says why and what to do."""


def version_at(project: Project, tip: str) -> BaselineVersion:
    """The baseline version of this tip, which a landing or a person made.

    Raises BaselineMoved where neither did, StaleTipError while that is being decided.
    """
    newest = project.tip()
    if newest.commit == tip:
        return newest
    if notice(project, tip) is None:  # a landing is being written down, or the move was taken over, at this moment
        newest = project.tip()
        if newest.commit != tip:
            raise StaleTipError(project.repository.branch, newest.commit, tip)
        return newest
    raise BaselineMoved(
        f"The branch was moved outside Signoff, from {newest.commit[:12]} to {tip[:12]}. Nothing lands until somebody who may "
        f"approve at gate 2 takes that over, on the page of the baseline, or puts the branch back."
    )


def notice(project: Project, tip: str) -> ExternalMove | None:
    """Write down where the branch was found, once; None where that is the newest version, or a newer one came meanwhile."""
    move = describe(project, tip)
    with transaction.atomic():
        row = Project.objects.select_for_update().get(pk=project.pk)
        newest, waiting = row.tip(), row.external_moves.waiting().first()
        if waiting and waiting.commit == tip and newest.commit != tip:
            return waiting
        if waiting:
            _gone(waiting, "The branch was put back." if newest.commit == tip else f"The branch moved on to {tip[:12]}.")
        if newest.commit == tip or newest.pk != move.before_id:
            return None
        move.save()
        event_data = {"commit": tip, "from": newest.commit, "commits": move.added, "left": move.left}
        event_data |= {"landings_dropped": move.dropped, "claims_to_be": move.forged}
        Event.objects.seal([move], EventKind.BASELINE_MOVED_OUTSIDE_SIGNOFF, move, "git", row, **event_data)
    return move


def describe(project: Project, tip: str) -> ExternalMove:
    """What a move of the branch to this tip brings and takes away, unsaved. Raises RepositoryError."""
    repository, newest = project.repository, project.tip()
    new = commits_between(repository, newest.commit, tip)[::-1]
    kept = [
        OutsideCommit(
            commit=entry.commit,
            subject=entry.subject[:200],
            author=entry.author[:100],
            at=entry.time.isoformat(),
            claims=tuple(entry.values(CANDIDATE)[:20]),
        )
        for entry in new[:SHOWN]
    ]
    return ExternalMove(
        project=project,
        before=newest,
        commit=tip,
        commits=rows_written(kept),
        added=len(new),
        left=len(commits_between(repository, tip, newest.commit)),
        dropped=[str(landing.candidate) for landing in landings_missing_from(project, tip)],
    )


def _gone(move: ExternalMove, why: str) -> None:
    """Nobody needs to decide about it any more. In a transaction."""
    ended = {"state": MoveState.GONE, "ended_at": timezone.now(), "reason": why}
    ExternalMove.objects.filter(pk=move.pk, state=MoveState.WAITING).update(**ended)
    Event.objects.record(EventKind.MOVE_OUTSIDE_SIGNOFF_IS_OVER, move, "git", move.project, commit=move.commit, why=why)


def adopt(move: ExternalMove, actor: User | None, reason: str, name: str = "") -> BaselineVersion:
    """Take a move over: the tip becomes a version of the baseline, and landings go on from there.

    `actor` is a person who may approve at gate 2; without one, `name` says who did it from the command line. Raises
    AdoptionRefused and RepositoryError.
    """
    project = move.project
    if actor is not None and not may_vote(actor, project, Gate.BASELINE):
        raise AdoptionRefused("Your account may not approve at gate 2, so it may not take over what went around it.")
    if not reason.strip():
        raise AdoptionRefused("Say why this may be the baseline although nothing of it was judged here.")
    tip = project.repository.tip()
    if tip != move.commit:
        raise AdoptionRefused(f"The branch has moved on to {tip[:12]} meanwhile. Look at that first.")
    dropped = landings_missing_from(project, tip)
    back = [landing for landing in moved_away(project) if project.repository.contains(tip, landing.commit)]
    tree, by = project.repository.tree_of(tip), actor.get_username() if actor else name
    with transaction.atomic():
        newest = Project.objects.select_for_update().get(pk=project.pk).tip()
        ended = {"state": MoveState.ADOPTED, "ended_at": timezone.now(), "ended_by": actor, "reason": reason.strip()}
        if not ExternalMove.objects.filter(pk=move.pk, state=MoveState.WAITING).update(**ended):
            raise AdoptionRefused("Somebody decided about this move already. Reload the page.")
        names = [str(landing.candidate) for landing in dropped]
        version = BaselineVersion.objects.create(
            project=project, number=newest.number + 1, commit=tip, tree=tree, moved_outside=True, dropped=names
        )
        ExternalMove.objects.filter(pk=move.pk).update(version=version)
        event_data = {"commit": tip, "from": newest.commit, "landings_dropped": names, "claims_to_be": move.forged}
        event_data["reason"] = reason.strip()
        Event.objects.seal([version], EventKind.MOVE_OUTSIDE_SIGNOFF_TAKEN_OVER, version, by, project, **event_data)
        note_moved(version, dropped, back)
        ensure_reference_runs(version, project.file.baseline.runs)
        if Landing.objects.active().filter(project=project).exists():
            Message.objects.enqueue("land", project.pk)
    return version


def landings_missing_from(project: Project, tip: str) -> list[Landing]:
    """The landings that the newest version holds and this tip does not: newest first, until one is still there."""
    missing: list[Landing] = []
    newest = project.tip()
    landed = Landing.objects.filter(project=project, state=LandingState.LANDED, batch=None).order_by("-pk")
    for landing in landed.select_related("candidate", "version"):
        if project.repository.contains(tip, landing.commit):
            break
        if project.repository.contains(newest.commit, landing.commit):
            missing.append(landing)
    return missing


def notice_moved_branches() -> None:
    """Look at every project's branch. What a landing of ours has moved and not yet written down is left to that landing."""
    for project in Project.objects.all():
        if Landing.objects.active().filter(project=project).exclude(commit="").exists():
            continue
        try:
            tip = project.repository.tip()
            if project.tip().commit != tip or project.external_moves.waiting().exists():
                notice(project, tip)
        except RepositoryError:
            logger.exception("The baseline of %s cannot be read", project)
