"""What a token reaches: token × verb × whose candidate × which project, at every address of the API, of git and of MCP."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from mcp import Client as McpClient

from research_app.api.application import api
from research_app.models import Candidate, Event, Project, Run, Stage, Token
from tests.api.test_api_from_outside import in_a_loop, over_http
from tests.api.test_api_git_push import Clone, git
from tests.factories import make_candidate, make_project, make_user
from tests.outside import served, token_for

pytestmark = pytest.mark.django_db(transaction=True)
EDIT = {"path": "train.py", "old": "WARMUP = 0.05", "new": "WARMUP = 0.01"}
BODIES: dict[str, dict[str, Any]] = {
    "submit_candidate": {"hypothesis": "Shorter", "category": "schedule", "edits": [EDIT]},
    "revise_candidate": {"message": "Shorter", "edits": [EDIT]},
}
OPERATIONS = [
    (path, method, operation["operationId"])
    for path, found in api.get_openapi_schema()["paths"].items()
    for method, operation in found.items()
]


TOOLS = (
    "list_projects", "get_source", "get_history", "get_log", "get_series", "submit_candidate", "revise_candidate",
    "get_candidate", "wait_for_candidate", "get_evidence", "get_diff", "get_comments", "get_runs",
)  # fmt: skip


@dataclass
class World:
    """Two projects, two people with a discarded candidate each in both, and tokens of the first person."""

    mine: Project
    other: Project
    ada: User
    grace: User
    candidates: dict[tuple[str, str], Candidate]

    def address(self, path: str, project: Project, whose: str) -> str:
        candidate = self.candidates[project.slug, whose]
        run = Run.objects.filter(patch_set=candidate.patch_set).latest("pk")
        return path.format(slug=project.slug, number=candidate.number, run=run.pk)


@pytest.fixture
def world() -> World:
    ada, grace = make_user("ada", role="operator"), make_user("grace", role="operator")
    mine, other = make_project("mine"), make_project("other")
    candidates = {}
    for project in (mine, other):
        for person, width in ((ada, 64), (grace, 48), (None, 32)):
            edits = [("train.py", "WIDTH = 96", f"WIDTH = {width}")]
            name = person.username if person else "nobody"
            made = make_candidate(project, edits=edits, stage=Stage.DROPPED, submitted_by=person)
            candidates[project.slug, name] = made
    return World(mine, other, ada, grace, candidates)


def client_with(text: str) -> Client:
    return Client(headers={"authorization": f"Bearer {text}"})


def asked(client: Client, world: World, operation: tuple[str, str, str], project: Project, whose: str) -> int:
    path, method, name = operation
    body = json.dumps(BODIES.get(name, {})) if method == "post" else ""
    answer = client.generic(method.upper(), world.address(path, project, whose), body, "application/json")
    return answer.status_code


@pytest.mark.parametrize("operation", OPERATIONS, ids=[name for *_, name in OPERATIONS])
def test_every_endpoint_reaches_the_tokens_projects_and_no_other(world: World, operation: tuple[str, str, str]) -> None:
    everywhere, here = client_with(token_for(world.ada)), client_with(token_for(world.ada, projects=[world.mine]))
    good = 201 if operation[1] == "post" else 200
    assert asked(here, world, operation, world.mine, "ada") == good
    assert asked(everywhere, world, operation, world.other, "ada") == good
    in_the_other = asked(here, world, operation, world.other, "ada")
    assert in_the_other == (200 if operation[2] == "list_projects" else 404)


def test_projects_out_of_reach_are_not_listed(world: World) -> None:
    here = client_with(token_for(world.ada, projects=[world.mine]))
    assert [row["project"] for row in here.get("/api/v1/projects").json()] == ["mine"]


def test_a_number_of_one_project_opens_nothing_of_another(world: World) -> None:
    """The run is of the other project, the address of the token's own."""
    here = client_with(token_for(world.ada, projects=[world.mine]))
    run = Run.objects.filter(project=world.other).latest("pk")
    assert here.get(f"/api/v1/projects/mine/runs/{run.pk}").status_code == 404
    assert here.get(f"/api/v1/projects/mine/runs/{run.pk}/log").status_code == 404


@pytest.mark.parametrize("operation", OPERATIONS, ids=[name for *_, name in OPERATIONS])
@pytest.mark.parametrize("whose", ["ada", "grace", "nobody"])
def test_everything_of_others_can_be_read_and_nothing_of_theirs_revised(
    world: World, operation: tuple[str, str, str], whose: str
) -> None:
    status = asked(client_with(token_for(world.ada)), world, operation, world.mine, whose)
    if operation[2] == "revise_candidate":
        assert status == (201 if whose == "ada" else 403)
    else:
        assert status == (201 if operation[1] == "post" else 200)


def test_a_refused_revision_says_why_and_changes_nothing(world: World) -> None:
    hers = world.candidates["mine", "grace"]
    client = client_with(token_for(world.ada))
    path = f"/api/v1/projects/mine/candidates/{hers.number}/patch-sets"
    answer = client.post(path, json.dumps(BODIES["revise_candidate"]), content_type="application/json")
    assert "not submitted by ada" in answer.json()["detail"]
    hers.refresh_from_db()
    assert (hers.stage, hers.patch_sets.count()) == (Stage.DROPPED, 1)


@pytest.mark.parametrize(("whose", "taken"), [("ada", True), ("grace", False), ("nobody", False)])
def test_a_push_revises_the_tokens_own_persons_candidate_alone(world: World, tmp_path: Path, whose: str, taken: bool) -> None:
    candidate = world.candidates["mine", whose]
    with served() as site:
        clone = Clone(tmp_path, site, token_for(world.ada), "mine")
        clone.edit("WARMUP = 0.05", "WARMUP = 0.01", f"Shorter\n\nCandidate: {candidate}")
        pushed = clone.push()
    candidate.refresh_from_db()
    assert (pushed.returncode == 0) is taken, pushed.stderr
    assert (candidate.stage == Stage.PROPOSED) is taken
    assert taken or "not submitted by ada" in pushed.stderr


def test_git_reaches_the_tokens_projects_and_no_other(world: World, tmp_path: Path) -> None:
    text = token_for(world.ada, projects=[world.mine])
    client = client_with(text)
    for service in ("git-upload-pack", "git-receive-pack"):
        assert client.get(f"/git/mine.git/info/refs?service={service}").status_code == 200
        assert client.get(f"/git/other.git/info/refs?service={service}").status_code == 404
        kind = f"application/x-{service}-request"
        assert client.post(f"/git/other.git/{service}", b"0000", content_type=kind).status_code == 404
    with served() as site:
        address = site.replace("://", f"://agent:{text}@")
        assert git(tmp_path, "clone", "--quiet", f"{address}/git/other.git", "x", check=False).returncode != 0


def test_mcp_reaches_the_tokens_projects_and_no_other(world: World) -> None:
    text = token_for(world.ada, projects=[world.mine])
    made = {(tool, project.slug): arguments(world, tool, project) for tool in TOOLS for project in (world.mine, world.other)}

    async def use(site: str) -> dict[str, dict[str, bool]]:
        async with McpClient(over_http(site, text)()) as client:
            found: dict[str, dict[str, bool]] = {}
            tools = (await client.list_tools()).tools
            for tool in sorted(tools, key=lambda tool: tool.name == "revise_candidate"):  # it takes the evidence away
                found[tool.name] = {}
                for slug in ("mine", "other"):
                    result = await client.call_tool(tool.name, made[tool.name, slug])
                    found[tool.name][slug] = not result.is_error
            return found

    with served() as site:
        found = in_a_loop(use(site))
    assert {name: reached["mine"] for name, reached in found.items()} == dict.fromkeys(found, True)
    assert [name for name, reached in found.items() if reached["other"]] == ["list_projects"]


def arguments(world: World, tool: str, project: Project) -> dict[str, Any]:
    """What a tool wants, about the first person's candidate."""
    candidate = world.candidates[project.slug, "ada"]
    run = Run.objects.filter(patch_set=candidate.patch_set).latest("pk")
    wanted: dict[str, Callable[[], dict[str, Any]]] = {
        "list_projects": dict,
        "get_log": lambda: {"run": run.pk},
        "get_series": lambda: {"run": run.pk},
        "get_source": dict,
        "get_history": dict,
        "submit_candidate": lambda: BODIES["submit_candidate"],
    }
    more = wanted.get(tool, lambda: {"number": candidate.number})()
    more = more | (BODIES["revise_candidate"] if tool == "revise_candidate" else {})
    more = more | ({"seconds": 0} if tool == "wait_for_candidate" else {})
    return more if tool == "list_projects" else {"project": project.slug, **more}


def test_a_token_of_some_projects_is_made_on_its_page_and_the_log_names_them(world: World) -> None:
    client = Client()
    client.force_login(world.ada)
    form = {"name": "narrow", "scope": ["read"], "days": "7", "project": ["mine"]}
    assert client.post("/settings/tokens/", form).status_code == 200
    token = Token.objects.get(name="narrow")
    assert [project.slug for project in token.reach()] == ["mine"]
    assert Event.objects.get(kind="token made", subject_id=token.pk).data["projects"] == ["mine"]
    refused = client.post("/settings/tokens/", form | {"name": "x", "project": ["mine", "gone"]})
    assert refused.status_code == 422 and not Token.objects.filter(name="x").exists()
    assert "There is no project gone" in refused.content.decode()


def test_a_token_of_some_projects_reaches_none_when_they_are_taken_from_it(world: World) -> None:
    token, _ = Token.make(world.ada, "narrow", ["read"], 1, [world.mine])
    token.projects.clear()
    assert not token.reach().exists()
