"""How much one run may use: the table [budget] of the project file."""

from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from research_app.evidence.digits import number
from research_app.project_file.section import Section, stored
from training.budget_kind import BUDGETS
from training.spec import Budget, Counted

OF_OWN = ("counts", "tolerance")
"""Keys that only a budget kept by the code itself has."""


class BudgetSection(Section):
    """How much one run may use. `own`: the code keeps its budget itself, and what the baseline's runs spend is the reference.

    `amount` of an own budget is what the code aims at, where that is known; 0: what the baseline's runs come to.
    """

    kind: str = "train_flops"
    amount: Annotated[float, Field(ge=0)] = 3.2e11
    counts: Counted = "seconds"
    tolerance: Annotated[float, Field(ge=0, le=1)] = 0.05

    @field_validator("kind")
    @classmethod
    def _kind_is_known(cls, kind: str) -> str:
        if kind not in BUDGETS:
            raise ValueError(f"use one of: {', '.join(map(repr, BUDGETS))}")
        return kind

    @model_validator(mode="before")
    @classmethod
    def _amount_of_own(cls, values: Any) -> Any:
        kind = BUDGETS.get(str(values.get("kind"))) if isinstance(values, dict) else None
        if kind and kind.own:
            return {"amount": 0, **values}
        return values

    @model_validator(mode="after")
    def _fits_its_kind(self, info: ValidationInfo) -> "BudgetSection":
        if self.own or stored(info):
            return self
        if self.amount <= 0:
            raise ValueError("amount must be greater than 0")
        for name in OF_OWN:
            if name in self.model_fields_set and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f'{name} belongs to kind = "own", a budget that the code keeps itself, not to "{self.kind}"')
        return self

    @property
    def own(self) -> bool:
        """Whether the code keeps the budget itself: then no run can be asked for at another one."""
        return self.kind in BUDGETS and BUDGETS[self.kind].own

    @property
    def words(self) -> str:
        """What one run may spend, for people and agents."""
        if not self.own:
            return f"{number(self.amount, 6)} {self.kind}"
        aim = f"{number(self.amount, 6)} {self.counts}, " if self.amount else f"in {self.counts}, "
        return f"{aim}kept by the code itself"

    def of(self, share: float) -> Budget:
        """The budget of a run as the runner takes it, at a share of the amount."""
        if self.own:
            return Budget(self.kind, self.amount * share, self.counts, self.tolerance)
        return Budget(self.kind, self.amount * share)
