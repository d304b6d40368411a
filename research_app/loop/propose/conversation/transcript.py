"""What was said in a conversation: written down as it is said, and read again by whoever goes on with it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from agent.prices import Usage
from agent.proposal import Edit
from agent.quote import Redactor
from research_app.loop.propose.conversation.token_budget import RowPurse
from research_app.models import Conversation, Lease, Utterance
from research_app.plain_text import storable, without_refused

if TYPE_CHECKING:
    from agent.claude import Said


class Journal:
    """Implements `agent.claude.Journal`: each utterance with its bill and the change as it stands, in one transaction."""

    def __init__(self, row: Conversation, lease: Lease, purse: RowPurse, clean: Redactor) -> None:
        self.row = row
        self.lease = lease
        self.purse = purse
        self.clean = clean

    def write(self, said: "Said", edits: Sequence[Edit]) -> None:
        answer = said.answer
        told: dict[str, Any] = {}
        if answer is not None:
            told = {"stop_reason": answer.stop_reason[:40], "request_id": answer.request_id[:100], "seconds": answer.seconds}
            told |= {"problem": without_refused(self.clean(" ".join(filter(None, [answer.reason, answer.refusal]))))}
        with transaction.atomic():
            if said.usage is not None:
                told |= {"cost": self.purse.charge(said.usage), "bound": said.bound}
                told |= {f"{name}_tokens": count for name, count in asdict(said.usage).items()}
            progress = {"attempts": 0} if said.role == "assistant" and said.sent else {}
            self.lease.write(
                edits=storable([[e.path, e.old, e.new] for e in edits], code=True), changed_at=timezone.now(), **progress
            )
            Utterance.objects.create(
                conversation=self.row,
                number=1 + self.row.utterances.count(),
                role=said.role,
                content=storable(said.blocks, code=True),
                sent=said.sent,
                **told,
            )

    def charge_what_was_lost(self) -> None:
        """A worker died in the middle of a request: it counts in full, because nobody knows how far it came."""
        row = Conversation.objects.get(pk=self.row.pk)
        if not row.reserved_tokens:
            return
        with transaction.atomic():
            self.purse.charge(Usage(input=row.reserved_tokens), cost=row.reserved_cost)
            Utterance.objects.create(
                conversation=row,
                number=1 + row.utterances.count(),
                role="assistant",
                content=[],
                sent=False,
                bound=True,
                problem="The worker was lost during this request.",
                input_tokens=row.reserved_tokens,
                cost=row.reserved_cost,
            )


def said_so_far(row: Conversation) -> list[dict[str, Any]]:
    """The messages of a conversation, as they were sent and as they go out again."""
    return [{"role": each.role, "content": each.content} for each in row.utterances.filter(sent=True).order_by("number")]
