"""What all tables of the project file share."""

from pydantic import AliasChoices, BaseModel, ConfigDict, ValidationInfo


class Section(BaseModel):
    """A table of the file: no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def keys_of(table: type[BaseModel]) -> list[str]:
    """The keys of a table as people write them."""
    aliases = {name: field.validation_alias for name, field in table.model_fields.items()}
    return [str(alias.choices[0]) if isinstance(alias, AliasChoices) else name for name, alias in aliases.items()]


STORED = {"stored": True}
"""Context for a file that was taken in before: what an earlier version let pass is said where it fails, not on every page."""


def stored(info: ValidationInfo) -> bool:
    """Whether the file that is validated was taken in before."""
    return bool(info.context and info.context.get("stored"))
