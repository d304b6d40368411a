"""What was said in a conversation: written down as it is said, and read again by whoever goes on with it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from agent.prices import Usage
from agent.proposal import Edit
from agent.quote import Redactor
from research_app.loop.propose.conversation.token_budget import ConversationBudget
from research_app.models import Conversation, ConversationMessage, Lease
from research_app.plain_text import storable, without_refused

if TYPE_CHECKING:
    from agent.claude import TranscriptMessage


class Transcript:
    """Implements `agent.claude.Transcript`: each message with its bill and the change as it stands, in one transaction."""

    def __init__(self, row: Conversation, lease: Lease, budget: ConversationBudget, clean: Redactor) -> None:
        self.row = row
        self.lease = lease
        self.budget = budget
        self.clean = clean

    def write(self, message: "TranscriptMessage", edits: Sequence[Edit]) -> None:
        answer = message.answer
        columns: dict[str, Any] = {}
        if answer is not None:
            columns = {"stop_reason": answer.stop_reason[:40], "request_id": answer.request_id[:100], "seconds": answer.seconds}
            columns |= {"problem": without_refused(self.clean(" ".join(filter(None, [answer.reason, answer.refusal]))))}
        with transaction.atomic():
            if message.usage is not None:
                columns |= {"cost": self.budget.charge(message.usage), "bound": message.bound}
                columns |= {f"{name}_tokens": count for name, count in asdict(message.usage).items()}
            progress = {"attempts": 0, "setbacks": 0} if message.role == "assistant" and message.sent else {}
            self.lease.write(
                edits=storable([[e.path, e.old, e.new] for e in edits], code=True), changed_at=timezone.now(), **progress
            )
            ConversationMessage.objects.create(
                conversation=self.row,
                number=1 + self.row.messages.count(),
                role=message.role,
                content=storable(message.blocks, code=True),
                sent=message.sent,
                **columns,
            )

    def charge_what_was_lost(self) -> None:
        """A worker died in the middle of a request: it counts in full, because nobody knows how far it came."""
        row = Conversation.objects.get(pk=self.row.pk)
        if not row.reserved_tokens:
            return
        with transaction.atomic():
            self.budget.charge(Usage(input=row.reserved_tokens), cost=row.reserved_cost)
            ConversationMessage.objects.create(
                conversation=row,
                number=1 + row.messages.count(),
                role="assistant",
                content=[],
                sent=False,
                bound=True,
                problem="The worker was lost during this request.",
                input_tokens=row.reserved_tokens,
                cost=row.reserved_cost,
            )


def messages_so_far(row: Conversation) -> list[dict[str, Any]]:
    """The messages of a conversation, as they were sent and as they go out again."""
    return [{"role": each.role, "content": each.content} for each in row.messages.filter(sent=True).order_by("number")]
