"""Exports for TensorBoard, MLflow and Weights & Biases, read back by each tool's own reader.

TensorBoard is installed here. The other two bring web servers and cloud clients, so uv runs their readers in environments of
their own; where those cannot be had (no network), the tests are skipped.
"""

import json
import math
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from research_app.histories.formats._named_runs import key_of
from research_app.histories.formats.wandb_format import Log
from research_app.histories.records import Export, run_record
from research_app.models import Evidence, Project, Run, Series, SeriesChunk, Stage, Verdict
from research_app.models.run import series_of
from tests.factories import make_candidate, make_project, make_run
from tests.routes.spellings import BIDI, EMOJI
from training.left_out import LeftOut
from training.wandb_files import WandbFile

MLFLOW, WANDB = "mlflow-skinny==3.17.2", "wandb==0.31.0"  # docs/decisions/0002-dependencies.md
ODD = f"<b>é/..\t{BIDI} {EMOJI}"[:64]
READ_MLFLOW = """
import json, sys, warnings
warnings.simplefilter("ignore")
from mlflow import MlflowClient
client = MlflowClient(tracking_uri=f"file://{sys.argv[1]}")
experiment = client.get_experiment_by_name("demo")
runs = client.search_runs([experiment.experiment_id], max_results=1000)
json.dump([{
    "name": run.info.run_name, "status": run.info.status, "params": run.data.params, "tags": run.data.tags,
    "last": {name: repr(value) for name, value in run.data.metrics.items()},
    "curves": {name: [[each.step, repr(each.value)] for each in client.get_metric_history(run.info.run_id, name)]
               for name in run.data.metrics},
} for run in runs], sys.stdout)
"""


@pytest.fixture
def project(db: None) -> Project:
    """A candidate with two runs, one of which diverged, and a curve with an odd name and values that are no numbers."""
    project = make_project()
    candidate = make_candidate(
        project, effect=0.02, runs=2, stage=Stage.LANDED, verdict=Verdict.SOLID, hypothesis=f"It helps.\n\n{BIDI}{EMOJI}"
    )
    run = make_run(project.tip(), patch_set=candidate.patch_set, seed=50, score=1.5, series={})
    SeriesChunk.objects.filter(run=run).delete()
    Series.of(run.pk, ODD, [0.0, 1.0, 2.0, math.nan], [math.nan, math.inf, 0.1 + 0.2, 1.0]).save()
    Run.objects.filter(pk=run.pk).update(facts={"parameters": 12, "words": "a" * 9000})
    return project


def export(kind: str, out: Path) -> Path:
    call_command("project", "export", "demo", "--format", kind, "--out", str(out), stdout=StringIO())
    return out


def run_with(package: str, *words: str, **environment: str) -> str:
    """What a program of a package says, in an environment that uv makes for it."""
    uv = [str(Path(sys.executable).with_name("uv")), "run", "--no-project", "--python", sys.executable, "--with", package]
    full = {**os.environ, **environment, "WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false"}
    done = subprocess.run([*uv, *words], env=full, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode and any(each in done.stderr for each in ("Failed to fetch", "error sending request", "Request failed")):
        pytest.skip(f"{package} cannot be had here")
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_tensorboard_reads_every_curve_figure_and_effect(project: Project, tmp_path: Path) -> None:
    out = export("tensorboard", tmp_path / "out")
    found = {}
    for file in out.rglob("events.out.tfevents*"):
        found[file.parent.relative_to(out).as_posix()] = loaded = EventAccumulator(
            str(file.parent), size_guidance={"scalars": 0, "tensors": 0}
        )
        loaded.Reload()
    logged = series_of(list(project.runs.values_list("pk", flat=True)))
    for run in project.runs.select_related("patch_set__candidate", "baseline"):
        group = "C-1" if run.patch_set else "baseline 0"
        read = found.pop(f"{group}/{group} S seed {run.seed} run {run.pk}")
        tags = set(read.Tags()["scalars"])
        assert tags == {*logged[run.pk], "run/val_bpb", "run/train_seconds", "run/device_seconds"}
        for name, (steps, values) in logged[run.pk].items():
            points = [(each.step, each.value) for each in read.Scalars(name)]
            assert [step for step, _ in points] == [step for step in steps if math.isfinite(step)]
            assert [value for _, value in points] == pytest.approx(values[: len(points)], rel=1e-6, nan_ok=True)
        assert read.Scalars("run/val_bpb")[0].value == pytest.approx(run.score)
        about = make_ndarray(read.Tensors("about/text_summary")[0].tensor_proto)[0].decode()
        assert f'"seed": {run.seed}' in about
    assert list(found) == ["effects"]
    effect = Evidence.objects.get(current_of__number=1).effect
    assert [(each.step, each.value) for each in found["effects"].Scalars("effect")] == [(1, pytest.approx(effect))]


@pytest.mark.slow
def test_mlflow_reads_every_run_with_its_curves_parameters_and_tags(project: Project, tmp_path: Path) -> None:
    out = export("mlflow", tmp_path / "out")
    said = run_with(MLFLOW, "python", "-c", READ_MLFLOW, str(out), MLFLOW_ALLOW_FILE_STORE="true")
    read = {row["tags"]["signoff.run"]: row for row in json.loads(said)}
    logged = series_of(list(project.runs.values_list("pk", flat=True)))
    assert set(read) == {str(pk) for pk in logged}
    for run in project.runs.all():
        row = read[str(run.pk)]
        assert row["params"]["seed"] == str(run.seed) and row["status"] == "FINISHED"
        assert float(row["last"]["run.val_bpb"]) == run.score
        if "val_loss" in logged[run.pk]:
            assert [(step, float(value)) for step, value in row["curves"]["val_loss"]] == [
                (int(step), value) for step, value in zip(*logged[run.pk]["val_loss"], strict=True)
            ]
    odd = next(row for row in read.values() if row["params"]["seed"] == "50")
    name = next(each for each in odd["curves"] if not each.startswith("run."))
    assert [value for _, value in odd["curves"][name]] in (["nan", "inf", repr(0.1 + 0.2)], ["nan", str(sys.float_info.max)])
    assert odd["params"]["candidate_effect"] == str(Evidence.objects.get(current_of__number=1).effect)
    assert odd["tags"]["mlflow.note.content"].startswith("It helps.") and odd["tags"]["group"] == "C-1"


def wandb_file(project: Project, run: Run, out: Path) -> Path:
    """The transaction log of one run in an export."""
    key = key_of(Export(project), run_record(run))
    return next(out.glob(f"wandb/offline-run-*-{key}/run-{key}.wandb"))


@pytest.mark.one_in(3)
@pytest.mark.slow
def test_weights_and_biases_reads_a_run_with_its_history_settings_and_summary(project: Project, tmp_path: Path) -> None:
    out = export("wandb", tmp_path / "out")
    run = project.runs.exclude(patch_set=None).earliest("pk")
    logged = series_of([run.pk])[run.pk]
    for one in (run, Run.objects.get(seed=50)):
        file = str(wandb_file(project, one, out))
        summary = json.loads(run_with(WANDB, "wandb", "leet", "inspect", "--summary", "--json", file))
        told = json.dumps(summary, ensure_ascii=False)
        assert f"C-1 S seed {one.seed}" in told and "finished" in told and repr(one.score) in told
        records = [json.loads(line) for line in run_with(WANDB, "wandb", "leet", "inspect", "--json", file).splitlines()]
        kinds = [record["type"] for record in records]
        assert kinds[:2] == ["header", "run"] and kinds[-2:] == ["summary", "exit"]
        if one == run:
            assert kinds.count("history") == len({step for steps, _ in logged.values() for step in steps})
            first = json.dumps(next(record for record in records if record["type"] == "history"))
            assert str(logged["val_loss"][1][0]) in first


def test_every_run_has_a_log_that_our_own_reader_of_such_files_reads(project: Project, tmp_path: Path) -> None:
    out = export("wandb", tmp_path / "out")
    logged = series_of(list(project.runs.values_list("pk", flat=True)))
    assert len(list(out.rglob("*.wandb"))) == len(logged)
    sizes = []
    for run in project.runs.exclude(seed=50):
        data = wandb_file(project, run, out).read_bytes()
        sizes.append(len(data))
        reader = WandbFile("run.wandb", LeftOut())
        points = reader.feed(data)
        for name, (_, values) in logged[run.pk].items():
            assert [row[name] for row in points if name in row] == values
        assert reader.finals["val_bpb"] == run.score
    assert max(sizes) > 2 * (1 << 15)  # several blocks


@pytest.mark.parametrize("size", [0, 1, 32_754, 32_755, 32_756, 32_761, 65_500, 65_522, 200_000])
def test_records_of_any_length_fit_the_blocks_of_the_log(tmp_path: Path, size: int) -> None:
    with (tmp_path / "log").open("wb") as file:
        log = Log(file)
        for length in (size, 5, size, 32_700, 3):
            log.put(b"x" * length)
    reader: Any = WandbFile("log", LeftOut())
    reader.waiting = (tmp_path / "log").read_bytes()
    assert [len(record) for record in reader._records()] == [size, 5, size, 32_700, 3]
