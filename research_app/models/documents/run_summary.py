"""The summary of a run: what its `facts` column holds.

A run may state facts of any name, so these stand beside one another in one flat object, with three parts that Signoff alone
writes. For that reason it names no version: a run could state one.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Self

from pydantic import Field, Strict

from research_app.documents import MOST, Part, Text, Truth, Whole
from research_app.models.documents.finding import KeptFinding
from research_app.models.documents.typed_column import rows_written

Fact = Annotated[bool, Strict()] | Annotated[int, Strict()] | Annotated[float, Strict()] | str
PARTS = ("findings", "probes", "left_out")


class ProbeRecord(Part):
    """What one probe of the scorer came to."""

    ok: Truth = False
    reason: Text = ""


class RunSummary(Part):
    """Facts by name, findings of the detectors (None: they did not look), probes by name, and counts of what was left out."""

    findings: tuple[KeptFinding, ...] | None = None
    probes: Mapping[Text, ProbeRecord] = {}
    left_out: Mapping[Text, Whole] = {}
    facts: Mapping[Text, Fact] = Field(default={}, exclude=True)

    @classmethod
    def read(cls, stored: object) -> Self:
        """The whole parts, and every other fact that is a number or a text."""
        columns = stored if isinstance(stored, Mapping) else {}
        summary = super().read({name: columns[name] for name in PARTS if name in columns}) or cls()
        facts = {name: each for name, each in columns.items() if name not in PARTS and isinstance(each, int | float | str)}
        return summary.model_copy(update={"facts": facts})

    def written(self) -> dict[str, object]:
        """As the column holds it: one flat object."""
        return {**self.facts, **super().written()}

    def number(self, name: str) -> float | None:
        """A fact that is a finite number; None for all else."""
        value = self.facts.get(name)
        return float(value) if value is not None and is_figure(value) else None

    def text(self, name: str) -> str:
        """A fact in words; empty where there is none."""
        return str(self.facts.get(name, ""))


def facts_stored(
    facts: Mapping[str, object], left_out: Mapping[str, int], findings: Sequence[KeptFinding] | None
) -> dict[str, object]:
    """What the column holds of a result: its facts as they are, and the parts that Signoff writes."""
    parts: dict[str, object] = {"left_out": dict(left_out)} if left_out else {}
    return {**facts, **parts} | ({} if findings is None else {"findings": rows_written(findings)})


def figures_read(stored: object) -> Mapping[str, float]:
    """The figures of a flat object by name: what is no finite number is left out."""
    named = stored if isinstance(stored, Mapping) else {}
    return {name: float(each) for name, each in named.items() if is_figure(each)}


def is_figure(value: object) -> bool:
    """Whether a stored value is a number, no truth value, and finite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST
