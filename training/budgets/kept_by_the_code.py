"""A budget that the code keeps itself: what the baseline's runs spend is the reference (training/own_budget.py)."""

from training.budget_kind import BudgetKind

BUDGET = BudgetKind("own", "", series="", own=True, order=4)
