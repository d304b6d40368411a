"""The scale ladder of a project file: what is trained when a change that helps at a small scale is tried at larger ones."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from research_app.project_file.command_words import AnyCommand

SMALLEST = "S"
"""The rung at which every candidate is judged first. Runs of larger rungs are compared with runs of their own rung alone."""

RESERVED = ("seed", "budget_kind", "budget", "data", "out", "device", "devices", "scale", "checkpoint_seconds", "text")
"""SIGNOFF_… variables that every run gets; a rung's settings may not take their names."""


class Rung(BaseModel):
    """One rung. What is empty or zero is taken from [train]; `budget` is a multiple of the [budget] amount."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,9}$")]
    budget: Annotated[float, Field(gt=0, le=1e9)] = 1.0
    seeds: Annotated[int, Field(ge=2, le=64)] = 4
    settings: dict[str, str | int | float] = {}
    command: AnyCommand = ()
    device: Literal["", "cpu", "cuda", "mps"] = ""
    devices: Annotated[int, Field(ge=0, le=1024)] = 0
    queue: Literal["", "train.cpu", "train.cuda", "train.mps", "scale_up"] = ""
    wall_limit_seconds: Annotated[float, Field(ge=0, le=60 * 24 * 3600)] = 0
    memory_limit_mb: Annotated[int, Field(ge=0)] = 0
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 60.0
    price: Annotated[float, Field(ge=0)] = 0.0
    curve: Annotated[tuple[float, ...], Field(min_length=2, max_length=16)] = (0.8, 0.9, 1.15, 1.3)

    @field_validator("settings")
    @classmethod
    def _names(cls, settings: dict[str, str | int | float]) -> dict[str, str | int | float]:
        for name in settings:
            if not name.isidentifier() or name != name.lower():
                raise ValueError(f"{name!r} cannot be a setting: use lower-case letters, digits and underscores")
            if name in RESERVED:
                raise ValueError(f"{name!r} is set for every run already; choose another name than {', '.join(RESERVED)}")
        return settings

    @field_validator("curve")
    @classmethod
    def _shares(cls, curve: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0.1 <= share <= 10 or share == 1 for share in curve) or len(set(curve)) < len(curve):
            raise ValueError("must be different shares of the rung's budget between 0.1 and 10, without 1 itself")
        return curve

    @model_validator(mode="after")
    def _devices_fit(self) -> "Rung":
        if self.devices > 1 and self.queue.startswith("train."):
            raise ValueError(f'{self.devices} devices need queue = "scale_up": workers of {self.queue} have one each')
        return self

    @property
    def environment(self) -> dict[str, str]:
        """What the run of this rung sees of it, besides what every run gets."""
        return {f"SIGNOFF_{name.upper()}": str(value) for name, value in self.settings.items()}

    @property
    def place(self) -> str:
        """What one run occupies, in words: "1 cpu", "8 × cuda"."""
        return f"1 {self.device}" if self.devices == 1 else f"{self.devices} × {self.device}"

    def trains_like(self, other: "Rung") -> bool:
        """Whether runs of both can be compared: all but the number of seeds, the queue and the price is the same."""
        free = {"seeds", "queue", "price", "checkpoint_seconds", "curve"}
        return self.model_dump(exclude=free) == other.model_dump(exclude=free)


class ScaleUpSection(BaseModel):
    """What scale-ups may cost in all. Empty: no limit. Money is device-hours times the price of their rung."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    budget_hours: Annotated[float, Field(gt=0)] | None = None
    budget_money: Annotated[float, Field(gt=0)] | None = None
    currency: Annotated[str, Field(max_length=8)] = "USD"


def check_ladder(ladder: Sequence[Rung]) -> None:
    """Raises ValueError where the rungs do not make a ladder."""
    if not ladder:
        return
    if ladder[0].name != SMALLEST or ladder[0].budget != 1:
        raise ValueError(f'the first rung is the scale that candidates are judged at: name = "{SMALLEST}", budget = 1')
    names = [rung.name for rung in ladder]
    if len(set(names)) < len(names):
        raise ValueError(f"every rung needs a name of its own, not {', '.join(names)}")
    if any(upper.budget <= lower.budget for lower, upper in itertools.pairwise(ladder)):
        raise ValueError("the rungs must stand in order of their budgets, each larger than the one before")


DEFAULT_LADDER = (
    Rung(name=SMALLEST, price=0.05),
    Rung(name="M", budget=8, settings={"growth": 1.5}, wall_limit_seconds=1500, price=0.05),
    Rung(
        name="L", budget=64, seeds=3, settings={"growth": 2}, device="cuda", wall_limit_seconds=3 * 3600, price=3.0,
        curve=(0.8, 1.3),
    ),
)  # fmt: skip
"""Of the default target: depth and width grow together, so that parameters and text grow alike (docs/explanation/ladder.md)."""


@dataclass(frozen=True)
class CudaSize:
    """How large the default target is on a GPU, and what one run of it may spend: some minutes of a GPU of that kind."""

    memory: int  # bytes that the GPU has at least
    growth: float
    flops: float

    @property
    def ladder(self) -> tuple[Rung, ...]:
        """Its rungs, with batches that fill the device."""
        rungs = ((SMALLEST, 1.0, 1.0, 4), ("M", 8.0, 1.25, 4), ("L", 64.0, 1.5, 3))
        return tuple(
            Rung(name=name, budget=budget, seeds=seeds, settings={"growth": self.growth * times, "batch": 64}, price=3.0)
            for name, budget, times, seeds in rungs
        )


CUDA_SIZES = (CudaSize(70 << 30, 16.0, 1e17), CudaSize(30 << 30, 12.0, 5e16), CudaSize(0, 8.0, 2e16))
"""Largest first: 32 layers of 512 (101 million parameters), 24 of 384 (43 million), 16 of 256 (13 million)."""
