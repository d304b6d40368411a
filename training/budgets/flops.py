"""FLOPs of training, counted by PyTorch's own counter."""

from training.budget_kind import BudgetKind

BUDGET = BudgetKind("train_flops", "FLOPs", series="flops", facts=("flops",), order=1)
