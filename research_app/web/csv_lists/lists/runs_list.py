"""Runs, newest first; of one candidate with `?candidate=12`."""

from collections.abc import Iterator, Sequence

from django.http import HttpRequest

from research_app.models import Project, Verdict
from research_app.models.device_time import device_seconds
from research_app.web.csv_lists.csv_list import CsvList
from research_app.web.shared.cells import Cell
from research_app.web.shared.query_numbers import whole

COLUMNS = (
    "run", "of", "baseline", "purpose", "scale", "budget share", "seed", "state", "outcome", "score", "self-reported",
    "device seconds", "device", "sandbox", "commit", "created", "started", "finished",
)  # fmt: skip


def rows(request: HttpRequest, project: Project) -> Iterator[Sequence[Cell]]:
    """One query; no series is read. Health hides scores here too."""
    runs = project.runs.select_related("baseline", "patch_set__candidate__evidence", "device")
    runs = runs.defer("patch_set__diff", "facts", "patch_set__candidate__evidence__numbers")
    number = whole(request.GET.get("candidate"))
    if number is not None:
        runs = runs.filter(patch_set__candidate__number=number)
    for run in runs.annotate(taken=device_seconds()).order_by("-pk").iterator(chunk_size=500):
        evidence = run.patch_set.candidate.evidence if run.patch_set else None
        score = None if evidence and evidence.verdict == Verdict.INVALID else run.score
        of = str(run.patch_set.candidate) if run.patch_set else "baseline"
        yield (
            run.pk, of, run.baseline.number, run.purpose, run.scale, run.budget_share, run.seed, run.state, run.outcome,
            score, run.self_reported, getattr(run, "taken", None),
            run.device.name if run.device else "", run.sandbox_level, run.commit,
            run.created_at, run.started_at, run.finished_at,
        )  # fmt: skip


LIST = CsvList("runs", "runs, newest first", COLUMNS, rows=rows)
