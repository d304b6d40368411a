"""The data of curves: groups of seeds against their baseline, as JSON and as CSV."""

import csv
import io
import math
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from research_app.models import Project, Run, Series, SeriesChunk, Stage, State
from tests.factories import make_candidate, make_run
from training.spec import Outcome

pytestmark = pytest.mark.django_db


def body(client: Client, address: str) -> Any:
    response = client.get(f"/projects/demo/{address}")
    assert response.status_code == 200
    return response.json()


def test_a_candidates_curve_stands_against_the_band_of_its_baselines_runs(client: Client, project: Project) -> None:
    make_candidate(project, runs=1)
    answer = body(client, "candidates/1/curves.json")
    baseline, candidate = answer["traces"]
    assert (baseline["name"], baseline["n"], baseline["role"]) == ("baseline 0", 4, "baseline")
    assert len(baseline["low"]) == len(baseline["x"]) == len(baseline["high"])
    assert (candidate["name"], candidate["n"]) == ("C-1", 1)
    assert "low" not in candidate
    assert [each["name"] for each in answer["offered"]][:2] == ["val_loss", "train_loss"]


def test_series_and_axis_are_chosen_in_the_address(client: Client, project: Project) -> None:
    make_candidate(project)
    answer = body(client, "candidates/1/curves.json?series=grad_norm&x=flops")
    assert (answer["series"], answer["axis_title"]) == ("grad_norm", "training FLOPs")
    assert answer["traces"][1]["x"][-1] == pytest.approx(3.2e11)
    answer = body(client, "candidates/1/curves.json?series=none&x=none")
    assert (answer["series"], answer["axis"]) == ("val_loss", "step")


def test_an_unchanged_chart_is_304_without_reading_a_series(client: Client, project: Project) -> None:
    candidate = make_candidate(project, stage=Stage.SCREENING, effect=None)
    run = make_run(project.tip(), patch_set=candidate.patch_set, state=State.RUNNING, progress=0.3)
    address = "/projects/demo/candidates/1/curves.json"
    etag = client.get(address).headers["ETag"]
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address, headers={"If-None-Match": etag}).status_code == 304
    assert not any('"points"' in query["sql"] for query in captured.captured_queries)
    SeriesChunk.objects.create(run=run, sequence=1, points={"val_loss": [[160], [1.5]]})
    assert client.get(address, headers={"If-None-Match": etag}).status_code == 200


def test_a_run_has_a_chart_of_its_own_against_the_other_baseline_runs(client: Client, project: Project) -> None:
    run = project.runs.filter(patch_set=None).first()
    assert run
    answer = body(client, f"runs/{run.pk}/curves.json")
    assert [(trace["name"], trace["n"]) for trace in answer["traces"]] == [("baseline 0", 3), ("baseline 0 seed 1", 1)]


def test_a_candidate_without_runs_has_an_empty_chart(client: Client, project: Project) -> None:
    project.runs.all().delete()
    make_candidate(project, effect=None, edits=(), stage=Stage.CHECKING)
    assert body(client, "candidates/1/curves.json")["traces"] == []


def test_a_run_that_ended_is_read_from_its_packed_series_one_curve_at_a_time(client: Client, project: Project) -> None:
    candidate = make_candidate(project)
    before = body(client, "candidates/1/curves.json")
    for run in Run.objects.all():
        SeriesChunk.compact(run.pk)
    assert not SeriesChunk.objects.exists()
    assert Series.objects.filter(run__patch_set=candidate.patch_set).count() == 9
    with CaptureQueriesContext(connection) as captured:
        assert body(client, "candidates/1/curves.json") == before
    read = [query["sql"] for query in captured.captured_queries if '"research_app_series"."values"' in query["sql"]]
    assert len(read) == 1 and "val_loss" in read[0] and "grad_norm" not in read[0]


def test_the_whole_view_stands_in_the_address(client: Client, project: Project) -> None:
    make_candidate(project, runs=2)
    view = "series=train_loss&band=interval&smooth=0.9&view=difference&from=100&to=200"
    answer = body(client, f"candidates/1/curves.json?{view}")
    base, mine = answer["traces"]
    assert answer["band_title"] == "mean, 95% interval"
    assert set(base["y"]) == {0.0}
    assert set(mine) >= {"low", "high", "raw"}
    assert min(mine["x"]) == 99 and max(mine["x"]) == 201


def test_every_run_is_drawn_also_those_that_still_train_while_a_mean_waits_for_them(client: Client, project: Project) -> None:
    candidate = make_candidate(project, runs=2)
    make_run(project.tip(), patch_set=candidate.patch_set, seed=9, state=State.RUNNING, progress=0.3)
    assert [trace["n"] for trace in body(client, "candidates/1/curves.json")["traces"]] == [4, 2]
    seeds = [trace.get("seed") for trace in body(client, "candidates/1/curves.json?band=all")["traces"]]
    assert seeds == [1, 2, 3, 4, 1, 2, 9]


def test_runs_of_another_rung_are_shown_apart(client: Client, project: Project) -> None:
    candidate = make_candidate(project, runs=1)
    for seed in (1, 2):
        make_run(project.tip(), seed=seed, scale="M")
        make_run(project.tip(), patch_set=candidate.patch_set, seed=seed, scale="M")
    answer = body(client, "candidates/1/curves.json")
    assert (answer["scales"], answer["scale"], [trace["n"] for trace in answer["traces"]]) == (["S", "M"], "S", [4, 1])
    answer = body(client, "candidates/1/curves.json?scale=M")
    assert [trace["n"] for trace in answer["traces"]] == [2, 2]


def test_csv_holds_every_point_as_it_was_logged(client: Client, project: Project) -> None:
    candidate = make_candidate(project, runs=1)
    run = Run.objects.get(patch_set=candidate.patch_set)
    response = client.get("/projects/demo/candidates/1/curves.json?series=train_loss&x=tokens&smooth=0.9&format=csv")
    assert response.headers["Content-Disposition"] == 'attachment; filename="demo-C-1-train_loss.csv"'
    rows = list(csv.DictReader(io.StringIO(response.content.decode())))
    assert len(rows) == 5 * 400
    mine = [row for row in rows if row["group"] == "C-1"]
    assert {row["run"] for row in mine} == {str(run.pk)}
    logged = SeriesChunk.objects.get(run=run).points
    assert [float(row["train_loss"]) for row in mine] == logged["train_loss"][1]
    assert [float(row["tokens"]) for row in mine] == logged["tokens"][1]


def test_the_number_of_queries_does_not_depend_on_the_number_of_runs(client: Client, project: Project) -> None:
    candidate = make_candidate(project, runs=1)

    def cost() -> int:
        with CaptureQueriesContext(connection) as captured:
            body(client, "candidates/1/curves.json")
        return len(captured.captured_queries)

    few = cost()
    for seed in range(100, 112):
        make_run(project.tip(), seed=seed)
        make_run(project.tip(), patch_set=candidate.patch_set, seed=seed)
    assert cost() == few <= 10


def test_where_a_run_logged_no_number_its_line_is_broken_and_the_place_named(client: Client, project: Project) -> None:
    candidate = make_candidate(project, effect=None)
    run = make_run(project.tip(), patch_set=candidate.patch_set, series={})
    Series.of(run.pk, "val_loss", [0.0, 16.0, 32.0, 48.0, 64.0], [3.0, 2.8, math.nan, math.inf, 2.4]).save()
    lost = make_run(
        project.tip(),
        patch_set=candidate.patch_set,
        seed=2,
        outcome=Outcome.not_finite,
        series={"val_loss": [[0, 16], [3.0, 2.9]]},
    )
    for band in ("interval", "all"):
        shown = client.get(f"/projects/demo/candidates/1/curves.json?series=val_loss&band={band}").json()
        trace = next(each for each in shown["traces"] if each["role"] == "candidate")
        assert (trace["x"], trace["y"]) == ([0.0, 16.0, 32.0, 64.0], [3.0, 2.8, None, 2.4])
    assert [(gap["from"], gap["to"], gap["words"]) for gap in shown["gaps"]] == [
        (32.0, 48.0, f"C-1 seed {run.seed}: NaN"),
        (16.0, 16.0, f"C-1 seed {lost.seed}: NaN or infinite after this point"),
    ]
