"""Finds the values of YAML and TOML files, where they stand in the text: an edit changes a value and no byte beside it.

YAML is read by PyYAML, whose nodes know their places. TOML is read by `tomllib`, which does not tell them: a line `key = value`
is taken for the value of that key if another value there changes that key of the document and nothing else.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import yaml

from agent.coefficients import part_of
from agent.constants import Constant, Form, Value, snake
from agent.offsets import NEWLINE

LARGEST = 64 * 1024  # characters of a file of settings
MOST = 200  # values of one file: each of TOML is tried by reading the document again
INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9]+(?:[eE][-+]?[0-9]+)?)"
)
BOOLEAN = {"true": True, "false": False}
_TOML_KEY = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')"""
TOML_LINE = re.compile(
    rf"[ \t]*(?P<key>{_TOML_KEY}(?:[ \t]*\.[ \t]*{_TOML_KEY})*)[ \t]*=[ \t]*(?P<value>[^\s#]+)[ \t]*(?P<comment>#.*)?"
)


def is_settings(path: str) -> bool:
    """Whether a file is one of settings, by its name."""
    return path.endswith((".yaml", ".yml", ".toml"))


def find_values(path: str, text: str) -> list[Constant]:
    """Numbers and switches of a file of settings, in its order; none of a file that cannot be read or is too long."""
    if len(text) > LARGEST:
        return []
    try:
        return list(islice(_of_toml(path, text) if path.endswith(".toml") else _of_yaml(path, text), MOST))
    except (yaml.YAMLError, tomllib.TOMLDecodeError, RecursionError, ValueError):
        return []


def document_of(path: str, text: str) -> Mapping[str, Any]:
    """What a file of settings says; empty where it cannot be read, is too long or is no table."""
    if len(text) > LARGEST:
        return {}
    try:
        document = tomllib.loads(text) if path.endswith(".toml") else yaml.safe_load(text)
    except (yaml.YAMLError, tomllib.TOMLDecodeError, RecursionError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def number_of(literal: str) -> Value | None:
    """The number or switch that a literal of a file of settings or of an option stands for; None for anything else."""
    if literal.lower() in BOOLEAN:
        return BOOLEAN[literal.lower()]
    if INTEGER.fullmatch(literal):
        return int(literal)
    return float(literal) if FLOAT.fullmatch(literal) else None


def _of_yaml(path: str, text: str) -> Iterator[Constant]:
    documents = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    shift = 1 if text.startswith("\ufeff") else 0
    seen: set[int] = set()
    for document in documents[:1]:
        yield from _below(path, text, document, "", seen, shift, within_list=False)


def _below(
    path: str, text: str, node: yaml.Node | None, label: str, seen: set[int], shift: int, within_list: bool
) -> Iterator[Constant]:
    """The values below a node; what an alias repeats is one value."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                yield from _below(path, text, value, f"{label}.{key.value}" if label else key.value, seen, shift, within_list)
    elif isinstance(node, yaml.SequenceNode):
        for number, each in enumerate(node.value):
            yield from _below(path, text, each, f"{label}[{number}]", seen, shift, within_list=True)
    elif isinstance(node, yaml.ScalarNode) and node.style is None and label:
        start, end = node.start_mark.index, node.end_mark.index
        literal = text[start:end]
        if literal != node.value:  # the mark counts otherwise than the text
            start, end, literal = start + shift, end + shift, text[start + shift : end + shift]
        value = number_of(literal)
        if value is not None and literal == node.value:
            yield _constant(path, label, value, text, start, end, "yaml")


def _of_toml(path: str, text: str) -> Iterator[Constant]:
    known = tomllib.loads(text)
    table: tuple[str, ...] = ()
    lists: dict[tuple[str, ...], int] = {}
    for line, start in _lines(text):
        if header := re.match(r"[ \t]*(\[{1,2})([^\]]+)\]{1,2}", line):
            table = _keys(header[2].strip())
            if header[1] == "[[":
                lists[table] = lists.get(table, -1) + 1
            continue
        if not (match := TOML_LINE.fullmatch(line)) or isinstance(value := number_of(match["value"]), str | None):
            continue
        keys = (*table, *_keys(match["key"]))
        begin = start + match.start("value")
        if not lists and _is_at(known, text, begin, begin + len(match["value"]), keys, value):
            yield _constant(path, ".".join(keys), value, text, begin, begin + len(match["value"]), "toml")


def _is_at(known: Mapping[str, Any], text: str, start: int, end: int, keys: tuple[str, ...], value: int | float) -> bool:
    """Whether this place of the text is what the document says at these keys, and nothing else is."""
    other = (not value) if isinstance(value, bool) else value + 1
    literal = str(other).lower()
    try:
        changed = tomllib.loads(text[:start] + literal + text[end:])
    except tomllib.TOMLDecodeError:
        return False
    table = changed
    for key in keys[:-1]:
        if not isinstance(table, dict) or key not in table:
            return False
        table = table[key]
    if not isinstance(table, dict) or table.get(keys[-1]) != other:
        return False
    table[keys[-1]] = value
    return changed == known


def _keys(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _lines(text: str) -> Iterator[tuple[str, int]]:
    start = 0
    for match in NEWLINE.finditer(text):
        yield text[start : match.start()], start
        start = match.end()
    yield text[start:], start


def _constant(path: str, label: str, value: Value, text: str, start: int, end: int, form: Form) -> Constant:
    rest = NEWLINE.split(text[end : end + 500], maxsplit=1)[0]
    comment = rest[rest.index("#") :] if "#" in rest else ""
    part = part_of(label, snake(label), value, (), frozenset())
    return Constant(path, label, value, text[start:end], start, end, comment, form=form, key=label, part_of=part)


def keys_of(document: Mapping[str, Any]) -> frozenset[str]:
    """The dotted keys of a document's first values."""
    return frozenset(islice(_keys_below(document), MOST))


def _keys_below(document: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for key, value in document.items():
        name = f"{before}.{key}" if before else str(key)
        if isinstance(value, dict):
            yield from _keys_below(value, name)
        else:
            yield name
