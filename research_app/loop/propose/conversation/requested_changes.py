"""Requested changes: what reviewers ask of a conversation's own candidate goes back into that conversation."""

from django.db import transaction
from django.utils import timezone

from agent.quote import instruction, one_line, quoted
from research_app.loop.disclosure import PERSON, speaker
from research_app.loop.propose.conversation.converse import wake
from research_app.loop.propose.conversation.ends import redactor
from research_app.models import (
    Candidate,
    Conversation,
    ConversationMessage,
    ConversationState,
    Decision,
    Event,
    Note,
    Review,
    Stage,
    Thread,
)
from research_app.models.event_kinds import EventKind


def asked_for_changes(candidate: Candidate) -> Review | None:
    """The newest standing request for changes of a candidate that waits for its author (at most one query)."""
    if candidate.stage != Stage.CHANGES:
        return None
    return candidate.reviews.standing().filter(decision=Decision.CHANGES).order_by("-pk").first()


def take_up_changes() -> None:
    """Conversations whose candidate was sent back: tell them what was asked, and go on. Run by the reconciler."""
    waiting = Conversation.objects.filter(state=ConversationState.SUBMITTED, candidate__stage=Stage.CHANGES)
    for row in waiting.select_related("project", "candidate__project"):
        assert row.candidate is not None
        review = asked_for_changes(row.candidate)
        if review and review.pk != row.answers_vote and row.candidate.conversations.order_by("pk").last() == row:
            tell_changes(row, row.candidate, review)


def tell_changes(row: Conversation, candidate: Candidate, review: Review) -> None:
    """Continue a conversation with a request for changes: once for each vote."""
    clean = redactor()
    text = clean(changes_wanted(candidate, review))
    tip = candidate.project.tip()
    with transaction.atomic():
        rows = Conversation.objects.filter(pk=row.pk, state=ConversationState.SUBMITTED).exclude(answers_vote=review.pk)
        changed = {"state": ConversationState.OPEN, "answers_vote": review.pk, "base": tip, "changed_at": timezone.now()}
        if not rows.update(**changed, **({} if tip == row.base else {"edits": []})):
            return
        if tip != row.base:
            text += (
                f"\n\nThe baseline moved to version {tip.number} meanwhile: your edits are gone. Read the files again first."
            )
        number = 1 + row.messages.count()
        ConversationMessage.objects.create(
            conversation=row, number=number, role="user", content=[{"type": "text", "text": text}]
        )
        Event.objects.record(
            EventKind.CONVERSATION_ASKED_FOR_CHANGES, row, review.reviewer.get_username(), row.project, vote=review.pk
        )
        wake(row)


def in_thread(thread: Thread) -> list[str]:
    """A thread as the model reads it: its number, the line that it stands at, and who says what."""
    parts = [f"Thread {thread.pk}, at {one_line(thread.place)}:"]
    if thread.quoted:
        parts.append(quoted("the line as it was", thread.quoted, 1000))
    for comment in thread.comments.all():
        mark = instruction if speaker(comment) == PERSON else quoted
        parts.append(mark(f"comment of {speaker(comment)}", comment.text, 3000))
    return parts


def changes_wanted(candidate: Candidate, review: Review) -> str:
    """The request as the model is told it: reason, open comments, notes; and the program where it changed since."""
    threads = candidate.threads.of(candidate).filter(resolved_at=None)
    comments = [part for thread in threads for part in in_thread(thread)]
    notes = Note.objects.standing().filter(candidate=candidate).values_list("text", flat=True)
    parts = [
        f"{candidate}, the change that you submitted, was read by {PERSON}, who asks for changes. Do "
        "what the researchers' lines below ask of this change.",
        instruction("what they ask for", review.reason),
        *comments[:40],
        *(instruction(f"note of {PERSON} on this candidate", note, 2000) for note in notes),
        "Answer with a new version: edit further (your earlier edits still stand), check it, and `submit` it. Describe the "
        "change as it is then, and give each thread its own answer, by its number. If you think that the change should stay as "
        "it is, say why with `keep_as_is`; if it should be dropped, with `give_up`.",
    ]
    return "\n\n".join(parts)
