"""How the trusted scorer reads a model of the owner's own: the table [scorer] of the project file."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator, model_validator

from research_app.project_file.section import Section, stored
from training.metric_source import SOURCES
from training.series import CHECKPOINT
from training.spec import SelfReported

EXAMPLE = '"/srv/held_out/stories.txt"'


class ScorerSection(Section):
    """The held-out text, the module that has `encode` and builds the model, and what the model answers."""

    held_out: str = ""
    module: str = "train"
    checkpoint: str = ""
    vocabulary: Annotated[int, Field(ge=2, le=1 << 24)] = 256
    window: Annotated[int, Field(ge=8, le=8192)] = 128
    windows: Annotated[int, Field(ge=32, le=4096)] = 256
    curves: str = ""

    @field_validator("held_out")
    @classmethod
    def _is_a_path(cls, held_out: str) -> str:
        if held_out and not held_out.startswith(("/", "~/")):
            raise ValueError(f"write the whole path of a file or folder that runs do not see, for example {EXAMPLE}")
        return held_out

    @field_validator("module")
    @classmethod
    def _is_a_module(cls, module: str) -> str:
        if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", module):
            raise ValueError('write the name of a module as Python imports it, for example "signoff_scorer"')
        return module

    @field_validator("curves")
    @classmethod
    def _curves_are_printed(cls, curves: str) -> str:
        known = [source.name for source in SOURCES.values() if source.lines and not source.own_pattern]
        if curves and curves not in known:
            raise ValueError(f"use one of: {', '.join(map(repr, known))}; or leave it out")
        return curves

    @field_validator("checkpoint")
    @classmethod
    def _is_a_name(cls, checkpoint: str) -> str:
        if checkpoint and (Path(checkpoint).name != checkpoint or checkpoint.startswith(".")):
            raise ValueError('write the name of the file that a run leaves in its own folder ({out}), for example "ckpt.pt"')
        return checkpoint

    @model_validator(mode="after")
    def _belongs_together(self, info: ValidationInfo) -> "ScorerSection":
        fields = type(self).model_fields.items()
        given = [name for name, field in fields if name != "held_out" and getattr(self, name) != field.default]
        if given and not self.held_out and not stored(info):
            raise ValueError(f"{given[0]} needs held_out: the text that models are scored on, for example {EXAMPLE}")
        return self

    def problem(self, scored: bool, minimum: str, brings_data: bool) -> str:
        """Why the rest of the project file does not go with it; empty where it does, or where there is none."""
        if not self.held_out:
            return ""
        if not scored:
            return '[scorer] held_out is measured by Signoff: write [metric] source = "scored"'
        if minimum == "none":
            return '[scorer] held_out must be hidden from runs, and [sandbox] minimum = "none" hides nothing: write "basic"'
        if not brings_data:
            return '[scorer] held_out goes with code that brings its own training text: write [data] corpus = "none"'
        return ""

    @property
    def wanted(self) -> str:
        """The function of the module that makes the model."""
        return "load_model" if self.checkpoint else "build_model"

    @property
    def place(self) -> Path:
        """Where the held-out text lies."""
        return Path(self.held_out).expanduser().resolve()

    @property
    def file(self) -> str:
        """The checkpoint's name in the run's own folder."""
        return self.checkpoint or CHECKPOINT

    @property
    def series(self) -> SelfReported | None:
        """How the curves are printed; None where the code logs them itself."""
        return SelfReported(self.curves, "") if self.curves else None
