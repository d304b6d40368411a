"""Which values the proposer `knobs` turns: the table [knobs] of the project file."""

from typing import Annotated, Literal

from pydantic import AliasChoices, Field

from agent.launched import SOURCES
from research_app.project_file.section import Section

Source = Literal["constants", "argparse", "hydra", "command"]
LEFT_ALONE = ("*_coeffs*", "*PEAK_FLOPS*")


class KnobsSection(Section):
    """Where knobs come from, and patterns for the names of those that are none, and of parts of algorithms that are."""

    sources: Annotated[tuple[Source, ...], Field(validation_alias=AliasChoices("from", "sources"))] = SOURCES  # type: ignore[assignment]
    never: tuple[str, ...] = LEFT_ALONE
    also: tuple[str, ...] = ()
