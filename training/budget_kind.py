"""Kinds of budget: what a run may spend, a module each of `training/budgets/`. docs/how-to/extend.md adds one.

A run's code reads SIGNOFF_BUDGET_KIND and SIGNOFF_BUDGET and stops there; detectors and the judgement hold it to that by the
facts and the curve that the kind names.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.registry import Registry

STEP = "step"
"""The series that every point has: its step, counted from 0."""


@dataclass(frozen=True)
class BudgetKind:
    """One value of [budget] kind. `unit`: what the amount counts, in words.

    `series`: the curve that says how much was spent so far. `facts`: names under which a run says how much it spent in all, of
    which the largest counts. `is_time`: slower code trains less. `own`: the code keeps its budget itself, and `counts` of the
    project file says in what.
    """

    name: str
    unit: str
    series: str
    facts: tuple[str, ...] = ()
    is_time: bool = False
    own: bool = False
    order: int = 100

    @property
    def work(self) -> str:
        """The fact that says what was spent, where that is work; a time says nothing of that."""
        return "" if self.is_time or not self.facts else self.facts[0]


BUDGETS = Registry("kind of budget", "training.budgets", "BUDGET", BudgetKind)
