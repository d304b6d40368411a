"""An MCP client and a plain HTTP client each propose, wait and read evidence, over real connections and a real loop."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from django.db import connection
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from research_app.home import CODE
from research_app.models import Candidate, Project
from tests.factories import make_user
from tests.outside import call, served, token_for
from tests.small_project import BETTER, WIDER, drain, small_project

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project() -> Project:
    return small_project()


@pytest.fixture
def site(project: Project) -> Iterator[str]:
    with served() as address:
        yield address


@pytest.fixture
def token(project: Project) -> str:
    return token_for(make_user("ada", role="operator"))


@pytest.fixture
def working(project: Project) -> Iterator[None]:
    """The loop's steps, run for as long as the test lasts."""
    done = threading.Event()

    def work() -> None:
        try:
            while not done.wait(0.1):
                drain()
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    done.set()
    thread.join()


def over_http(site: str, token: str) -> Callable[[], Any]:
    """How an MCP client reaches it over HTTP."""
    http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60)
    return lambda: streamable_http_client(f"{site}/mcp", http_client=http)


def over_stdio(site: str, token: str) -> Callable[[], Any]:
    """How an MCP client starts it on its own machine."""
    environment = {"SIGNOFF_TOKEN": token, "SIGNOFF_HOME": os.environ["SIGNOFF_HOME"], "PATH": os.environ["PATH"]}
    arguments = [str(CODE / "manage.py"), "mcp", "--url", site]
    return lambda: StdioServerParameters(command=sys.executable, args=arguments, env=environment)


def in_a_loop(work: Coroutine[Any, Any, Any]) -> Any:
    """Run it in a thread of its own: the browser of other tests keeps an event loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def research(server: Any, change: tuple[str, str]) -> dict[str, Any]:
    """What an agent does: look, propose, wait, read."""
    async with Client(server) as client:

        async def use(tool: str, **arguments: Any) -> Any:
            result = await client.call_tool(tool, arguments)
            assert not result.is_error, result.content
            return result.structured_content

        assert [row["project"] for row in (await use("list_projects"))["projects"]] == ["small"]
        source = await use("get_source", project="small")
        assert change[0] in source["files"]["train.py"]
        edits = [{"path": "train.py", "old": change[0], "new": change[1]}]
        entered = await use(
            "submit_candidate", project="small", hypothesis="It learns more", category="architecture", edits=edits
        )
        found = await use("wait_for_candidate", project="small", number=entered["number"], seconds=60)
        evidence = await use("get_evidence", project="small", number=entered["number"])
        refused = await client.call_tool("get_evidence", {"project": "small", "number": 99})
        assert refused.is_error
        return {"candidate": found, "evidence": evidence, "tools": [tool.name for tool in (await client.list_tools()).tools]}


@pytest.mark.parametrize("connect", [over_http, over_stdio])
def test_an_mcp_client_proposes_waits_and_reads_the_evidence(
    connect: Callable[[str, str], Callable[[], Any]], site: str, token: str, working: None
) -> None:
    found = in_a_loop(research_with(connect(site, token)))
    assert found["candidate"]["stage"] in ("ready", "shortlisted")
    assert found["evidence"]["verdict"] == "solid"
    assert Candidate.objects.get().author == "outsider"
    assert not [name for name in found["tools"] if "approve" in name or "land" in name or "vote" in name]


async def research_with(server: Callable[[], Any]) -> dict[str, Any]:
    """In the loop that the client's connections belong to."""
    return await research(server(), WIDER)


def test_a_plain_http_client_proposes_waits_and_reads_the_evidence(site: str, token: str, working: None) -> None:
    edit = {"path": "train.py", "old": BETTER[0], "new": BETTER[1]}
    body = {"hypothesis": "It learns faster", "category": "optimiser", "edits": [edit]}
    status, entered = call(f"{site}/api/v1/projects/small/candidates", token, body)
    assert status == 201, entered
    deadline = time.monotonic() + 60
    while not (found := call(entered["api"], token)[1])["idle"]:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    assert found["stage"] in ("ready", "shortlisted")
    assert call(f"{entered['api']}/evidence", token)[1]["verdict"] == "solid"


@pytest.mark.parametrize("sent", ["", "Bearer signoff_wrong", "Basic YTpi"])
def test_nobody_without_a_token_reaches_the_mcp_server(site: str, sent: str) -> None:
    headers = {"Authorization": sent} if sent else {}
    status, said = call(f"{site}/mcp", "", {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, **headers)
    assert (status, said["title"]) == (401, "Unauthorized")


def test_a_token_that_only_reads_submits_nothing_over_mcp(site: str, project: Project) -> None:
    token = token_for(make_user("vera", role="operator"), "read")

    async def attempt() -> Any:
        async with Client(over_http(site, token)()) as client:
            edit = {"path": "train.py", "old": BETTER[0], "new": BETTER[1]}
            arguments = {"project": "small", "hypothesis": "x", "category": "data", "edits": [edit]}
            return await client.call_tool("submit_candidate", arguments)

    result = in_a_loop(attempt())
    assert result.is_error
    assert "scope" in result.content[0].text
    assert not Candidate.objects.exists()


def test_the_same_change_submitted_again_over_mcp_is_the_same_candidate(site: str, token: str) -> None:
    async def submitted() -> list[Any]:
        async with Client(over_http(site, token)()) as client:
            edit = {"path": "train.py", "old": BETTER[0], "new": BETTER[1]}
            same = {"project": "small", "hypothesis": "x", "category": "data", "edits": [edit]}
            other = same | {"edits": [edit | {"new": f"{BETTER[1]}  # another"}]}
            return [await client.call_tool("submit_candidate", each) for each in (same, same, other)]

    first, again, other = (result.structured_content for result in in_a_loop(submitted()))
    assert first == again and Candidate.objects.filter(number=first["number"]).count() == 1
    assert Candidate.objects.count() <= 2 and other != first


def test_pages_are_served_beside_the_mcp_server(site: str) -> None:
    assert call(f"{site}/healthz")[0] in (200, 503)
    assert call(f"{site}/api/v1/nothing")[0] == 404
