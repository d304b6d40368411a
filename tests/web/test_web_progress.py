"""The progress chart: every experiment as score, as time saved, as time to the target."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from research_app.models import LandingState, Project, Purpose, Stage, Verdict
from research_app.web.project import progress
from tests.factories import BASE_SCORE, make_candidate, make_landing, make_many, make_project, make_run

pytestmark = pytest.mark.django_db
DEEPER = [("train.py", "LAYERS = 3", "LAYERS = 4")]


def body(client: Client, address: str) -> Any:
    response = client.get(f"/projects/demo/{address}")
    assert response.status_code == 200
    return response.json()


def curve(*points: tuple[float, float]) -> dict[str, list[list[float]]]:
    """What a run logs: a validation loss over seconds, one a step."""
    steps = [float(step) for step in range(len(points))]
    return {"val_loss": [steps, [loss for _, loss in points]], "seconds": [steps, [second for second, _ in points]]}


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
    monkeypatch.setattr(progress, "MAX_PLAIN", 20)
    made = make_many(project, 60, stage=Stage.DROPPED, effect=-0.02)
    for index, mean in ((30, 1.0), (41, 9.0)):
        evidence = made[index].evidence
        assert evidence
        evidence.candidate_mean = mean
        evidence.save()
    tried = body(client, "progress.json")["points"]["tried"]
    assert len(tried) <= 20
    assert {1.0, 9.0} <= {p["y"] for p in tried}


def test_time_saved_is_read_off_the_baselines_loss_against_its_budget(client: Client, project: Project) -> None:
    make_candidate(project, effect=0.03)
    make_candidate(project, edits=DEEPER, effect=-0.03)
    assert "not run at other budgets yet" in body(client, "progress.json?measure=saved")["note"]
    for share, gain in ((0.8, -0.05), (0.9, -0.025), (1.15, 0.03), (1.3, 0.06)):
        make_run(project.tip(), purpose=Purpose.CURVE, budget_share=share, score=BASE_SCORE - gain)
    answer = body(client, "progress.json?measure=saved")
    better, worse = answer["points"]["waiting"]
    assert (answer["title"], answer["direction"]) == ("time saved at equal loss", "higher")
    assert 0.05 < better["y"] < 0.3
    assert -0.3 < worse["y"] < 0
    assert better["told"].endswith("% time saved") and better["told"].startswith("+")
    assert answer["best"]["x"] == [1, 2]
    assert answer["bands"][0]["mean"] == 0.0


def test_time_to_target_is_the_median_over_seeds_with_how_many_got_there(client: Client) -> None:
    project = make_project(reference_runs=0, budget={"kind": "wall_seconds", "amount": 100})
    for seed in (1, 2, 3, 4):
        make_run(project.tip(), seed=seed, series=curve((0, 4.0), (50, 3.0), (100, 2.0)))
    quick = make_candidate(project, effect=0.03)
    slow = make_candidate(project, edits=DEEPER, effect=-0.03, stage=Stage.DROPPED)
    project.runs.filter(patch_set__isnull=False).delete()
    for seed, halfway in ((1, 30.0), (2, 40.0)):
        make_run(project.tip(), patch_set=quick.patch_set, seed=seed, series=curve((0, 4.0), (halfway, 2.0), (100, 1.5)))
    make_run(project.tip(), patch_set=slow.patch_set, series=curve((0, 4.0), (50, 3.5), (100, 3.0)))
    answer = body(client, "progress.json?measure=target")
    assert "Until the validation loss is 2," in answer["note"] and "bends with what else the machine does" in answer["note"]
    (point,) = answer["points"]["waiting"]
    assert point["y"] in (30.0, 35.0, 40.0)
    assert point["told"].startswith("2 of 2 seeds reach it")
    assert answer["points"]["tried"] == []  # half of its seeds never got there
    assert answer["bands"][0]["mean"] == 100.0


def test_where_the_budget_is_no_time_the_way_to_the_target_is_a_share_of_it_and_not_bent_by_the_machines_load(
    client: Client,
) -> None:
    project = make_project(reference_runs=0, budget={"kind": "tokens", "amount": 4000})
    steps = [0.0, 1.0, 2.0]
    losses, tokens = {"val_loss": [steps, [4.0, 3.0, 2.0]]}, {"tokens": [steps, [0.0, 2000.0, 4000.0]]}
    for seed, pace in ((1, 1.0), (2, 9.0), (3, 50.0)):
        make_run(project.tip(), seed=seed, series={**losses, **tokens, "seconds": [steps, [0.0, pace, 2 * pace]]})
    answer = body(client, "progress.json?measure=target")
    assert answer["title"] == "% of the budget to the target"
    assert answer["bands"][0]["mean"] == 100.0


def test_health_hides_times_as_it_hides_scores(client: Client, project: Project) -> None:
    make_candidate(project, effect=0.9, verdict=Verdict.INVALID, stage=Stage.INVALID)
    for measure in ("saved", "target"):
        assert [p["y"] for p in body(client, f"progress.json?measure={measure}")["points"]["unscored"]] == [None]


def test_a_measure_that_is_not_on_offer_is_the_score(client: Client, project: Project) -> None:
    assert body(client, "progress.json?measure=charm")["measure"] == "score"
