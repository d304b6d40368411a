"""Tokens that are trained on."""

from training.budget_kind import BudgetKind

BUDGET = BudgetKind("tokens", "tokens", series="tokens", facts=("tokens",), order=2)
