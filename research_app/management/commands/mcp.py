"""`manage.py mcp`: the MCP server over stdio, for an agent on this machine; it calls a Signoff anywhere with your token."""

from argparse import ArgumentParser
from typing import Any

import httpx2
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from research_app import environment
from research_app.api.mcp_server import make_server


class Command(BaseCommand):
    help = "Serve the API to an MCP client over standard input and output. Requires SIGNOFF_TOKEN."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default=settings.SITE_URL, help="address of the Signoff server")

    def handle(self, *args: Any, **options: Any) -> None:
        token = environment.read().SIGNOFF_TOKEN.get_secret_value()
        if not token:
            raise CommandError("Set SIGNOFF_TOKEN to an access token; they are made in Signoff under Access tokens.")
        headers = {"Authorization": f"Bearer {token}"}
        make_server(lambda _: httpx2.AsyncClient(base_url=options["url"], headers=headers)).run("stdio")
