"""`python -m research_app.door.serve --fd N`: the web server, on a socket that the supervisor holds."""

from __future__ import annotations

import logging
import os
import sys
from argparse import ArgumentParser
from typing import Any

import uvicorn
from django.conf import settings

from research_app.door.connections import GuardedProtocol, make_room, register
from research_app.door.limits import LARGEST_HEAD, LONGEST_QUERY
from research_app.environment import BadEnvironment

KEEP_ALIVE = 5  # seconds between two requests of a connection
GRACE = 3  # seconds for requests at work, when the server is stopped

logger = logging.getLogger(__name__)


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="the listening socket")
    fd = parser.parse_args().fd
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "research_app.settings")
    most = make_room()
    logging.getLogger("uvicorn.error").setLevel(logging.INFO)
    try:
        server = uvicorn.Server(configuration("research_app.asgi:application", fd=fd, log_level="info"))
    except BadEnvironment as error:
        sys.exit(str(error))
    logger.info("at most %s connections", most)
    server.run()


def configuration(application: Any, **options: Any) -> uvicorn.Config:
    """uvicorn's settings, with the limits of the door."""
    trusted = [str(network) for network in settings.PROXIES]
    register.proxies = settings.PROXIES
    return uvicorn.Config(
        application,
        **{"lifespan": "on", **options},
        http=GuardedProtocol,
        ws="none",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        h11_max_incomplete_event_size=LARGEST_HEAD + LONGEST_QUERY,
        # Off unless somebody says who may be believed: otherwise anybody on this host could name any address as its own.
        proxy_headers=bool(trusted),
        forwarded_allow_ips=trusted or None,
    )


if __name__ == "__main__":
    main()
