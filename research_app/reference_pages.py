"""Pages of docs/reference/ that the code writes: commands, events and operations (`python -m research_app.reference_pages`).

(`environment_page` and `choices_page` write two more.) A test compares each with the code.
"""

import os
import re
import sys
from argparse import SUPPRESS, Action, ArgumentParser, _SubParsersAction
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from research_app.home import CODE

REFERENCE = CODE / "docs" / "reference"
MADE = "Made by `python -m research_app.reference_pages` from"
COMMANDS = Path(__file__).resolve().parent / "management" / "commands"
EVERYWHERE = {
    "help", "version", "settings", "pythonpath", "traceback", "no_color", "force_color", "skip_checks", "verbosity",
}  # fmt: skip  # options of Django that every command has


def commands_page() -> str:
    """Every command with its arguments, in Markdown. Needs Django's applications."""
    from django.core.management import load_command_class

    names = sorted(path.stem for path in COMMANDS.glob("*.py") if path.stem != "__init__")
    text = f"# Commands\n\n{MADE} the commands' own parsers. `signoff NAME` and `python manage.py NAME` are the same.\n"
    for name in names:
        parser = load_command_class("research_app", name).create_parser("signoff", name)
        text += f"\n## {name}\n\n{_sentence(parser.description)}\n{_arguments(parser)}"
        for verb, part in _verbs(parser).items():
            text += f"\n### {name} {verb}\n\n{_sentence(_help_of(parser, verb))}\n{_arguments(part)}"
    return text


def _verbs(parser: ArgumentParser) -> Mapping[str, ArgumentParser]:
    subparsers = [action for action in parser._actions if isinstance(action, _SubParsersAction)]
    return subparsers[0].choices if subparsers else {}


def _help_of(parser: ArgumentParser, verb: str) -> str | None:
    [action] = [action for action in parser._actions if isinstance(action, _SubParsersAction)]
    return next((choice.help for choice in action._choices_actions if choice.dest == verb), None)


def _arguments(parser: ArgumentParser) -> str:
    actions = [action for action in parser._actions if _is_shown(action)]
    rows = [f"| `{_spelt(action)}` | {_cell(action)} |\n" for action in actions]
    return "".join(["\n| argument | meaning |\n|---|---|\n", *rows]) if rows else ""


def _is_shown(action: Action) -> bool:
    return action.dest not in EVERYWHERE and action.help != SUPPRESS and not isinstance(action, _SubParsersAction)


def _spelt(action: Action) -> str:
    value = str(action.metavar or action.dest.upper())
    if not action.option_strings:
        return value if action.metavar else action.dest
    return action.option_strings[-1] + ("" if action.nargs == 0 else f" {value}")


def _cell(action: Action) -> str:
    choices = f"one of {', '.join(f'`{choice}`' for choice in action.choices)}" if action.choices else ""
    parts = [(action.help or "").replace("%%", "%"), choices, "required" if action.required and action.option_strings else ""]
    return ("; ".join(part for part in parts if part) or "–").replace("|", "\\|").replace("<", "&lt;")


def _sentence(text: str | None) -> str:
    return f"{text.rstrip('.')}." if text else ""


def events_page() -> str:
    """Every kind of event, by what it is about, in Markdown."""
    source = (CODE / "research_app" / "models" / "event_kinds.py").read_text(encoding="utf-8")
    text = f"# Events\n\n{MADE} `research_app/models/event_kinds.py`. The kinds that rows of the audit log have:\n"
    text += "[the audit](../explanation/audit.md) says what each row holds and how they are chained. A kind keeps its name.\n"
    for heading, name in re.findall(r'^    # (.+)$|^    [A-Z_]+ = "(.+)"$', source, re.MULTILINE):
        text += f"\n## {heading}\n\n" if heading else f"- `{name}`\n"
    return text


def operations_page() -> str:
    """Every operation of the HTTP API, in Markdown. Needs Django's applications."""
    text = f"# Operations of the HTTP API\n\n{MADE} the OpenAPI document, which `/api/v1/openapi.json` has whole.\n"
    text += "[Agents from outside](api.md) says how tokens, limits, rounding and repeated requests work.\n"
    text += "\n| operation | what it does |\n|---|---|\n"
    return text + "".join(_operations())


def _operations() -> Iterator[str]:
    from research_app.api.application import api

    for path, methods in sorted(api.get_openapi_schema()["paths"].items()):
        for method, operation in methods.items():
            says: Any = operation.get("description") or operation.get("summary") or ""
            yield f"| `{method.upper()} {path}` | {' '.join(str(says).split())} |\n".replace("<", "&lt;")


PAGES: Mapping[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "events.md": events_page,
    "operations.md": operations_page,
}


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "research_app.settings")
    django.setup()
    for each, made in PAGES.items():
        (REFERENCE / each).write_text(made(), encoding="utf-8")
        sys.stdout.write(f"{REFERENCE / each}\n")
