"""Evidence against its hash, the runs that it names, and the candidate that it is of."""

from collections.abc import Iterator, Sequence
from typing import Any

from research_app.audit.report import Kind, Report
from research_app.evidence.evidence_document import ArmRun
from research_app.models import Candidate, Evidence, Run

CHUNK = 200


def check_evidence(report: Report) -> None:
    """Recompute every content hash, and hold the scores in it against the runs as they are."""
    for chunk in _chunks():
        named = {each.run for row in chunk for each in runs_of(row)}
        columns = ("pk", "score", "hidden_score", "seed", "commit", "project_id", "patch_set_id")
        runs = {run["pk"]: run for run in Run.objects.filter(pk__in=named).values(*columns)}
        for row in chunk:
            report.checked["evidence hashes"] += 1
            _check_one(report, row, runs)


def _chunks() -> Iterator[list[Evidence]]:
    rows = Evidence.objects.select_related("patch_set__candidate__project").defer("patch_set__diff").order_by("pk")
    chunk: list[Evidence] = []
    for row in rows.iterator(chunk_size=CHUNK):
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def runs_of(row: Evidence) -> Sequence[ArmRun]:
    """What the evidence keeps of each run, both arms."""
    return (*row.document.baseline, *row.document.candidate)


def _check_one(report: Report, row: Evidence, runs: dict[int, dict[str, Any]]) -> None:
    candidate = row.patch_set.candidate
    where = f"evidence {row.pk} ({candidate.project.slug} {candidate})"
    if row.compute_hash() != row.content_hash:
        report.fault(Kind.EVIDENCE_ALTERED, where, "Its content does not have its hash.")
        return
    if not row.has_document:
        report.fault(Kind.UNREADABLE, "evidence", f"{where[0].upper()}{where[1:]} holds no document, and its hash covers that.")
        return
    arms = {"baseline": (row.document.baseline, row.baseline_n), "candidate": (row.document.candidate, row.candidate_n)}
    for arm, (named, count) in arms.items():
        if arm in row.document.model_fields_set and len(named) != count:
            report.fault(Kind.EVIDENCE_ALTERED, where, f"It counts {count} runs of the {arm} and names {len(named)}.")
    for kept in runs_of(row):
        if problem := _differs(kept, runs.get(kept.run), candidate.project_id):
            report.fault(Kind.ROW_ALTERED, f"run {kept.run}", f"{where[0].upper()}{where[1:]} {problem}")


def _differs(kept: ArmRun, run: dict[str, Any] | None, project: int) -> str:
    """How a run is not what evidence says of it, as the end of a sentence; empty where it is."""
    if run is None:
        return "names it, and it is gone."
    if run["project_id"] != project:
        return "names it, and it is another project's."
    names = {"score": "score", "hidden": "hidden_score", "seed": "seed", "commit": "commit"}
    stored_run = kept.written()  # what an older version did not keep of a run says nothing against it
    wrong = [words for words, column in names.items() if words in stored_run and stored_run[words] != run[column]]
    if not wrong:
        return ""
    return f"was made of another {' and '.join('hidden score' if word == 'hidden' else word for word in wrong)}."


def check_current(report: Report) -> None:
    """Every candidate's current patch set and evidence are its own."""
    rows = Candidate.objects.filter(patch_set__isnull=False).order_by("pk")
    columns = ("pk", "number", "project__slug", "patch_set__candidate_id", "evidence__patch_set__candidate_id", "evidence_id")
    for row in rows.values(*columns).iterator(chunk_size=2000):
        where = f"candidate {row['pk']} ({row['project__slug']} C-{row['number']})"
        for words, owner in (
            ("patch set", row["patch_set__candidate_id"]),
            ("evidence", row["evidence__patch_set__candidate_id"]),
        ):
            if owner is not None and owner != row["pk"]:
                report.fault(Kind.EVIDENCE_MOVED, where, f"Its {words} is of another candidate.")
