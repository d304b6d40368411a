"""What the web server serves: the pages and the API, and the MCP server beside them."""

import os
from typing import cast

from django.core.asgi import get_asgi_application
from starlette.types import ASGIApp

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "research_app.settings")

pages = get_asgi_application()

from research_app.api.mcp_over_http import beside  # noqa: E402  Django must be set up first

application = beside(cast(ASGIApp, pages))
