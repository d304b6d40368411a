"""Seconds of training by the clock. The second fact is the one that karpathy/autoresearch prints."""

from training.budget_kind import BudgetKind

FACTS = ("loop_seconds", "training_seconds")
BUDGET = BudgetKind("wall_seconds", "seconds", series="seconds", facts=FACTS, is_time=True, order=3)
