"""Answer: what a model says to researchers who asked for changes, with another patch set or with none."""

from collections.abc import Sequence

from django.db import transaction

from agent.failure import ConversationFailed, Failure
from agent.proposal import Answered, Proposal
from research_app.loop.check.check import CheckFailed
from research_app.loop.propose.revise import Description, RevisionRefused, revise
from research_app.loop.review.review import lock
from research_app.loop.review.votes import STAGE_OF, void
from research_app.models import Candidate, Conversation, Decision, Event, Gate, Stage
from research_app.models.event import VOIDED
from research_app.models.event_kinds import EventKind
from research_app.repository import RepositoryError


def answer_changes(row: Conversation, proposal: Proposal) -> None:
    """Bring the next patch set of a conversation's own candidate, or say why it stays, and answer each open thread.

    Raises ConversationFailed where the candidate moved on meanwhile.
    """
    assert row.candidate_id is not None  # it is one of a candidate
    candidate = Candidate.objects.with_evidence().get(pk=row.candidate_id)
    if proposal.kept:
        keep(candidate, row.model, proposal)
        return
    try:
        revise(
            candidate,
            author=row.model,
            edits=proposal.edits,
            message=proposal.answer or proposal.hypothesis[:300],
            details={**candidate.details, **proposal.details},
            description=Description.of(proposal),
        )
    except (RevisionRefused, CheckFailed, RepositoryError) as problem:
        raise ConversationFailed(Failure.OUT_OF_DATE, f"Its new patch set was not taken: {problem}") from None
    say_in_threads(candidate, row.model, proposal.answer or "See the new patch set.", proposal.answers)


def keep(candidate: Candidate, author: str, proposal: Proposal) -> None:
    """The author says no, and why: the candidate goes back to its gate as it is. Raises ConversationFailed."""
    with transaction.atomic():
        row = lock(candidate)
        requests = row.reviews.standing().filter(decision=Decision.CHANGES)
        request = requests.order_by("-pk").first()
        if row.stage != Stage.CHANGES or request is None:
            raise ConversationFailed(Failure.OUT_OF_DATE, f"Nobody waits for an answer any more: {row.why}")
        words = " ".join(proposal.answer.split())
        voided = void(requests, "Its author answered without a change.")
        Event.objects.record(EventKind.CHANGES_DECLINED, row, author, row.project, why=words[:4000], **{VOIDED: voided})
        row.move(STAGE_OF[Gate(request.gate)], f"{author} keeps it as it is: {words}", actor=author)
        say_in_threads(row, author, proposal.answer, proposal.answers)


def say_in_threads(candidate: Candidate, author: str, otherwise: str, answers: Sequence[Answered]) -> None:
    """Each open thread gets its own answer, or the one for all; one that says that it is done is resolved."""
    own = {each.thread: each for each in answers}
    with transaction.atomic():
        for thread in candidate.threads.open():
            answer = own.get(thread.pk)
            thread.say(answer.text if answer else otherwise, None, author)
            if answer and answer.done:
                thread.settle(True, None, author)
