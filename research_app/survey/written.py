"""A project file as text again, from what is stored of it: what differs from the defaults, table by table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from research_app.project_file.project_file import ProjectFile, ProjectFileError, read_project_file
from research_app.survey.draft import toml


def text_of(file: ProjectFile, original: str = "") -> str:
    """The file's text: the `original`, with its comments, where that says the same, otherwise written anew."""
    if original and says(original, file):
        return original
    short = "\n".join(_tables(file.model_dump(mode="json", exclude_defaults=True, exclude_none=True)))
    if says(short, file):
        return short
    return "\n".join(_tables(file.model_dump(mode="json", exclude_none=True)))


def says(text: str, file: ProjectFile) -> bool:
    """Whether a text is this very project file."""
    try:
        return read_project_file(text) == file
    except ProjectFileError:
        return False


def _tables(content: Mapping[str, Any]) -> Iterator[str]:
    for name, table in content.items():
        for header, values in _headed(name, table):
            plain = {key: value for key, value in values.items() if not _is_table(name, value)}
            if plain:
                yield f"{header}\n" + "".join(f"{key} = {toml(value)}\n" for key, value in plain.items())
            for key, value in values.items():
                if _is_table(name, value) and value:
                    lines = "".join(f"{inner} = {toml(each)}\n" for inner, each in value.items())
                    yield f"[{name}.{key}]\n{lines}"


def _headed(name: str, table: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The headers of one table, or of each in a list of tables, with what stands below."""
    if isinstance(table, list):
        yield from ((f"[[{name}]]", each) for each in table)
    else:
        yield f"[{name}]", table


def _is_table(name: str, value: Any) -> bool:
    """Whether a value has a table of its own, as the gates have; other mappings are written in one line."""
    return name == "gate" and isinstance(value, dict)
