"""The table [agents]: what proposers are asked for, and what a conversation with a model may take."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from agent.prices import Price, default_model
from agent.prices import price_of as list_price
from research_app.project_file.section import Section


class Prices(Section):
    """Dollars per million tokens, for models without a list price and for prices that were agreed."""

    input: Annotated[float, Field(gt=0)]
    cache_write: Annotated[float, Field(gt=0)]
    cache_read: Annotated[float, Field(gt=0)]
    output: Annotated[float, Field(gt=0)]


class Agents(Section):
    """What proposers are asked for, how many are at work at once, and what a conversation with a model may take.

    Budgets in tokens count every token in and out; those in dollars go by the prices. 0: no limit.
    """

    exploration: Annotated[float, Field(ge=0)] = 0.5
    exploitation: Annotated[float, Field(ge=0)] = 0.25
    combination: Annotated[float, Field(ge=0)] = 0.15
    simplification: Annotated[float, Field(ge=0)] = 0.1
    at_once: Annotated[int, Field(ge=1, le=64)] = 4

    model: Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@/-]*$|^$")] = ""
    effort: Literal["", "low", "medium", "high", "xhigh", "max"] = ""
    thinking: Literal["", "summarized", "omitted"] = "summarized"
    answer_tokens: Annotated[int, Field(ge=1024, le=128_000)] = 16_000
    context_tokens: Annotated[int, Field(ge=8_000, le=1_000_000)] = 160_000
    turns: Annotated[int, Field(ge=2, le=400)] = 40
    seconds: Annotated[float, Field(ge=10, le=24 * 3600)] = 1800
    smoke_seconds: Annotated[float, Field(ge=0, le=3600)] = 30
    tokens_per_proposal: Annotated[int, Field(ge=0)] = 2_000_000
    tokens_per_day: Annotated[int, Field(ge=0)] = 0
    tokens_per_project: Annotated[int, Field(ge=0)] = 0
    dollars_per_proposal: Annotated[float, Field(ge=0)] = 3.0
    dollars_per_day: Annotated[float, Field(ge=0)] = 50.0
    dollars_per_project: Annotated[float, Field(ge=0)] = 0.0
    price: Prices | None = None

    @property
    def uses_model(self) -> str:
        """The model of conversations: the project's, or the SDK's newest of the recommended line."""
        return self.model or default_model()

    def price_of(self, model: str) -> Price | None:
        """The project's own price, or the list price; None where neither is known."""
        return Price(**self.price.model_dump()) if self.price else list_price(model)

    def limits(self, scope: Literal["proposal", "day", "project"]) -> tuple[int | None, float | None]:
        """The budget in tokens and in dollars of a scope; None: no limit."""
        return getattr(self, f"tokens_per_{scope}") or None, getattr(self, f"dollars_per_{scope}") or None

    @model_validator(mode="after")
    def _priced(self) -> "Agents":
        limited = self.dollars_per_proposal or self.dollars_per_day or self.dollars_per_project
        if self.model and limited and self.price_of(self.model) is None:
            raise ValueError(
                f"the price of {self.model} is not known, so no budget in dollars can be kept: give [agents.price] with input, "
                "cache_write, cache_read and output in dollars per million tokens, or set the three budgets in dollars to 0"
            )
        return self

    @model_validator(mode="after")
    def _something_wanted(self) -> "Agents":
        if not any(self.shares.values()):
            raise ValueError("at least one of exploration, exploitation, combination and simplification must be above 0")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """Weight of each mode of the proposers' contract."""
        return {
            "explore": self.exploration,
            "exploit": self.exploitation,
            "combine": self.combination,
            "simplify": self.simplification,
        }
