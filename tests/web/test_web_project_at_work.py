"""What the head of a project's page says goes on: idle is a project in which nothing does."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from research_app.models import Project, Stage, State
from research_app.web.project.project import Pace
from tests.factories import make_candidate, make_device, make_run, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(make_user("ada"))
    return client


def chip(client: Client) -> str:
    head = client.get("/projects/demo/").content.decode().partition("<h1>")[2].partition("</h1>")[0]
    return head.rpartition("</span> ")[2].partition("<")[0]


def test_a_project_is_idle_while_nothing_is_under_way(client: Client, project: Project) -> None:
    make_candidate(project, stage=Stage.DROPPED)
    make_candidate(project, stage=Stage.SCREENING, needs_attention="It failed.")
    assert chip(client) == "idle"


@pytest.mark.parametrize("stage", [Stage.PROPOSED, Stage.CHECKING, Stage.SCREENING, Stage.CONFIRMING, Stage.LANDING])
def test_a_project_is_at_work_while_a_candidate_is_under_way(client: Client, project: Project, stage: Stage) -> None:
    make_candidate(project, stage=stage, effect=None)
    assert chip(client) == "at work"


def test_a_project_that_trains_says_so(client: Client, project: Project) -> None:
    candidate = make_candidate(project, stage=Stage.SCREENING, effect=None)
    make_run(project.tip(), patch_set=candidate.patch_set, state=State.RUNNING, device=make_device())
    assert chip(client) == "training"


def test_the_inbox_says_the_same_of_a_project(client: Client, project: Project) -> None:
    make_candidate(project, stage=Stage.SCREENING, effect=None)
    card = client.get("/").content.decode().partition('href="/projects/demo/"')[2]
    assert "at work</span>" in card and "idle</span>" not in card


def test_a_run_that_is_stuck_keeps_no_device_busy(project: Project) -> None:
    make_device()
    began = timezone.now() - timedelta(minutes=50)
    make_run(project.tip(), seed=50, started_at=began, finished_at=began + timedelta(seconds=60), train_seconds=60.0)
    before = Pace.of(project).busy
    make_run(project.tip(), seed=51, state=State.STUCK, started_at=began)
    assert before is not None and Pace.of(project).busy == pytest.approx(before, rel=0.01)
