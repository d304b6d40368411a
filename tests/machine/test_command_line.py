"""The command line as a shell meets it: its version, and what it completes."""

import os
import subprocess
import sys
import tomllib

import pytest

from research_app.completion import parser_for, projects
from research_app.home import CODE
from research_app.version import VERSION
from tests.factories import make_project


def completions(line: str) -> list[str]:
    """What the shell is offered at the end of a line."""
    told = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9"}
    read, write = os.pipe()
    try:
        command = ["bash", "-c", f'exec "$@" 8>&{write} 9>/dev/null', "-", sys.executable, str(CODE / "manage.py")]
        subprocess.run(command, env={**os.environ, **told}, pass_fds=[write], check=True, stdout=subprocess.DEVNULL)
    finally:
        os.close(write)
    with os.fdopen(read) as answer:
        return [word.strip() for word in answer.read().split("\n") if word.strip()]


def test_commands_verbs_and_options_are_completed() -> None:
    assert "project" in completions("signoff proj")
    assert {"create", "pause", "list"} <= set(completions("signoff project "))
    assert "--hypothesis" in completions("signoff candidate submit --hyp")


def test_no_command_is_imported_for_completing_its_name() -> None:
    code = "import sys; from research_app.completion import parser_for as p; p([]); print('django.contrib.auth' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=CODE, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.django_db
def test_projects_are_completed_wherever_one_is_asked_for() -> None:
    make_project("demo")
    assert projects() == ["demo"]
    for words in (["candidate"], ["project"], ["loop"]):
        assert "projects" in str(completers(parser_for(words)))


def completers(parser: object) -> list[object]:
    """Every completer of a parser and of those below it."""
    found = []
    for action in parser._actions:  # type: ignore[attr-defined]
        found += [action.completer] if hasattr(action, "completer") else []
        if isinstance(action.choices, dict):
            found += [each for below in action.choices.values() for each in completers(below)]
    return found


def test_the_version_is_one_wherever_it_is_asked() -> None:
    done = subprocess.run([sys.executable, str(CODE / "manage.py"), "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"Signoff {VERSION}\n"
    project = tomllib.loads((CODE / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "research_app.version.VERSION"}
    assert project["project"]["scripts"] == {"signoff": "research_app.command_line:main"}
