"""The product's settings with a probe around every request. This folder is on the path of the Signoff that is walked."""

from research_app.settings import *  # noqa: F403
from research_app.settings import MIDDLEWARE

MIDDLEWARE = ["walk_probe.Probe", *MIDDLEWARE]
