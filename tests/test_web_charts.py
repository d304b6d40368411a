"""The data of the charts."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from research_app.models import LandingState, Project, SeriesChunk, Stage, State, Verdict
from research_app.web import charts
from tests.factories import make_candidate, make_landing, make_many, make_project, make_run, make_user

pytestmark = pytest.mark.django_db
DEEPER = [("train.py", "LAYERS = 3", "LAYERS = 4")]


@pytest.fixture
def client() -> Client:
    make_user("ada")
    client = Client()
    client.login(username="ada", password="correct horse battery")
    return client


@pytest.fixture
def project() -> Project:
    return make_project()


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


def test_the_progress_chart_shows_every_experiment_and_the_best_so_far(client: Client, project: Project) -> None:
    make_candidate(project, effect=0.01)
    make_candidate(project, edits=DEEPER, effect=-0.02, stage=Stage.DROPPED)
    make_candidate(project, edits=DEEPER, effect=0.03)
    make_candidate(project, edits=DEEPER, effect=None, stage=Stage.CRASHED)
    answer = body(client, "progress.json")
    points = answer["points"]
    assert [[p["x"] for p in points[kind]] for kind in ("tried", "waiting", "landed", "unscored")] == [[2], [1, 3], [], [4]]
    assert answer["best"]["x"] == [1, 3, 4]
    assert answer["best"]["y"] == sorted(answer["best"]["y"], reverse=True)
    assert answer["bands"][0]["n"] == 4


def test_health_hides_a_score_from_the_progress_chart_and_its_best(client: Client, project: Project) -> None:
    make_candidate(project, effect=0.9, verdict=Verdict.INVALID, stage=Stage.INVALID)
    answer = body(client, "progress.json")
    assert [p["y"] for p in answer["points"]["unscored"]] == [None]
    assert answer["best"] == {"x": [], "y": []}


def test_the_best_follows_the_direction_of_the_metric(client: Client) -> None:
    project = make_project(metric={"direction": "higher", "name": "accuracy"})
    for effect in (0.01, 0.03, -0.2):
        make_candidate(project, effect=effect)
    assert body(client, "progress.json")["best"]["x"] == [1, 2, 3]
    assert body(client, "progress.json")["best"]["y"] == sorted(body(client, "progress.json")["best"]["y"])


def test_a_landing_is_labelled_and_starts_a_new_band(client: Client, project: Project) -> None:
    candidate = make_candidate(project, effect=0.03, stage=Stage.LANDED)
    make_landing(candidate, LandingState.LANDED)
    make_candidate(project, edits=DEEPER, effect=0.01, age=timedelta())
    answer = body(client, "progress.json")
    assert [p["x"] for p in answer["points"]["landed"]] == [1]
    assert [(band["number"], band["from"]) for band in answer["bands"]] == [(0, 0), (1, 1)]


def test_very_many_experiments_are_thinned_but_their_extremes_stay(
    client: Client, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charts, "MAX_PLAIN", 20)
    made = make_many(project, 60, stage=Stage.DROPPED, effect=-0.02)
    for index, mean in ((30, 1.0), (41, 9.0)):
        evidence = made[index].evidence
        assert evidence
        evidence.candidate_mean = mean
        evidence.save()
    tried = body(client, "progress.json")["points"]["tried"]
    assert len(tried) <= 20
    assert {1.0, 9.0} <= {p["y"] for p in tried}
