"""What landed this week, on what it was approved, and what it brought together: measured, and recomputed here by hand."""

import math
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from research_app.evidence.difference import compare
from research_app.evidence.digits import Gain
from research_app.models import BaselineVersion, Candidate, Landing, LandingState, Project, Stage
from tests.factories import BASE_SCORE, make_candidate, make_landing, make_project, make_run, make_user

pytestmark = pytest.mark.django_db
EDITS = ("WARMUP = 0.05", "LAYERS = 3", "WIDTH = 96")


def landed(project: Project, number: int, *, approved: float, score: float, days: float) -> Landing:
    """A landing so many days ago, approved on an effect, whose version scores so much in five runs of its own."""
    edit = EDITS[number].split(" = ")
    candidate = make_candidate(
        project, edits=[("train.py", EDITS[number], f"{edit[0]} = {float(edit[1]) * 2:g}")], stage=Stage.LANDED, effect=approved
    )
    landing = make_landing(candidate, LandingState.LANDED)
    version = landing.version
    assert version
    version.runs.all().delete()
    for seed in range(5):
        make_run(version, seed=seed + 1, score=score + 0.001 * (seed - 2))
    BaselineVersion.objects.filter(pk=version.pk).update(created_at=timezone.now() - timedelta(days=days))
    return landing


@pytest.fixture
def project() -> Project:
    """One landing three weeks ago, two this week: one that held, one that is not seen."""
    project = make_project()
    landed(project, 0, approved=0.05, score=BASE_SCORE - 0.04, days=21)
    landed(project, 1, approved=0.03, score=BASE_SCORE - 0.07, days=3)
    landed(project, 2, approved=0.02, score=BASE_SCORE - 0.07, days=1)
    return project


def window(query: str = "") -> str:
    client = Client()
    client.force_login(User.objects.filter(username="ada").first() or make_user("ada"))
    page = client.get(f"/projects/demo/baseline/{query}").content.decode()
    return page.split('id="window"', 1)[1].split('id="versions"', 1)[0]


def scores_of(project: Project, number: int) -> list[float]:
    runs = project.baseline_versions.get(number=number).runs.filter(patch_set=None)
    rows = runs.values_list("score", flat=True)
    return [score for score in rows if score is not None]


def test_a_week_is_measured_from_the_version_before_it_to_the_newest(project: Project) -> None:
    whole = compare(scores_of(project, 1), scores_of(project, 3), project.noise()).gain
    page = window()
    assert "<b>2</b> landed" in page and whole.text in page and whole.interval in page
    assert "Baseline 3 against baseline 1" in page
    gains = [c.evidence.gain for c in Candidate.objects.filter(number__in=[2, 3]) if c.evidence]
    first, second = [gain for gain in gains if gain]
    error = math.hypot(first.spread or 0.0, second.spread or 0.0)
    assert f"approved on <b>{Gain(first.value + second.value, error).text}</b>" in page


def test_each_step_says_whether_its_gain_is_seen(project: Project) -> None:
    page = window("?since=ever")
    assert "<b>3</b> landed" in page and "Baseline 3 against baseline 0" in page
    rows = [row.split("</tr>")[0] for row in page.split("<tbody>", 1)[1].split("<tr>")[1:]]
    assert ["not seen" in row for row in rows] == [True, False, False]
    assert ["held" in row for row in rows] == [False, True, True]


def test_what_made_it_worse_and_what_was_taken_back_is_said(project: Project) -> None:
    newest = project.tip()
    newest.runs.update(score=BASE_SCORE + 0.2)
    assert "worse than before it" in window()
    third = Candidate.objects.get(number=3)
    Candidate.objects.filter(pk=third.pk).update(undone_by=project.baseline_versions.get(number=2))
    page = window("?since=week")
    assert "taken back" in page


def test_a_day_or_nonsense_or_a_day_without_landings_is_answered(project: Project) -> None:
    assert "<b>3</b> landed" in window("?since=2020-01-01")
    assert "<b>2</b> landed" in window("?since=nonsense")
    assert "<b>2</b> landed" in window("?since=0000-00-00")
    assert "Nothing landed since 1 January 9999." in window("?since=9999-01-01")


def test_a_version_without_runs_of_its_own_is_not_measured_yet(project: Project) -> None:
    project.tip().runs.all().delete()
    page = window()
    assert "not measured yet" in page and "measured –" in page


def test_a_project_without_landings_says_so() -> None:
    make_project()
    assert "Nothing landed" in window()


def test_scores_of_any_size_leave_a_page(project: Project) -> None:
    for score in (1e308, -1e308, 1e200, 5e-324):
        project.tip().runs.update(score=score)
        assert "<b>2</b> landed" in window()
