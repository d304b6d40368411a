"""Mistakes of a project file in words: which line, which key, what is wrong, what is allowed."""

import re
from typing import Any, get_args

from pydantic import BaseModel

from research_app.project_file.section import keys_of


def mistake(problem: Any, text: str, name: str, root: type[BaseModel]) -> str:
    """One validation problem as a line: where, which key, what is wrong, what is allowed."""
    keys = [str(key) for key in problem["loc"]]
    dotted = ".".join(keys) or "file"
    where = f"{name}, line {line_of(keys or _keys_in(problem['msg']), text)}"
    if problem["type"] == "extra_forbidden":
        return f"{where}: {dotted} is not a known key; known here: {', '.join(keys_of(_table_at(keys, root)))}"
    message = problem["msg"].removeprefix("Value error, ")
    given = "" if isinstance(problem["input"], dict) else f" (given: {problem['input']!r})"
    return f"{where}: {dotted}: {message}{given}"


def _keys_in(message: str) -> list[str]:
    """The table, and the key in it, that a sentence about several tables names first: `[seed] how = …`."""
    match = re.search(r"\[(\w+)\](?: (\w+))?", message)
    return [key for key in match.groups() if key] if match else []


def _table_at(keys: list[str], root: type[BaseModel]) -> type[BaseModel]:
    """The table that the last of these keys stands in, also inside another table or in a list of tables."""
    table = root
    for key in keys[:-1]:
        field = table.model_fields.get(key)
        kinds = [field.annotation, *get_args(field.annotation)] if field else []
        table = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), table)
    return table


def line_of(keys: list[str], text: str) -> int:
    """Line on which a key stands, counting from 1: `[table]` header first, then the key below it."""
    lines = text.split("\n")
    start = 0
    names = [key for key in keys if not key.isdigit()]
    skipped = int(keys[1]) if keys[1:] and keys[1].isdigit() else 0  # tables of a list before the one that is meant
    if not names:
        return 1
    tables = [r"[ \t]*\.[ \t]*".join(map(re.escape, names[:depth])) for depth in range(len(names), 0, -1)]
    table = next((table for table in tables if re.search(rf"(?m)^[ \t]*+\[{{1,2}}[ \t]*{table}[ \t]*\]", text)), tables[-1])
    for number, line in enumerate(lines):
        if re.match(rf"[ \t]*+\[{{1,2}}[ \t]*{table}[ \t]*\]", line):
            start = number
            if skipped == 0:
                break
            skipped -= 1
    first = re.escape(names[0])
    for last in map(re.escape, reversed(names)):  # what stands within an inline table has no line of its own
        for number in range(start, len(lines)):
            if re.match(rf"[ \t]*+(?:{first}[ \t]*\.[ \t]*)?[\"']?{last}[\"']?[ \t]*=", lines[number]):
                return number + 1
    return start + 1
