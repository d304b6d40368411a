"""Single keys of a project file as text: read and replaced where they stand, comments and everything else as it was."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

from research_app.project_file.project_file import ProjectFile
from research_app.survey.draft import toml


@dataclass(frozen=True)
class FormKey:
    """One key that the form beside the file shows."""

    table: str
    key: str
    words: str
    choices: tuple[str, ...] = ()
    is_words: bool = False  # a command: written as in a shell
    is_number: bool = False

    @property
    def name(self) -> str:
        return f"{self.table}.{self.key}"


FORM = (
    FormKey("train", "command", "Command", is_words=True),
    FormKey("train", "python", "Interpreter"),
    FormKey("train", "device", "Device", ("cpu", "cuda", "mps")),
    FormKey("limits", "wall_seconds", "Seconds at most", is_number=True),
    FormKey("seed", "how", "Seed", ("environment", "argument", "patch", "fixed")),
    FormKey("metric", "source", "Metric from"),
    FormKey("metric", "key", "Metric"),
    FormKey("metric", "direction", "Better is", ("lower", "higher")),
    FormKey("budget", "kind", "Budget", ("own", "wall_seconds", "tokens", "train_flops")),
    FormKey("budget", "amount", "Amount", is_number=True),
)


def form_values(text: str) -> dict[str, str]:
    """What the keys of the form say, as a person writes it; empty where the file leaves them out or does not parse."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {each.name: "" for each in FORM}
    values = {}
    for each in FORM:
        table = content.get(each.table)
        value = table.get(each.key, "") if isinstance(table, dict) else ""
        if each.is_words and isinstance(value, list):
            value = shlex.join(map(str, value))
        values[each.name] = f"{value:g}" if isinstance(value, float) else str(value)
    return values


def with_form(text: str, chosen: Mapping[str, str], displayed: Mapping[str, str]) -> str:
    """The file with those keys that a person changed in the form, which showed them otherwise.

    Raises ValueError for a value that is none.
    """
    for each in FORM:
        wanted = chosen.get(each.name)
        if wanted is not None and wanted.strip() != displayed[each.name]:
            text = with_value(text, each, wanted.strip())
    return text


def with_value(text: str, place: FormKey, value: str) -> str:
    """The text with one key written anew; an empty value takes it out."""
    lines, written = text.split("\n"), _written(place, value)
    header = re.compile(rf"\s*\[\s*{place.table}\s*\]\s*(#.*)?$")
    start = next((number for number, line in enumerate(lines) if header.match(line)), None)
    if start is None:
        return text if not value else f"{text.rstrip()}\n\n[{place.table}]\n{place.key} = {written}\n"
    for number in range(start + 1, len(lines)):
        if re.match(r"\s*\[", lines[number]):
            break
        if re.match(rf"\s*{place.key}\s*=", lines[number]):
            last = _end(lines, number)
            comment = re.search(r"  # .*$", lines[last])
            new = [f"{place.key} = {written}{comment[0] if comment else ''}"] if value else []
            return "\n".join([*lines[:number], *new, *lines[last + 1 :]])
    return text if not value else "\n".join([*lines[: start + 1], f"{place.key} = {written}", *lines[start + 1 :]])


def _end(lines: list[str], number: int) -> int:
    """The last line of a value that begins on this one."""
    for last in range(number, min(len(lines), number + 100)):
        try:
            tomllib.loads("\n".join(lines[number : last + 1]))
        except tomllib.TOMLDecodeError:
            continue
        return last
    return number


def _written(place: FormKey, value: str) -> str:
    if place.is_words:
        return toml(shlex.split(value))
    if place.is_number and value:
        number = float(value)
        return str(int(number)) if number == int(number) else repr(number)
    return toml(value)


def sources() -> tuple[str, ...]:
    """What [metric] source may say."""
    return tuple(ProjectFile.model_fields["metric"].annotation.model_fields["source"].annotation.__args__)  # type: ignore[union-attr]
