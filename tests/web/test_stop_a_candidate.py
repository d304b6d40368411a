"""A person stops a candidate that devices work on, with a reason; it is audited, and can be brought back to its step."""

import pytest
from django.test import Client

from research_app.models import Candidate, Event, Project, Run, Stage, State
from tests.factories import make_candidate, make_run, make_user
from training.spec import Outcome

pytestmark = pytest.mark.django_db
DESK = "/projects/demo/candidates/1/"


def training(project: Project) -> Candidate:
    candidate = make_candidate(project, stage=Stage.SCREENING, effect=None)
    make_run(project.tip(), patch_set=candidate.patch_set, state=State.RUNNING, progress=0.4)
    return candidate


def test_its_runs_end_it_says_who_and_why_and_it_comes_back_to_its_step(client: Client, project: Project) -> None:
    candidate = training(project)
    assert "Stop its runs" in client.get(DESK).content.decode()
    assert client.post(f"{DESK}stop/", {"reason": "It hogs the box"}).status_code == 302
    candidate.refresh_from_db()
    run = Run.objects.get(patch_set=candidate.patch_set)
    assert (run.state, run.outcome, run.reason) == (State.FINISHED, Outcome.cancelled, "Stopped by ada: It hogs the box")
    assert (candidate.stage, candidate.why) == (Stage.CRASHED, "Stopped by ada: It hogs the box")
    told = [event for event in Event.objects.about(candidate) if "It hogs the box" in str(event.data)]
    assert [event.actor for event in told] == ["ada"]
    page = client.get(DESK).content.decode()
    assert "Train it again" in page and "Stop its runs" not in page
    assert client.post(f"{DESK}retry/").status_code == 302
    candidate.refresh_from_db()
    run.refresh_from_db()
    assert (candidate.stage, run.state, run.outcome) == (Stage.SCREENING, State.QUEUED, "")


def test_without_a_reason_a_role_or_anything_under_way_nothing_is_stopped(client: Client, project: Project) -> None:
    training(project)
    refused = client.post(f"{DESK}stop/", {"reason": " "})
    assert refused.status_code == 422 and "Say why it is stopped" in refused.content.decode()
    viewer = Client()
    viewer.force_login(make_user("eve", role="viewer"))
    assert viewer.post(f"{DESK}stop/", {"reason": "Because"}).status_code == 403
    assert "Stop its runs" not in viewer.get(DESK).content.decode()
    assert Candidate.objects.get(number=1).stage == Stage.SCREENING
    make_candidate(project, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")])
    ready = client.post("/projects/demo/candidates/2/stop/", {"reason": "Because"})
    assert ready.status_code == 422 and "there is nothing to stop" in ready.content.decode()
