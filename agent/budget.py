"""Budgets in tokens and dollars: how long an answer may be so that no budget can be exceeded, whatever the answer is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from agent.failure import ConversationFailed, Failure
from agent.prices import MILLION, Price

LEAST_ANSWER = 1024  # tokens; with less room nothing useful can be said, so nothing is asked
MARGIN = 0.01  # a count of tokens is the service's estimate, so the bill may be a little higher
WARNINGS = (0.5, 0.8, 1.0)  # shares of a budget at which people are told


class BudgetSpent(ConversationFailed):
    """A budget has no room for another request; `scope` names it."""

    def __init__(self, scope: str, reason: str) -> None:
        super().__init__(Failure.BUDGET_SPENT, reason)
        self.scope = scope


@dataclass(frozen=True)
class Left:
    """What is left of one budget. None: there is no such limit."""

    scope: str  # "this proposal", "today", "the project"
    tokens: int | None = None
    dollars: float | None = None


@dataclass(frozen=True)
class Reservation:
    """What a request may use at most: tokens of its prompt, and tokens of its answer."""

    prompt: int
    answer: int

    @property
    def tokens(self) -> int:
        return self.prompt + self.answer

    def cost(self, price: Price | None) -> float:
        """The most that it can cost, in dollars; 0 where no price is known."""
        return (self.prompt * price.dearest_input + self.answer * price.output) / MILLION if price else 0.0


class TokenBudget(Protocol):
    """Where the budgets are kept. Room for every request is set aside in advance; its bill takes the place of that."""

    def reserve(self, counted: int, wanted: int) -> Reservation:
        """Set aside room for a prompt of about `counted` tokens and an answer of at most `wanted`. Raises BudgetSpent."""
        ...

    def release(self) -> None:
        """Give back what was set aside for a request that was refused before any work was done on it."""
        ...


def reservation(counted: int, wanted: int, left: Iterable[Left], price: Price | None) -> Reservation:
    """The longest answer up to `wanted` that every budget has room for, after a prompt of about `counted` tokens.

    Raises BudgetSpent where that is less than LEAST_ANSWER (or than `wanted`, if that is less).
    """
    prompt = counted + int(counted * MARGIN) + 1
    answer = wanted
    for budget in left:
        rooms = [wanted]
        if budget.tokens is not None:
            rooms.append(budget.tokens - prompt)
        if budget.dollars is not None and price is not None:
            rooms.append(int((budget.dollars - prompt * price.dearest_input / MILLION) * MILLION / price.output))
        if min(rooms) < min(LEAST_ANSWER, wanted):
            raise BudgetSpent(budget.scope, _spent(budget, prompt))
        answer = min(answer, *rooms)
    return Reservation(prompt, answer)


def _spent(budget: Left, prompt: int) -> str:
    tokens = "" if budget.tokens is None else f"{max(0, budget.tokens):,} tokens"
    dollars = "" if budget.dollars is None else f"${max(0.0, budget.dollars):.4f}"
    rest = " and ".join(filter(None, [tokens, dollars]))
    return (
        f"The budget for {budget.scope} is spent: {rest} left, and the next request takes {prompt:,} tokens before its answer. "
        f"Raise it under [agents] in the project file; the conversation then goes on where it is."
    )


def crossed(before: float, after: float) -> float | None:
    """The highest warning threshold that a share of a budget passed on its way from `before` to `after`."""
    return max((mark for mark in WARNINGS if before < mark <= after), default=None)
