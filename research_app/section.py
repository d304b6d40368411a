"""What all tables of the project file share."""

from pydantic import BaseModel, ConfigDict, ValidationInfo


class Section(BaseModel):
    """A table of the file: no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


STORED = {"stored": True}
"""Context for a file that was taken in before: what an earlier version let pass is said where it fails, not on every page."""


def stored(info: ValidationInfo) -> bool:
    """Whether the file that is validated was taken in before."""
    return bool(info.context and info.context.get("stored"))
