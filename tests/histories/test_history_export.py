"""`manage.py project export` writes what people may see, and each format is read back by its own reader."""

import csv
import json
import math
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command

from research_app.histories.export import FORMATS
from research_app.models import Event, Evidence, ImportedResult, LandingState, Project, Run, Series, SeriesChunk, Stage, Verdict
from research_app.models.run import arrays_of
from tests.factories import make_candidate, make_landing, make_project, make_run, make_user

FINDINGS = {"findings": [{"sentence": "It reads: held-out words"}]}
FORMULA = "=cmd|' /C calc'!A0"
HIDDEN = 0.987654321012345
Tables = dict[str, list[dict[str, Any]]]


@pytest.fixture
def project(db: None) -> Project:
    """Landed, dropped, invalid, at a gate, an undecided A/A candidate; hidden scores on every run."""
    project = make_project()
    landed = make_candidate(project, stage=Stage.LANDED, effect=0.03, runs=2, verdict=Verdict.SOLID, author=FORMULA)
    make_landing(landed, LandingState.LANDED)
    edit = [("train.py", "LAYERS = 3", "LAYERS = 4")]
    make_candidate(project, edits=edit, stage=Stage.DROPPED, effect=-0.01, hypothesis="Deeper:\n\ta tab\r\nand lines")
    edit = [("train.py", "WIDTH = 96", "WIDTH = 64")]
    make_candidate(project, edits=edit, stage=Stage.INVALID, effect=0.5, verdict=Verdict.INVALID, hypothesis="Cheat")
    edit = [("train.py", "WIDTH = 96", "WIDTH = 128")]
    make_candidate(project, edits=edit, stage=Stage.READY, effect=0.01, aa=True, hypothesis="Nothing changes")
    make_candidate(project, edits=(), stage=Stage.CRASHED, effect=None, hypothesis="Crashes")
    project.runs.update(hidden_score=HIDDEN)
    run = make_run(project.tip(), seed=99, series={})
    SeriesChunk.objects.filter(run=run).delete()
    Series.of(run.pk, "val_loss", [0.0, 1.0, 2.0], [math.nan, math.inf, 0.5]).save()
    Run.objects.filter(pk=run.pk).update(facts={"parameters": 12, "huge": 10**400, "words": "a\tb", **FINDINGS})
    return project


def export(kind: str, out: Path) -> str:
    said = StringIO()
    call_command("project", "export", "demo", "--format", kind, "--out", str(out), stdout=said)
    return said.getvalue()


def read_tsv(folder: Path) -> Tables:
    found = {}
    for path in folder.glob("*.tsv"):
        with path.open(encoding="utf-8", newline="") as file:
            found[path.stem] = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return found


def read_jsonl(folder: Path) -> Tables:
    found: Tables = {}
    for path in folder.glob("*.jsonl"):
        found[path.stem] = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text("utf-8").split("\n")[:-1]]
    found["curves"] = [
        {"run": run["run"], "series": name, "step": step, "value": value}
        for run in found["runs"]
        for name, curve in run["curves"].items()
        for step, value in zip(curve["steps"], curve["values"], strict=True)
    ]
    return found


def read_parquet(folder: Path) -> Tables:
    return {path.stem: pq.read_table(path).to_pylist() for path in folder.glob("*.parquet")}


READERS: dict[str, Callable[[Path], Tables]] = {"tsv": read_tsv, "jsonl": read_jsonl, "parquet": read_parquet}
TABLED = pytest.mark.parametrize("kind", READERS)


@pytest.mark.both_databases
@TABLED
def test_every_candidate_run_and_point_comes_back(project: Project, tmp_path: Path, kind: str) -> None:
    said = export(kind, tmp_path / "out")
    found = READERS[kind](tmp_path / "out")
    candidates = [row for row in found["candidates"] if row["candidate"] not in (None, "")]
    assert [int(row["candidate"]) for row in candidates] == [1, 2, 3, 4, 5]
    assert [row["status"] for row in candidates] == ["keep", "discard", "discard", "pending", "crash"]
    assert len(found["runs"]) == project.runs.count()
    logged = arrays_of(list(project.runs.values_list("pk", flat=True)))
    assert len(found["curves"]) == sum(len(steps) for curves in logged.values() for steps, _ in curves.values())
    assert f"5 candidates, {project.runs.count()} runs, {len(found['curves']):,} points" in said
    run = project.runs.exclude(patch_set=None).earliest("pk")
    loss = [float(row["value"]) for row in found["curves"] if int(row["run"]) == run.pk and row["series"] == "val_loss"]
    assert np.array_equal(loss, logged[run.pk]["val_loss"][1])


@TABLED
def test_effects_are_the_evidence_s_to_the_last_digit(project: Project, tmp_path: Path, kind: str) -> None:
    export(kind, tmp_path / "out")
    row = next(r for r in READERS[kind](tmp_path / "out")["candidates"] if str(r["candidate"]) == "1")
    evidence = Evidence.objects.get(current_of__number=1)
    shown = [float(row[name]) for name in ("effect", "low", "high", "sigma")]
    assert shown == [evidence.effect, evidence.low, evidence.high, evidence.sigma]
    assert (int(row["n"]), int(row["baseline_n"]), int(row["landed_as"])) == (evidence.candidate_n, evidence.baseline_n, 1)
    assert float(row["device_seconds"]) > 0


@pytest.mark.parametrize("kind", FORMATS)
def test_no_hidden_score_leaves(project: Project, tmp_path: Path, kind: str) -> None:
    assert FORMATS[kind].missing == ""
    export(kind, tmp_path / "out")
    packed = [np.float64(HIDDEN).tobytes(), np.float32(HIDDEN).tobytes(), b"0.98765", b"hidden_score", b"calibrated on"]
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [each for each in packed if each in content], path


@TABLED
def test_an_effect_that_health_hides_and_an_undecided_a_a_candidate_stay_untold(
    project: Project, tmp_path: Path, kind: str
) -> None:
    export(kind, tmp_path / "out")
    rows = {str(row["candidate"]): row for row in READERS[kind](tmp_path / "out")["candidates"]}
    assert [rows["3"].get(name) or None for name in ("effect", "low", "high", "mean", "val_bpb", "n")] == [None] * 6
    assert rows["4"]["aa"] in (None, "") and rows["2"]["aa"] in (False, "false")


@TABLED
def test_numbers_that_are_none_and_texts_of_any_kind_come_back(project: Project, tmp_path: Path, kind: str) -> None:
    export(kind, tmp_path / "out")
    found = READERS[kind](tmp_path / "out")
    run = max(int(row["run"]) for row in found["runs"])
    values = [row["value"] for row in found["curves"] if int(row["run"]) == run]
    assert float(values[2]) == 0.5 and (values[:2] == [None, None] or [str(v) for v in values[:2]] == ["nan", "inf"])
    facts = next(row for row in found["runs"] if int(row["run"]) == run)
    said = facts["fact huge"] if kind == "tsv" else str(json.loads(facts["facts"])["huge"]) if kind == "parquet" else None
    assert said in (None, str(10**400))
    assert "findings" not in str(facts)


def test_a_table_of_ours_is_a_results_table(project: Project, tmp_path: Path) -> None:
    project.candidates.filter(stage=Stage.READY).update(stage=Stage.REJECTED)
    export("tsv", tmp_path / "out")
    table = tmp_path / "out" / "candidates.tsv"
    call_command("project", "import", "demo", "--results", str(table), stdout=StringIO())
    rows = list(ImportedResult.objects.order_by("number").values_list("outcome", "reported"))
    assert [outcome for outcome, _ in rows] == ["baseline", "keep", "discard", "discard", "discard", "crash"]
    assert rows[1][1] == Evidence.objects.get(current_of__number=1).candidate_mean


def test_no_spreadsheet_computes_a_text(project: Project, tmp_path: Path) -> None:
    export("tsv", tmp_path / "out")
    assert next(r for r in read_tsv(tmp_path / "out")["candidates"] if r["candidate"] == "1")["author"] == f"'{FORMULA}"


def test_an_export_is_all_or_nothing_and_told(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(CommandError, match="There is something at"):
        export("tsv", tmp_path / "full")
    monkeypatch.setattr("research_app.histories.formats.jsonl_format.plain", lambda row: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export("jsonl", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
    export("tsv", tmp_path / "new" / "out")
    assert Event.objects.get(kind="project exported").data == {
        "format": "tsv", "candidates": 5, "runs": project.runs.count(), "points": sum(
            len(steps) for curves in arrays_of(list(project.runs.values_list("pk", flat=True))).values()
            for steps, _ in curves.values()
        ),
    }  # fmt: skip


def test_an_empty_project_is_exported_too(db: None, tmp_path: Path) -> None:
    make_project(reference_runs=0)
    for kind in FORMATS:
        assert "0 candidates, 0 runs, 0 points" in export(kind, tmp_path / kind)


def test_a_missing_package_is_named_with_the_fix(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("research_app.histories.export.find_spec", lambda name: None)
    with pytest.raises(CommandError, match=r"pip install -r requirements-export\.txt"):
        export("parquet", tmp_path / "out")


def test_the_database_is_asked_as_often_for_a_hundred_runs_as_for_ten(
    project: Project, tmp_path: Path, django_assert_max_num_queries: Any
) -> None:
    for seed in range(200, 260):
        make_run(project.tip(), seed=seed, series={})
    assert SeriesChunk.objects.exists() and make_user("ada")
    with django_assert_max_num_queries(40):
        export("jsonl", tmp_path / "out")
