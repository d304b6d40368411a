"""Signoff as an outside agent meets it: the whole ASGI application on a real port, over the database of the test."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import uvicorn
from django.contrib.auth.models import User
from django.test import override_settings
from starlette.types import ASGIApp

from research_app.door.known import is_known
from research_app.door.limits import Limited
from research_app.door.serve import configuration
from research_app.models import Project, Token


@contextmanager
def served() -> Iterator[str]:
    """The application on a free port, with pages, API and MCP behind the door's limits; its address."""
    from research_app.api.mcp_over_http import beside  # a session manager serves one server, so each test gets its own
    from research_app.asgi import pages

    limited = Limited(beside(cast(ASGIApp, pages)), is_known)
    with serving(limited) as address, override_settings(SITE_URL=address, ALLOWED_HOSTS=["127.0.0.1"]):
        yield address


@contextmanager
def serving(application: ASGIApp, lifespan: str = "on") -> Iterator[str]:
    """Any application on a free port, behind the door's protocol; its address."""
    server = uvicorn.Server(configuration(application, port=0, log_level="warning", lifespan=lifespan))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
        assert thread.is_alive(), "the server did not start"
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def token_for(user: User, *scopes: str, projects: Sequence[Project] = ()) -> str:
    """A token's text; of some projects alone, or of all."""
    return Token.make(user, "outsider", list(scopes or ("read", "submit")), 1, projects)[1]


def call(url: str, token: str = "", body: Any = None, method: str = "", **headers: str) -> tuple[int, Any]:
    """A plain HTTP call: status and JSON."""
    request = urllib.request.Request(
        url, json.dumps(body).encode() if body is not None else None, headers, method=method or None
    )
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
