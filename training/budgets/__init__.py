"""Kinds of budget, a module each, which holds a BUDGET (training/budget_kind.py)."""
