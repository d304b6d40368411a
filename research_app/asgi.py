"""What the web server serves: the pages and the API, and the MCP server beside them, behind the limits of the door."""

import os
import sys
import warnings
from typing import cast

from django.core.asgi import get_asgi_application
from starlette.types import ASGIApp

from research_app.environment import BadEnvironment
from training.registry import BrokenVariant

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "research_app.settings")

try:
    pages = get_asgi_application()
except (BadEnvironment, BrokenVariant) as error:
    sys.exit(str(error))

from research_app.api.mcp_over_http import beside
from research_app.door.known import is_known
from research_app.door.limits import Limited

application = Limited(beside(cast(ASGIApp, pages)), is_known)
# Whitenoise hands out small local files piece by piece; read at once, as Django then does, they hold nobody up.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")
