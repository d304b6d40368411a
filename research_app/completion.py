"""What a shell may complete: commands, their verbs and options, projects.

eval "$(register-python-argcomplete signoff)"      # in bash; in zsh after `autoload -U bashcompinit; bashcompinit`
"""

import os
import pkgutil
from argparse import ArgumentParser
from typing import Any

import argcomplete
import django
from django.core.management import get_commands, load_command_class

from research_app.management import commands

DJANGOS = ("changepassword", "createsuperuser", "dbshell", "migrate", "shell")  # what operators need of Django's own


def complete() -> None:
    """Answer the shell and end this process."""
    argcomplete.autocomplete(parser_for(os.environ.get("COMP_LINE", "").split()[1:]))


def parser_for(words: list[str]) -> ArgumentParser:
    """All commands by name, and the options of the one that was typed: the others are not imported, which takes seconds."""
    parser = ArgumentParser(prog="signoff")
    names = parser.add_subparsers()
    for name in (*(module.name for module in pkgutil.iter_modules(commands.__path__)), *DJANGOS):
        if name not in words[:1]:
            names.add_parser(name)
            continue
        django.setup()
        command = load_command_class(get_commands()[name], name).create_parser("signoff", name)
        name_projects(command, also="name" if name == "project" else "")
        names.add_parser(name, parents=[command], add_help=False, conflict_handler="resolve")
    return parser


def name_projects(parser: ArgumentParser, also: str = "") -> None:
    """Complete projects wherever a command asks for one, as `project` or by another name, in all of its verbs."""
    for action in parser._actions:  # argparse has no other way to them
        if action.dest in ("project", also):
            action.completer = projects  # type: ignore[attr-defined]
        elif isinstance(action.choices, dict):
            for verb in action.choices.values():
                name_projects(verb, also)


def projects(**_: Any) -> list[str]:
    """The names of all projects; none before the first start."""
    from django.db import DatabaseError

    from research_app.models import Project

    try:
        return list(Project.objects.values_list("slug", flat=True))
    except DatabaseError:
        return []
