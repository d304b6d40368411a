"""MLflow's file store: an experiment with a run for each of ours; metrics with their steps, parameters and tags.

Written as `mlflow.store.tracking.FileStore` reads it (files of text and YAML), because the package brings a web server and a
cloud's client. MLflow 3 reads such a folder with MLFLOW_ALLOW_FILE_STORE=true, or moves it into a database with
`mlflow migrate-filestore`.
"""

import math
from pathlib import Path
from typing import Any

import yaml

from research_app.histories.export import ExportFormat
from research_app.histories.formats._named_runs import (
    figures_of,
    group_of,
    key_of,
    known_candidates,
    name_of,
    plain_name,
    seconds_of,
    settings_of,
    whole_steps,
)
from research_app.histories.formats._plain_rows import write_about
from research_app.histories.records import CandidateRecord, Curve, Export, RunRecord

EXPERIMENT = "1"
STATUS = {"finished": 3, "stuck": 4}  # FINISHED and FAILED; what still runs is RUNNING
RUNNING = 1
MOST_PARAMETER = 6000  # characters that MLflow takes
METRIC = r"\w .-"  # characters of a metric's name that MLflow takes everywhere, a slash makes a folder
PLACEHOLDER = "file:///signoff-export"  # where artifacts would be: there are none, and the folder may be moved


def write(export: Export, folder: Path) -> None:
    """The experiment under 1/, a run a folder; about.json beside it."""
    candidates = known_candidates(export)
    home = folder / EXPERIMENT
    home.mkdir()
    created = _milliseconds(export.project.created_at)
    _yaml(home / "meta.yaml", {
        "artifact_location": f"{PLACEHOLDER}/{EXPERIMENT}", "creation_time": created, "experiment_id": EXPERIMENT,
        "last_update_time": created, "lifecycle_stage": "active", "name": export.project.slug,
    })  # fmt: skip
    for run, curves in export.runs():
        candidate = candidates.get(run.candidate) if run.candidate is not None else None
        _write_run(home, export, run, dict(curves), candidate)
    write_about(export, folder)


def _write_run(home: Path, export: Export, run: RunRecord, curves: dict[str, Curve], candidate: CandidateRecord | None) -> None:
    key = key_of(export, run) * 4  # MLflow's have 32 digits
    place = home / key
    for name in ("metrics", "params", "tags", "artifacts"):
        (place / name).mkdir(parents=True)
    began, ended = _milliseconds(run.started_at), _milliseconds(run.finished_at) if run.finished_at else None
    failed = run.outcome not in ("", "completed")
    _yaml(place / "meta.yaml", {
        "artifact_uri": f"{PLACEHOLDER}/{EXPERIMENT}/{key}/artifacts", "end_time": ended, "entry_point_name": "",
        "experiment_id": EXPERIMENT, "lifecycle_stage": "active", "run_id": key, "run_uuid": key, "run_name": name_of(run),
        "source_name": "", "source_type": 4, "source_version": run.commit, "start_time": began,
        "status": STATUS["stuck"] if failed else STATUS.get(run.state, RUNNING), "tags": [], "user_id": "signoff",
    })  # fmt: skip
    _write_metrics(place / "metrics", export, run, curves, began)
    for name, value in settings_of(run, candidate).items():
        text = "" if value is None else str(value)
        (place / "params" / plain_name(name)).write_text(text[:MOST_PARAMETER], encoding="utf-8")
    tags = {"mlflow.runName": name_of(run), "group": group_of(run), "signoff.run": str(run.run)}
    tags |= {"mlflow.note.content": candidate.hypothesis} if candidate else {}
    for name, text in tags.items():
        (place / "tags" / name).write_text(text, encoding="utf-8")


def _write_metrics(folder: Path, export: Export, run: RunRecord, curves: dict[str, Curve], began: int) -> None:
    """A file for each metric, a line for each point: time in milliseconds, value, step."""
    taken: set[str] = set()
    last = 0
    for series, curve in curves.items():
        name = plain_name(series, METRIC)
        while name.lower() in taken:
            name += "_"
        taken.add(name.lower())
        points = list(whole_steps(curve))
        lines = (f"{began} {_number(value)} {step}\n" for step, value in points)
        (folder / name).write_text("".join(lines), encoding="utf-8")
        last = max([last, *(step for step, _ in points)])
    for name, value in figures_of(export, run).items():
        file = folder / plain_name(f"run.{name}", METRIC)
        file.write_text(f"{_milliseconds(run.finished_at or run.started_at)} {_number(value)} {last}\n", encoding="utf-8")


def _number(value: float) -> str:
    return repr(value) if math.isfinite(value) else str(value)


def _milliseconds(at: Any) -> int:
    return int(seconds_of(at) * 1000)


def _yaml(path: Path, document: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")


FORMAT = ExportFormat("mlflow", "MLflow's file store", write)
