"""Steer: what a researcher's click gives to the agents: the program, notes, an idea to rework, changes to combine."""

import hashlib
from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from agent.diff import lines_of
from agent.quote import instruction, quoted
from research_app.access import may_operate
from research_app.loop.disclosure import PERSON
from research_app.loop.propose import propose
from research_app.loop.propose.conversation import converse
from research_app.loop.propose.conversation.workspace import record_of
from research_app.models import (
    Candidate,
    Conversation,
    ConversationPurpose,
    Event,
    Note,
    ProgramVersion,
    Project,
    Stage,
)
from research_app.models.event_kinds import EventKind
from research_app.repository import RepositoryError
from training.matching import matching_blocks

LONGEST_PROGRAM = 40_000  # characters
LONGEST_NOTE = 4_000
MOST_COMBINED = 6


class SteeringRefused(Exception):
    """It was not done; the message says why and what to do."""


class ProgramChanged(SteeringRefused):
    """Somebody else wrote a version since the page was loaded."""


def write_program(project: Project, text: str, author: User, *, seen: int, note: str = "") -> ProgramVersion:
    """A new version of the program. `seen` is the number of the version that the author had before them, 0 for the file's.

    Raises SteeringRefused, and ProgramChanged where there is a newer one.
    """
    _require_operator(author)
    text = text.replace("\r\n", "\n").strip() + "\n"
    if len(text) > LONGEST_PROGRAM:
        raise SteeringRefused(f"The program has {len(text):,} characters; at most {LONGEST_PROGRAM:,} are kept. Shorten it.")
    if not text.strip():
        raise SteeringRefused("The program is empty. Say what the agents should do, or leave it as it is.")
    before = text_before(project)
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        newest = project.program_versions.order_by("-number").first()
        if (newest.number if newest else 0) != seen:
            assert newest is not None
            raise ProgramChanged(
                f"{newest.written_by.get_username()} wrote version {newest.number} meanwhile. Look at it first."
            )
        if newest is not None and newest.text == text:
            raise SteeringRefused("Nothing differs from the version that there is.")
        version = ProgramVersion.objects.create(
            project=project, number=seen + 1, text=text, note=note.strip()[:300], written_by=author
        )
        added, removed = lines_changed(before, text)
        event_data = {"version": version.number, "note": version.note, "added": added, "removed": removed}
        event_data |= {"sha256": hashlib.sha256(text.encode()).hexdigest()}
        Event.objects.seal([version], EventKind.PROGRAM_CHANGED, project, author.get_username(), project, **event_data)
    return version


def text_before(project: Project) -> str:
    """What agents are told until now; nothing where the repository, which brought it, cannot be read."""
    try:
        return propose.program_of(project, project.tip())[0]
    except RepositoryError:
        return ""


def lines_changed(before: str, after: str) -> tuple[int, int]:
    """How many lines were added and removed."""
    old, new = lines_of(before), lines_of(after)
    stayed = sum(length for _, _, length in matching_blocks(old, new))
    return len(new) - stayed, len(old) - stayed


def add_note(project: Project, text: str, author: User, candidate: Candidate | None = None) -> Note:
    """Tell the agents something, of the project or of one candidate. Raises SteeringRefused."""
    _require_operator(author)
    text = text.strip()
    if not text:
        raise SteeringRefused("The note is empty.")
    if len(text) > LONGEST_NOTE:
        raise SteeringRefused(f"The note has {len(text):,} characters; at most {LONGEST_NOTE:,} are kept. Shorten it.")
    with transaction.atomic():
        note = Note.objects.create(project=project, candidate=candidate, text=text, written_by=author)
        event_data = {"note": note.pk, "says": text[:400]}
        Event.objects.seal([note], EventKind.NOTE_TO_AGENTS, candidate or project, author.get_username(), project, **event_data)
    return note


def withdraw_note(note: Note, actor: User) -> None:
    """No conversation is told it any more. A second time does nothing. Raises SteeringRefused."""
    _require_operator(actor)
    with transaction.atomic():
        if Note.objects.filter(pk=note.pk, withdrawn_at=None).update(withdrawn_at=timezone.now()):
            subject = note.candidate or note.project
            Event.objects.record(EventKind.NOTE_WITHDRAWN, subject, actor.get_username(), note.project, note=note.pk)


def rework(candidate: Candidate, actor: User, why: str = "") -> Conversation:
    """Have the idea of an earlier candidate worked out again on today's baseline. Raises SteeringRefused."""
    return _begin(candidate.project, ConversationPurpose.REWORK, [candidate], actor, why, candidate.category)


def combine(project: Project, candidates: Sequence[Candidate], actor: User, why: str = "") -> Conversation:
    """Have several candidates worked out as one change on today's baseline. Raises SteeringRefused."""
    if not 2 <= len(candidates) <= MOST_COMBINED:
        raise SteeringRefused(f"Choose 2 to {MOST_COMBINED} candidates to combine.")
    if any(each.project_id != project.pk for each in candidates):
        raise SteeringRefused("Only candidates of one project can be combined.")
    return _begin(project, ConversationPurpose.COMBINE, candidates, actor, why, "")


def _begin(
    project: Project,
    purpose: ConversationPurpose,
    about: Sequence[Candidate],
    actor: User,
    why: str,
    category: str,
) -> Conversation:
    _require_operator(actor)
    if reason := converse.unavailable(project):
        raise SteeringRefused(reason)
    if any(each.stage == Stage.LANDED and not each.undone for each in about):
        raise SteeringRefused("What has landed is part of the baseline already.")
    task = task_of(purpose, about, why)
    with transaction.atomic():
        row = converse.begin(
            project,
            propose.context_of(project, project.tip(), about=about),
            purpose=purpose,
            about=about,
            task=task,
            category=category,
            asked_by=actor,
        )
        for candidate in about:
            event_data = {"conversation": row.pk, "purpose": purpose, "why": why.strip()[:400]}
            Event.objects.record(EventKind.HANDED_TO_AN_AGENT, candidate, actor.get_username(), project, **event_data)
        converse.wake(row)
    return row


def task_of(purpose: ConversationPurpose, about: Sequence[Candidate], why: str = "") -> str:
    """What a conversation about some candidates is asked to do: the task, all that is known of them, a researcher's words."""
    parts = [_task(purpose, about)]
    for candidate in about:
        record, notes = record_of(candidate), Note.objects.standing().filter(candidate=candidate)
        parts += [quoted(f"{name} of {candidate}", text, 4000) for name, text in record.items() if text]
        parts += [instruction(f"note of {PERSON} on {candidate}", note.text, 2000) for note in notes]
    if why.strip():
        parts.append(instruction(f"what {PERSON} says to you", why.strip(), LONGEST_NOTE))
    return "\n\n".join(parts)


def _task(purpose: ConversationPurpose, about: Sequence[Candidate]) -> str:
    if purpose == ConversationPurpose.COMBINE:
        return (
            f"Combine {', '.join(map(str, about))} into one change on today's code: keep what helps of each, leave out what "
            "the others make needless, and see to it that they do not work against each other. What is known of them:"
        )
    [candidate] = about
    return (
        f"Rework {candidate}: its idea is to be worked out again on today's code, so that it has its best chance. Keep the "
        "idea, mend what stood in its way, and say in your hypothesis what you do differently. What is known of it:"
    )


def _require_operator(actor: User) -> None:
    if not may_operate(actor):
        raise SteeringRefused("Your account may look, but not steer the agents. Ask an administrator for the role “operator”.")
