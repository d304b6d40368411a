"""The MCP server over streamable HTTP, at /mcp, in the process that serves the pages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from asgiref.sync import sync_to_async
from django.conf import settings
from mcp.server.mcpserver import Context
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from research_app.api.mcp_server import make_server
from research_app.api.problems import unauthorised
from research_app.models import Token

PATHS = ("/mcp", "/mcp/")  # the same: a client that is led elsewhere would drop its token


def beside(pages: ASGIApp) -> ASGIApp:
    """One application: MCP at its path, everything else to the pages."""

    def connect(context: Context) -> httpx2.AsyncClient:
        """A client of our own API, without a network, that carries the caller's token."""
        sent = (context.headers or {}).get("authorization", "")
        inside = httpx2.ASGITransport(app=pages, raise_app_exceptions=False)
        return httpx2.AsyncClient(transport=inside, base_url=settings.SITE_URL, headers={"Authorization": sent})

    server = make_server(connect)
    hosts = [host for name in settings.ALLOWED_HOSTS for host in (name, f"{name}:*")]
    origins = [f"{scheme}://{host}" for host in hosts for scheme in ("http", "https")]
    security = TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=origins)
    # Without sessions any process answers any request, and nothing is lost when one restarts.
    tools = server.streamable_http_app(
        streamable_http_path="/", stateless_http=True, json_response=True, transport_security=security
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with server.session_manager.run():
            yield

    guarded = WithToken(tools)

    life = Starlette(lifespan=lifespan)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await life(scope, receive, send)
        elif scope.get("path") in PATHS:
            await guarded({**scope, "path": "/", "root_path": ""}, receive, send)
        else:
            await pages(scope, receive, send)

    return application


class WithToken:
    """Nobody without a valid token reaches the server; what the token may do is for the API to say."""

    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers") or [])
        kind, _, text = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scope["type"] == "http" and (kind.lower() != "bearer" or await sync_to_async(Token.find)(text.strip()) is None):
            refused = unauthorised()
            fields = [(name.lower().encode(), value.encode()) for name, value in refused.items()]
            await send({"type": "http.response.start", "status": refused.status_code, "headers": fields})
            await send({"type": "http.response.body", "body": refused.content})
            return
        await self.inner(scope, receive, send)
