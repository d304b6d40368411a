"""What no text may hold, wherever it comes in: characters that nobody types, which databases refuse and terminals obey.

NUL and the other control characters but tab and line ends, halves of surrogate pairs, and what is no character.
Code is another matter: a file may hold a form feed, so that patches and edits are refused by the checks of a change, with their
line, and only for NUL and halves here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_IN_TEXT = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]")
_IN_CODE = re.compile("[\\x00\\ud800-\\udfff]")


def problem_in(text: str, code: bool = False) -> str:
    """What is wrong with a text, as the end of a sentence; empty where nothing is."""
    match = (_IN_CODE if code else _IN_TEXT).search(text)
    if match is None:
        return ""
    name = unicodedata.name(match[0], "control character" if ord(match[0]) < 0xD800 else "no character").lower()
    line = text.count("\n", 0, match.start()) + 1
    return f"holds a character that no text may hold (U+{ord(match[0]):04X}, {name}, in line {line}). Leave it out"


def without_refused(text: str, code: bool = False) -> str:
    """The same text with a mark in place of each such character: for what nobody can be asked to send again."""
    return (_IN_CODE if code else _IN_TEXT).sub("\ufffd", text)


def strings_in(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a document, with the place where it stands."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield f"{where}.{key}".lstrip("."), str(key)
            yield from strings_in(each, f"{where}.{key}".lstrip("."))
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        for number, each in enumerate(value):
            yield from strings_in(each, f"{where}.{number}".lstrip("."))


def storable(value: Any, code: bool = False) -> Any:
    """A JSON document with marks in place of what its texts may not hold: what a model said is kept whatever it said."""
    if isinstance(value, str):
        return without_refused(value, code)
    if isinstance(value, Mapping):
        return {without_refused(str(key)): storable(each, code) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [storable(each, code) for each in value]
    return value
