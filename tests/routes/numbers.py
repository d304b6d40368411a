"""Numbers of any size in the rows of the world: scores, facts, evidence, and the curves of runs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models

from research_app.models import Ablation, Evidence, ImportedResult, Project, Series, SeriesChunk
from tests.routes import spellings

LARGEST = 1.7976931348623157e308
SCORES: Mapping[str, float] = {
    "1e200": 1e200, "1e308": 1e308, "-1e308": -1e308, "the largest float": LARGEST, "5e-324": 5e-324, "0": 0.0, "-0": -0.0,
    "infinity": math.inf, "-infinity": -math.inf, "NaN": math.nan,
}  # fmt: skip
EVIDENCE = ("effect", "standard_error", "low", "high", "sigma", "baseline_mean", "candidate_mean")
OURS = ("compute",)  # what the project file says, and nothing measures


def finite(value: float) -> float:
    """As a JSON column can hold it."""
    return value if math.isfinite(value) else math.copysign(LARGEST, 1.0 if math.isnan(value) else value)


def replaced(document: Any, value: float) -> Any:
    """A JSON document with every measured float of it set to one value."""
    if isinstance(document, Mapping):
        return {key: each if key in OURS else replaced(each, value) for key, each in document.items()}
    if isinstance(document, list):
        return [replaced(each, value) for each in document]
    return finite(value) if isinstance(document, float) else document


def every_number(project: Project, value: float, other: float | None = None) -> None:
    """All scores, facts and evidence are `value`; the baseline's are `other`, where that is given."""
    theirs = value if other is None else other
    for run in project.runs.all():
        number = value if run.patch_set_id else theirs
        facts = {key: finite(number) if isinstance(each, int | float) else each for key, each in run.facts.items()}  # type: ignore[attr-defined]
        sources = dict.fromkeys(run.score_by_source, finite(number))
        write(run, score=number, hidden_score=number, facts=facts, score_by_source=sources)
    for evidence in Evidence.objects.filter(patch_set__candidate__project=project):
        write(evidence, **dict.fromkeys(EVIDENCE, value), numbers=replaced(evidence.numbers, value))
    ImportedResult.objects.filter(history__project=project).update(reported=value)
    ImportedResult.objects.filter(history__project=project, outcome="baseline").update(reported=theirs)
    for check in Ablation.objects.filter(project=project):
        write(check, result=replaced(check.result, value))


def write(row: models.Model, **fields: Any) -> None:
    """Write fields of one row past its model."""
    type(row)._default_manager.filter(pk=row.pk).update(**fields)


@dataclass(frozen=True)
class Curves:
    """What every run of the world logged."""

    steps: list[float]
    values: list[float]
    names: list[str]


def every_series(project: Project, curves: Curves) -> None:
    """Every run that began logged these."""
    SeriesChunk.objects.filter(run__project=project).delete()
    runs = project.runs.exclude(state="queued")
    rows = [Series.of(run.pk, name, curves.steps, curves.values) for run in runs for name in curves.names]
    Series.objects.bulk_create(rows, batch_size=500)


LOGGED = ["val_loss", "train_loss", "tokens", "flops", "seconds", "tokens_per_second", "memory_mb"]
ODD = ["val_loss", "", "a/b?c=d&e#f", spellings.BIDI, spellings.EMOJI, "</script>", "x" * 64]
STEPS = [float(step) for step in range(20)]
MANY = [float(step) for step in range(4000)]
CURVES: Mapping[str, Curves] = {
    "series are NaN and infinite": Curves(STEPS, [math.nan, math.inf, -math.inf, 1.0] * 5, LOGGED),
    "series are NaN alone": Curves(STEPS, [math.nan] * 20, LOGGED),
    "series reach from -1e308 to 1e308": Curves(MANY, [LARGEST, -LARGEST] * 2000, LOGGED),
    "steps are NaN and infinite": Curves([math.nan, math.inf, -math.inf, 0.0] * 5, STEPS, LOGGED),
    "steps reach from -1e308 to 1e308": Curves([-LARGEST, LARGEST] * 2000, MANY, LOGGED),
    "series are tiny": Curves([5e-324 * step for step in range(20)], [5e-324] * 20, LOGGED),
    "series are empty": Curves([], [], LOGGED),
    "series have one point": Curves([0.0], [0.0], LOGGED),
    "there are 100 series": Curves(STEPS, STEPS, [*LOGGED, *(f"m{number:03}" for number in range(100))]),
    "series have odd names": Curves(STEPS, STEPS, ODD),
}
