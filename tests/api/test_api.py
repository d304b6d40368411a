"""The HTTP API as an outside agent uses it: what it answers, what it refuses and how it says so."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from research_app.api import auth
from research_app.api.application import api
from research_app.models import Candidate, Event, Project, Run, Stage, Token, Verdict
from tests.factories import SIGMA, make_candidate, make_user

pytestmark = pytest.mark.django_db
EDIT = {"path": "train.py", "old": "WARMUP = 0.05", "new": "WARMUP = 0.01"}
PROPOSAL = {"hypothesis": "A shorter warm-up is enough", "category": "schedule", "edits": [EDIT]}


class Agent:
    """A client with a token."""

    def __init__(self, *scopes: str, role: str = "operator", name: str = "ada") -> None:
        self.user = make_user(name, role=role)
        self.token, text = Token.make(self.user, "claude-code", list(scopes or ("read", "submit")), 30)
        self.client = Client(headers={"authorization": f"Bearer {text}"})

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"/api/v1{path}", query)

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self.client.post(f"/api/v1{path}", json.dumps(body), content_type="application/json", headers=headers)


@pytest.fixture
def agent() -> Agent:
    return Agent()


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json"), answer.content
    return dict(answer.json())


def test_a_project_says_what_is_measured_and_what_may_be_edited(agent: Agent, project: Project) -> None:
    (found,) = agent.get("/projects").json()
    assert found == agent.get("/projects/demo").json()
    assert (found["metric"], found["better"], found["editable"]) == ("bits per byte", "lower", ["train.py"])
    assert found["baseline_commit"] == project.tip().commit


def test_the_source_is_what_may_be_edited_and_the_program(agent: Agent, project: Project) -> None:
    found = agent.get("/projects/demo/source").json()
    assert list(found["files"]) == ["train.py"]
    assert found["program"].startswith("# Make the score better")


def test_a_submitted_change_is_a_candidate_under_the_agents_name(agent: Agent, project: Project) -> None:
    answer = agent.post("/projects/demo/candidates", PROPOSAL)
    assert answer.status_code == 201, answer.content
    candidate = Candidate.objects.get(number=answer.json()["number"])
    assert (candidate.author, candidate.author_kind, candidate.submitted_by) == ("claude-code", "agent", agent.user)
    assert candidate.stage == Stage.PROPOSED
    assert agent.get(f"/projects/demo/candidates/{candidate.number}").json()["stage"] == "proposed"


def test_a_patch_is_taken_as_well(agent: Agent, project: Project) -> None:
    patch = make_candidate(project, edits=[("train.py", "WIDTH = 96", "WIDTH = 64")]).revision.diff
    other = patch.replace("WIDTH = 64", "WIDTH = 32")
    answer = agent.post("/projects/demo/candidates", PROPOSAL | {"edits": [], "patch": other})
    assert answer.status_code == 201, answer.content


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"edits": []}, "either `edits` or `patch`"),
        ({"patch": "diff"}, "either `edits` or `patch`"),
        ({"category": "magic"}, "Input should be"),
        ({"hypothesis": "  "}, "pattern"),
        ({"edits": [EDIT | {"old": "NOT THERE"}]}, "train.py"),
        ({"edits": [EDIT | {"path": "prepare.py", "old": "BUDGET = 5e11"}]}, "prepare.py"),
        ({"edits": [EDIT | {"path": "../outside.py", "old": ""}]}, "outside"),
        ({"edits": [], "patch": "not a patch"}, "patch"),
    ],
)
def test_a_bad_submission_is_refused_with_the_reason_and_leaves_nothing(
    agent: Agent, project: Project, wrong: dict[str, Any], says: str
) -> None:
    said = problem(agent.post("/projects/demo/candidates", PROPOSAL | wrong), 422)
    assert says in said["detail"] + json.dumps(said["errors"])
    assert not Candidate.objects.exists()


def test_a_body_that_is_not_json_is_a_problem_too(agent: Agent, project: Project) -> None:
    answer = agent.client.post("/api/v1/projects/demo/candidates", "{", content_type="application/json")
    problem(answer, 400)


def test_the_same_idempotency_key_submits_once_and_is_answered_the_same(agent: Agent, project: Project) -> None:
    first = agent.post("/projects/demo/candidates", PROPOSAL, **{"Idempotency-Key": "one"})
    again = agent.post("/projects/demo/candidates", PROPOSAL, **{"Idempotency-Key": "one"})
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert Candidate.objects.count() == 1


def test_an_idempotency_key_of_another_request_is_refused(agent: Agent, project: Project) -> None:
    agent.post("/projects/demo/candidates", PROPOSAL, **{"Idempotency-Key": "one"})
    other = PROPOSAL | {"edits": [EDIT | {"new": "WARMUP = 0.03"}]}
    said = problem(agent.post("/projects/demo/candidates", other, **{"Idempotency-Key": "one"}), 422)
    assert "another request" in said["detail"]


def test_a_refused_request_leaves_its_key_free(agent: Agent, project: Project) -> None:
    problem(
        agent.post("/projects/demo/candidates", PROPOSAL | {"edits": [EDIT | {"old": "NO"}]}, **{"Idempotency-Key": "k"}), 422
    )
    assert agent.post("/projects/demo/candidates", PROPOSAL, **{"Idempotency-Key": "k"}).status_code == 201


def test_scores_and_effects_are_told_to_half_a_sigma_and_nothing_of_the_hidden_shard(agent: Agent, project: Project) -> None:
    candidate = make_candidate(project, effect=0.0123456, runs=3, verdict=Verdict.SOLID)
    noise = project.noise()
    assert noise and candidate.evidence
    step = noise.sigma / 2
    evidence = agent.get(f"/projects/demo/candidates/{candidate.number}/evidence")
    for name in ("effect", "low", "high"):
        told = evidence.json()[name]
        assert told == pytest.approx(round(told / step) * step)
    runs = agent.get(f"/projects/demo/candidates/{candidate.number}/runs")
    assert {run["score"] for run in runs.json()["items"]} == {None}
    reference_run = agent.get(f"/projects/demo/runs/{Run.objects.of_baseline().latest('pk').pk}").json()
    assert reference_run["score"] == pytest.approx(round(reference_run["score"] / step) * step)
    exact = [f"{run.score!r}"[:9] for run in Run.objects.filter(patch_set=candidate.patch_set)]
    hidden = [f"{run.hidden_score!r}"[:9] for run in Run.objects.exclude(hidden_score=None)]
    text = evidence.content.decode() + runs.content.decode() + agent.get("/projects/demo/history").content.decode()
    assert hidden
    assert not [figure for figure in exact + hidden if figure in text]
    assert SIGMA > 0


def test_the_history_comes_a_page_at_a_time_and_loses_nothing(agent: Agent, project: Project) -> None:
    for warmup in range(5):
        make_candidate(project, edits=[("train.py", "WARMUP = 0.05", f"WARMUP = 0.5{warmup}")])
    seen: list[int] = []
    before: int | None = None
    while True:
        page = agent.get("/projects/demo/history", limit=2, **({"before": before} if before else {})).json()
        seen += [row["number"] for row in page["items"]]
        before = page["before"]
        if before is None:
            break
    assert seen == [5, 4, 3, 2, 1]


def test_runs_have_logs_and_curves(agent: Agent, project: Project) -> None:
    candidate = make_candidate(project)
    run = Run.objects.filter(patch_set=candidate.patch_set).first()
    assert run
    assert agent.get(f"/projects/demo/runs/{run.pk}").json()["id"] == run.pk
    assert isinstance(agent.get(f"/projects/demo/runs/{run.pk}/log").json()["text"], str)
    series = agent.get(f"/projects/demo/runs/{run.pk}/series", name="train_loss").json()["series"]
    assert list(series) == ["train_loss"]
    assert len(series["train_loss"]["steps"]) == len(series["train_loss"]["values"]) > 10


def test_a_discarded_candidate_gets_its_next_patch_set_over_the_api(agent: Agent, project: Project) -> None:
    candidate = make_candidate(project, stage=Stage.DROPPED, submitted_by=agent.user)
    body = {"edits": [EDIT | {"new": "WARMUP = 0.08"}], "message": "the other way"}
    answer = agent.post(f"/projects/demo/candidates/{candidate.number}/patch-sets", body)
    assert answer.status_code == 201, answer.content
    candidate.refresh_from_db()
    assert candidate.stage == Stage.PROPOSED
    problem(agent.post(f"/projects/demo/candidates/{candidate.number}/patch-sets", body), 409)


def test_what_is_not_there_is_a_problem_and_not_a_page(agent: Agent, project: Project) -> None:
    for path in ("/projects/none", "/projects/demo/candidates/99", "/projects/demo/runs/999999", "/nothing/at/all"):
        problem(agent.get(path), 404)
    problem(agent.get(f"/projects/demo/candidates/{make_candidate(project, effect=None).number}/evidence"), 404)


def all_endpoints() -> list[tuple[str, str, dict[str, Any]]]:
    paths = api.get_openapi_schema()["paths"]
    return [(path, method, operation) for path, found in paths.items() for method, operation in found.items()]


@pytest.mark.parametrize(("path", "method", "operation"), all_endpoints(), ids=lambda value: str(value)[:60])
def test_no_endpoint_answers_without_a_token_or_without_its_scope(
    path: str, method: str, operation: dict[str, Any], project: Project
) -> None:
    address = path.format(slug="demo", number=make_candidate(project).number, run=Run.objects.first().pk)  # type: ignore[union-attr]
    wrong = Agent("submit") if method == "get" else Agent("read")
    for client, status in ((Client(), 401), (wrong.client, 403), (Client(headers={"authorization": "Bearer signoff_no"}), 401)):
        problem(client.generic(method.upper(), address, json.dumps(PROPOSAL), "application/json"), status)


def test_a_signed_in_persons_session_opens_no_endpoint(project: Project) -> None:
    client = Client()
    client.force_login(make_user("grace"))
    problem(client.get("/api/v1/projects"), 401)


def test_no_endpoint_votes_or_lands() -> None:
    words = " ".join(f"{path} {operation['operationId']}" for path, _, operation in all_endpoints())
    assert not [word for word in ("approve", "reject", "vote", "land", "shortlist", "pause", "scale") if word in words]


def test_a_token_stops_working_when_it_expires_is_revoked_or_its_person_is_switched_off(project: Project) -> None:
    expired, revoked, gone = Agent(name="a"), Agent(name="b"), Agent(name="c")
    Token.objects.filter(pk=expired.token.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    revoked.token.revoke("ada")
    gone.user.is_active = False
    gone.user.save()
    for agent in (expired, revoked, gone):
        assert "WWW-Authenticate" in agent.get("/projects").headers
        problem(agent.get("/projects"), 401)


def test_a_viewers_token_submits_nothing(project: Project) -> None:
    said = problem(Agent(role="viewer", name="vera").post("/projects/demo/candidates", PROPOSAL), 403)
    assert "operator" in said["detail"]


def test_only_the_hash_of_a_token_is_kept_and_events_tell_of_it_without_it(project: Project) -> None:
    user = make_user("grace")
    row, text = Token.make(user, "x", ["read"], 1)
    stored = json.dumps([list(Token.objects.values_list()), list(Event.objects.values_list("data", flat=True))], default=str)
    assert text not in stored
    assert text.removeprefix(row.begins) not in stored
    assert Event.objects.filter(kind="token made").count() == 1


def test_too_many_requests_are_told_when_to_come_back(agent: Agent, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth.READING, "most", 3)
    monkeypatch.setattr(auth, "MINUTE", 10**9)  # no next minute begins in between
    answers = [agent.get("/projects") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert int(answers[-1]["Retry-After"]) >= 1
    problem(answers[-1], 429)
