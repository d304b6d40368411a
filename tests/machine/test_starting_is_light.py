"""What is slow to import is imported by those who use it: pages and commands start without it."""

import subprocess
import sys

import pytest

from research_app.home import CODE

SLOW = {"torch", "anthropic", "plotly", "pandas", "libcst", "matplotlib"}
SLOW_FOR_MODELS = SLOW | {"scipy.stats", "training.detectors"}
STARTED = "import django, sys; django.setup(); import research_app.urls, research_app.asgi; print(*sys.modules)"


@pytest.mark.parametrize(
    "started", [STARTED, STARTED.replace("research_app.urls, research_app.asgi", "research_app.loop.tasks")]
)
def test_pages_and_workers_start_without_what_only_some_of_them_need(started: str) -> None:
    command = [sys.executable, "-c", started]
    environment = {"DJANGO_SETTINGS_MODULE": "research_app.settings", "PATH": "/usr/bin:/bin"}
    modules = subprocess.run(command, cwd=CODE, env=environment, capture_output=True, text=True, check=True).stdout.split()
    assert "django.db" in modules
    assert SLOW.isdisjoint(modules)


def test_the_nouns_are_read_without_the_statistics_of_detectors_and_guards() -> None:
    command = [sys.executable, "-c", "import django, sys; django.setup(); print(*sys.modules)"]
    environment = {"DJANGO_SETTINGS_MODULE": "research_app.settings", "PATH": "/usr/bin:/bin"}
    modules = subprocess.run(command, cwd=CODE, env=environment, capture_output=True, text=True, check=True).stdout.split()
    assert "research_app.models" in modules
    assert SLOW_FOR_MODELS.isdisjoint(modules)
