"""docs/reference/environment.md, made from the fields of `Environment`: `python -m research_app.environment_page` writes it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from research_app.environment import Environment, allowed, facts_of

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "environment.md"
HEAD = """# The environment

Made by `python -m research_app.environment_page` from `research_app/environment.py`: change it there.

Everything that differs between installations is a variable of the environment. They are read at the start. A wrong value
is refused in one sentence that names the variable, the value and what is allowed; several wrong ones are named together, and
a secret is never repeated. An empty value counts as none. A variable that looks like one of these and is none, such as
`SIGNOFF_HOEM`, is named by `signoff doctor` and when Signoff starts.
"""


def page() -> str:
    """The whole page, in Markdown."""
    return HEAD + "".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    for name, field in Environment.model_fields.items():
        if group := facts_of(field)["group"]:
            yield f"\n## {group}\n\n| variable | default | meaning | allowed |\n|---|---|---|---|\n"
        meaning = f"{field.description}{'; a secret' if facts_of(field)['secret'] else ''}"
        yield f"| `{name}` | {_default(field)} | {meaning} | {_allowed(name)} |\n"


def _default(field: FieldInfo) -> str:
    return str(facts_of(field)["unset"]) or _written(field.default)


def _written(value: Any) -> str:
    if value in ((), "", None) or not str(value):
        return "none"
    if isinstance(value, bool):
        return f"`{int(value)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _allowed(name: str) -> str:
    return allowed(name).rstrip(".") or "text"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
