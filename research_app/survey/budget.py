"""What ends a run: a clock or a count of its own, or what Signoff gives it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from research_app.survey.options import Options, reads_variable
from research_app.survey.sources import Module, Seen, constants_of

TIME = re.compile(
    r"(time_budget|max_(wall_)?(seconds|time)|time_limit|(wall|train(ing)?)_seconds|budget_seconds)(_s|_sec)?", re.IGNORECASE
)
STEPS = re.compile(r"(max_|num_|total_|train(ing)?_|n_)(train_|scheduled_)?(iters?|iterations|steps|updates)", re.IGNORECASE)
EPOCHS = re.compile(r"(max_|num_|n_|total_)?epochs?", re.IGNORECASE)


@dataclass(frozen=True)
class FoundBudget:
    """What [budget] is to say. `amount` 0: only the code knows it."""

    counts: str  # "seconds", "steps", "tokens"; empty: Signoff's own, in seconds
    amount: float
    comment: str


def budget_of(modules: Sequence[Module], options: Options) -> FoundBudget:
    """What ends a run, a clock first."""
    if seen := reads_variable(modules, "SIGNOFF_BUDGET"):
        return FoundBudget("", 0, f"{seen} reads SIGNOFF_BUDGET")
    named = [
        (option.name.lstrip("-").replace("-", "_").rpartition(".")[2], option.default, option.seen)
        for option in options.options
    ]
    for module in modules:
        known = {name for name, _, _ in named}
        constants = constants_of(module).items()
        named += [(name, value, module.seen(node)) for name, (value, node) in constants if name not in known]
    for pattern, counts in ((TIME, "seconds"), (STEPS, "steps"), (EPOCHS, "steps")):
        for name, value, seen in named:
            if pattern.fullmatch(name) and (amount := _amount(value)) is not None:
                return _found(counts, amount, name, seen, pattern is EPOCHS)
    return FoundBudget("seconds", 0, "nothing was found that says when it stops; the baseline's own runs are the reference")


def _found(counts: str, amount: float, name: str, seen: Seen, epochs: bool) -> FoundBudget:
    if counts == "seconds" and amount > 0:
        return FoundBudget(counts, amount, f"{seen}: {name} = {amount:g}")
    if amount <= 0:
        return FoundBudget(counts, 0, f"{seen}: it works out itself when it stops ({name} = {amount:g})")
    what = "epochs" if epochs else counts
    return FoundBudget("steps" if counts == "steps" else counts, 0, f"{seen}: it counts {what} itself ({name} = {amount:g})")


def _amount(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except ValueError:
        return None
