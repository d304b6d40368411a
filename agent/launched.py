"""How the code under research is started, and which knobs its project file wants: what a search over values has to know beside
the editable files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from posixpath import join, normpath

from training.options import Program, program_of

SOURCES = ("constants", "argparse", "hydra", "command")


@dataclass(frozen=True)
class Launched:
    """The commands of all rungs, where they are run, the files that candidates may not change, and the table [knobs]."""

    commands: tuple[tuple[str, ...], ...] = ((),)
    directory: str = "."
    others: Mapping[str, str] = field(default_factory=dict)  # Python and settings files that are not editable
    complete: bool = False  # whether these and the editable ones are all that there are
    options_editable: bool = False  # whether a candidate may add or change signoff.options
    sources: tuple[str, ...] = SOURCES
    never: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    @cached_property
    def program(self) -> Program:
        """What of the smallest rung's command reaches the code."""
        return program_of(self.commands[0])

    def path(self, word: str) -> str:
        """A path of a command's word below the root of the repository."""
        return normpath(join(self.directory, word))

    def refuses(self, label: str) -> str:
        """The pattern of `never` that a label meets; empty where none does."""
        return next((pattern for pattern in self.never if _meets(label, pattern)), "")

    def asks_for(self, label: str) -> bool:
        """Whether `also` names it."""
        return any(_meets(label, pattern) for pattern in self.also)


UNKNOWN = Launched()
"""Of code of which nothing but the files is known."""


def _meets(label: str, pattern: str) -> bool:
    names = {label, label.lstrip("-"), label.lstrip("-").replace("-", "_")}
    return any(fnmatchcase(name.lower(), pattern.lower()) for name in names)
