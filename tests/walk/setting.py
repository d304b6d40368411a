"""The installation before it starts: tables, one person of each role, and the projects. Works for older trees too."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.installation import Installation
from tests.walk.projects import Project

INSIDE = Path(__file__).parent / "inside"
SCRIPT = """
import io, json, sys
import django
django.setup()
from django.core.management import call_command
told = json.load(sys.stdin)
call_command("migrate", interactive=False, verbosity=0)
links = {}
for role in told["roles"]:
    out = io.StringIO()
    call_command("person", "create", role, "--role", role, stdout=out)
    links[role] = out.getvalue()
for words in told["projects"]:
    call_command("project", "create", *words, stdout=io.StringIO())
print(json.dumps(links))
"""


def installation(tree: Path, home: Path, **environment: str) -> Installation:
    """A Signoff of some tree in a home of its own, with the probe around its requests."""
    path = {"PYTHONPATH": str(INSIDE), "DJANGO_SETTINGS_MODULE": "walk_settings", "PYTHONDONTWRITEBYTECODE": "1"}
    signoff = Installation(home, **path, **environment)
    signoff.code, signoff.slowness = tree, 30.0
    return signoff


def set_up(signoff: Installation, roles: Sequence[str], projects: Sequence[Project], folder: Path) -> Mapping[str, str]:
    """Make the tables, the people and the projects; a sign-in link for each role. Raises RuntimeError with what went wrong."""
    wanted = {"roles": roles, "projects": [project.make(folder) for project in projects]}
    environment = signoff.environment | {"PYTHONPATH": f"{INSIDE}:{signoff.code}"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=signoff.code,
        env=environment,
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"the installation could not be set up: {done.stderr[-2000:]}")
    links = json.loads(done.stdout.splitlines()[-1])
    return {role: re.search(r"http\S+/sign-in/\S+", said)[0] for role, said in links.items()}
