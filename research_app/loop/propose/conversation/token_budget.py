"""The budgets of conversations, in rows: room is set aside before a request, and its bill takes the place of that.

All conversations of a project share its day's and its own budget, so room is found with the project's row locked.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from agent.budget import BudgetSpent, Left, Reservation, crossed, reservation
from agent.prices import Price, Usage
from research_app.models import Conversation, ConversationMessage, Event, Project
from research_app.models.event_kinds import EventKind
from research_app.models.lease import Lease

Scope = Literal["proposal", "day", "project"]
SCOPES: tuple[tuple[Scope, str], ...] = (("proposal", "this proposal"), ("day", "today"), ("project", "the project"))

FIRST_PROMPT = 6_000
"""Tokens that a conversation begins with, about: with less left, none is begun."""


class ConversationBudget:
    """Implements `agent.budget.TokenBudget` for one conversation, under its worker's lease."""

    def __init__(self, conversation: Conversation, lease: Lease, price: Price | None) -> None:
        self.conversation = conversation
        self.lease = lease
        self.price = price

    def reserve(self, counted: int, wanted: int) -> Reservation:
        with transaction.atomic():
            project = Project.objects.select_for_update().get(pk=self.conversation.project_id)
            left = [left_of(project, scope, self.conversation) for scope, _ in SCOPES]
            room = reservation(counted, wanted, left, self.price)
            self.lease.write(reserved_tokens=room.tokens, reserved_cost=room.cost(self.price))
        return room

    def release(self) -> None:
        self.lease.write(reserved_tokens=0, reserved_cost=0.0)

    def charge(self, usage: Usage, cost: float | None = None) -> float:
        """Write what a request used over what was set aside for it; its cost in dollars. In the caller's transaction."""
        if cost is None:
            cost = self.price.cost(usage) if self.price else 0.0
        project = Project.objects.select_for_update().get(pk=self.conversation.project_id)
        warn(project, self.conversation, usage.total, cost)
        self.lease.write(
            reserved_tokens=0,
            reserved_cost=0.0,
            requests=F("requests") + 1,
            input_tokens=F("input_tokens") + usage.input,
            cache_write_tokens=F("cache_write_tokens") + usage.cache_write,
            cache_read_tokens=F("cache_read_tokens") + usage.cache_read,
            output_tokens=F("output_tokens") + usage.output,
            cost=F("cost") + cost,
        )
        return cost


def spent(project: Project, scope: Scope, conversation: Conversation | None = None) -> tuple[int, float]:
    """Tokens and dollars used within a scope, without what is set aside. One query."""
    if scope == "proposal":
        return ConversationMessage.spent(Q(conversation=conversation)) if conversation else (0, 0.0)
    return ConversationMessage.spent(Q(conversation__project=project), since=midnight() if scope == "day" else None)


def midnight() -> datetime:
    """When today began, in UTC: days of budgets are the same for everybody."""
    return timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)


def left_of(project: Project, scope: Scope, conversation: Conversation | None = None) -> Left:
    """What is left of a budget, less what other requests under way may still use. At most two queries."""
    name, (tokens, dollars) = dict(SCOPES)[scope], project.file.agents.limits(scope)
    if tokens is None and dollars is None:
        return Left(name)
    used, cost = spent(project, scope, conversation)
    if scope != "proposal":
        others = project.conversations.exclude(pk=conversation.pk) if conversation else project.conversations.all()
        set_aside, set_aside_cost = others.reserved()
        used, cost = used + set_aside, cost + set_aside_cost
    return Left(name, None if tokens is None else tokens - used, None if dollars is None else dollars - cost)


def nothing_left(project: Project) -> str:
    """Why no conversation can begin or go on in this project for want of budget; empty where there is room."""
    agents = project.file.agents
    openings = ConversationMessage.objects.filter(conversation__project=project, role="assistant", number=2, bound=False)
    last = openings.order_by("-pk").first()
    prompt = max(FIRST_PROMPT, last.usage.prompt if last else 0)
    try:
        left = [left_of(project, scope) for scope in ("day", "project")]
        reservation(prompt, agents.answer_tokens, left, agents.price_of(agents.uses_model))
    except BudgetSpent as error:
        return str(error)
    return ""


def warn(project: Project, conversation: Conversation, tokens: int, cost: float) -> None:
    """Record an event for every budget that passes 50, 80 or 100% with this charge. Before it is written."""
    for scope, name in SCOPES:
        limits = project.file.agents.limits(scope)
        if limits == (None, None):
            continue
        for limit, before, more, unit in zip(
            limits, spent(project, scope, conversation), (tokens, cost), ("tokens", "dollars"), strict=True
        ):
            if limit and (share := crossed(before / limit, (before + more) / limit)):
                event_data = {
                    "budget": name,
                    "unit": unit,
                    "limit": limit,
                    "used": round(before + more, 4),
                    "share": f"{share:.0%}",
                }
                Event.objects.record(EventKind.BUDGET_WARNING, conversation, "signoff", project, **event_data)


def shares(project: Project, conversation: Conversation | None = None) -> Sequence[tuple[str, str, float, float, float]]:
    """(budget, unit, used, limit, share) of each limit of a project, for pages."""
    rows = []
    for scope, name in SCOPES if conversation else SCOPES[1:]:
        used = spent(project, scope, conversation)
        for limit, amount, unit in zip(project.file.agents.limits(scope), used, ("tokens", "dollars"), strict=True):
            if limit:
                rows.append((name, unit, amount, float(limit), amount / limit))
    return rows
