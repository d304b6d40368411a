"""What is measured, and where a run's seed goes: the tables [metric] and [seed] of the project file."""

from pathlib import Path
from typing import Literal

from pydantic import ValidationInfo, field_validator, model_validator

from research_app.project_file.command_words import require_places
from research_app.project_file.section import Section, stored
from training.launch import SeedPlace, has_place
from training.line_patterns import compiled, groups_of
from training.metric_source import SCORED, SOURCES, MetricSource, writing
from training.named_facts import named_fact
from training.spec import SelfReported


class Metric(Section):
    """What is measured, by whom, and which direction is better."""

    name: str = "bits per byte"
    direction: Literal["lower", "higher"] = "lower"
    source: str = SCORED
    key: str = "val_bpb"
    pattern: str = ""
    file: str = ""
    step: str = ""
    facts: dict[str, str] = {}

    @property
    def scored(self) -> bool:
        """Whether Signoff measures it; otherwise the code says it itself."""
        return self.source == SCORED

    @property
    def own_source(self) -> MetricSource | None:
        """How the code says it itself; None where Signoff measures it."""
        return None if self.scored else SOURCES.named(self.source)

    @field_validator("source")
    @classmethod
    def _source_is_known(cls, source: str) -> str:
        if source != SCORED and source not in SOURCES:
            raise ValueError(f"use one of: {', '.join(map(repr, (SCORED, *SOURCES)))}")
        return source

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str, info: ValidationInfo) -> str:
        if pattern and not stored(info):
            compiled(pattern)
        return pattern

    @field_validator("file")
    @classmethod
    def _below_the_output(cls, file: str) -> str:
        if file.startswith(("/", "~")) or ".." in Path(file).parts or "\\" in file:
            raise ValueError('write a path below the output folder of a run, for example "logs/*.jsonl"; * stands for one name')
        return file

    @field_validator("facts")
    @classmethod
    def _facts_are_known(cls, facts: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        for name, text in facts.items():
            if not stored(info):
                named_fact(name, text)
        return facts

    @model_validator(mode="after")
    def _file_is_read(self, info: ValidationInfo) -> "Metric":
        if stored(info):
            return self
        for name in ("file", "step"):
            if getattr(self, name) and self.source not in writing():
                raise ValueError(f'{name} belongs to source = {", ".join(writing())} (files), not to "{self.source}"')
        if self.facts and self.scored:
            raise ValueError('facts are figures that code says of itself: source = "scored" has them from prepare.py')
        return self

    def self_reported(self, directory: str) -> SelfReported:
        """How the runner finds the metric in what a run prints or writes, which works in this folder of its tree."""
        return SelfReported(self.source, self.key, self.pattern, self.file, directory, self.step, self.facts)

    @model_validator(mode="after")
    def _pattern_given(self, info: ValidationInfo) -> "Metric":
        source = self.own_source if not stored(info) else None
        if source is None:
            return self
        if source.own_pattern and not self.pattern:
            raise ValueError(f'source = "{self.source}" needs a pattern with a named group for the metric')
        if source.metrics and self.key not in source.metrics:
            known = " and ".join(source.metrics)
            raise ValueError(f'{self.source} prints {known}, not {self.key}: write key = "{source.metrics[0]}"')
        if source.own_pattern and self.key not in (groups := groups_of(compiled(self.pattern))):
            raise ValueError(
                f"the pattern has no group for the metric: key = {self.key!r}, groups: {', '.join(sorted(groups))}. "
                f"Write (?P<{self.key}>[0-9.]+) where it is printed, or name one of those as key"
            )
        return self


class SeedSection(Section):
    """How a run gets its seed. `fixed`: it has none, and what differs between runs is what the device does not repeat."""

    how: Literal["environment", "argument", "patch", "fixed"] = "environment"
    file: str = ""
    text: str = ""
    put: str = ""

    @model_validator(mode="after")
    def _place_given(self) -> "SeedSection":
        named = [name for name in ("file", "text", "put") if getattr(self, name)]
        if self.how != "patch":
            if named:
                raise ValueError(f'{named[0]} belongs to how = "patch", not to how = "{self.how}"')
            return self
        example = 'file = "train.py", text = "torch.manual_seed(1337)", put = "torch.manual_seed({seed})"'
        if len(named) < 3:
            raise ValueError(f'how = "patch" needs file, text and put, for example {example}')
        require_places(self.put)
        if not has_place((self.put,), "seed"):
            raise ValueError(f"put must hold {{seed}}, or every run has the same seed; for example {example}")
        return self

    @property
    def place(self) -> SeedPlace | None:
        """Where the source has the seed written down, if that is how it gets it."""
        return SeedPlace(self.file, self.text, self.put) if self.how == "patch" else None
