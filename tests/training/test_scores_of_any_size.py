"""Scores of any size: one that ran away is a run that diverged; pages, charts and statistics stand whatever is stored."""

import json
from pathlib import Path

import pytest
from django.test import Client

from research_app.loop.check import check
from research_app.loop.project.projects import create_project
from research_app.models import Candidate, Project, Run, Stage
from tests.factories import make_candidate, make_project, make_run, make_user
from tests.small_project import FILE, TRAIN, drain, patch, small_project, source_repository, submit
from training.output import OutputParser
from training.spec import LARGEST_SCORE, Outcome, SelfReported

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

PRINTED = 'print(f"score={score:.8f}")'


@pytest.mark.parametrize("score", ["1e200", "-1e200", "1e308", "9" * 400])
def test_a_run_whose_score_ran_away_diverged(score: str) -> None:
    project = small_project()
    candidate = submit(project, (PRINTED, f'print("score={score}")'))
    run = Run.objects.get(patch_set__candidate=candidate)
    assert run.outcome in (Outcome.diverged, Outcome.not_finite) and run.score is None
    assert "diverged" in run.reason
    assert (candidate.stage, candidate.why) == (Stage.CRASHED, run.reason)


def test_a_baseline_that_ran_away_has_runs_that_diverged_and_no_noise(tmp_path: Path) -> None:
    text = TRAIN.replace(PRINTED, 'print(f"score={1e200 + 1e198 * chance.random()}")')
    project = create_project("huge", source=str(source_repository(tmp_path / "source", text=text)), file=FILE)
    drain()
    assert {run.outcome for run in project.runs.all()} == {Outcome.diverged}
    assert project.noise() is None


@pytest.mark.parametrize("scale", ["1e-290", "1e-310"])
def test_denormal_scores_are_judged_like_any_others(tmp_path: Path, scale: str) -> None:
    text = TRAIN.replace(PRINTED, f'print(f"score={{score * {scale}}}")')
    project = create_project("tiny", source=str(source_repository(tmp_path / "source", text=text)), file=FILE)
    drain()
    noise = project.noise()
    assert noise is not None and noise.sigma > 0
    change = patch(("LEARNING_RATE = 0.01", "LEARNING_RATE = 0.02"), text=text)
    check.submit(project, change, "It learns faster", category="optimiser", author="ada")
    drain()
    candidate = project.candidates.get()
    assert candidate.stage == Stage.READY, candidate.why


def test_a_number_too_large_for_a_float_is_said_to_be_none() -> None:
    parser = OutputParser(SelfReported("autoresearch", "val_bpb"))
    parser.feed(b"---\nval_bpb: 1e305\n")
    assert parser.score is None and "val_bpb = 1e305" in parser.not_finite


def hostile(project: Project) -> Candidate:
    """Rows as an older version may have left them."""
    for seed, score in enumerate((1e200, -1e308, 1.7e308, 5e-324, LARGEST_SCORE), start=10):
        make_run(project.tip(), seed=seed, score=score)
    candidate = make_candidate(project, stage=Stage.SCREENING, effect=None)
    make_run(project.tip(), patch_set=candidate.patch_set, seed=1, score=1.7e308)
    make_run(project.tip(), patch_set=candidate.patch_set, seed=2, score=-1.7e308)
    return candidate


@pytest.mark.parametrize("measure", ["score", "saved", "target"])
def test_the_progress_chart_is_valid_json_whatever_is_stored(client: Client, measure: str) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    project = make_project()
    hostile(project)
    client.force_login(make_user())
    response = client.get(f"{project.get_absolute_url()}progress.json?measure={measure}")
    assert response.status_code == 200
    json.loads(response.content, parse_constant=refuse)
