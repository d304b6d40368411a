"""What a file that is no Python says, apart from how it is written: for telling a change from a mere reformatting.

YAML, TOML, JSON and INI files can be told from their comments and their formatting. Of any other format nobody here knows what
white space means (a Makefile's tabs, a vocabulary's blanks), so every byte of it counts.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yaml.events import Event

BOM = "\ufeff"
LARGEST = 256 * 1024  # characters; a larger file counts by every byte
LONGEST_LINE = 20_000  # characters, of TOML
DEEPEST = 200  # maps and lists in each other, of YAML
# Hydra reads where a configuration belongs from a comment.
_PACKAGE = re.compile(r"^[ \t]*#[ \t]*@package\b.*$", re.MULTILINE)
# A plain YAML scalar that every version of YAML takes for the same text as in quotes.
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_NO_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})


def normal_form(path: str, text: str) -> str:
    """The same for two texts that say the same. What does not parse as its name promises counts by every byte."""
    known = FORMATS.get(PurePosixPath(path).suffix.lower())
    if known is not None and len(text) <= LARGEST:
        name, read = known
        try:
            return f"{name}:{read(text.removeprefix(BOM))}"
        except (ValueError, RecursionError, MemoryError):
            pass
    return f"bytes:{text}"


def _yaml(text: str) -> str:
    """The events of a YAML stream: its nesting, keys, values, anchors and tags, as any version of YAML sees them."""
    import yaml  # here, so that pages start without it

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        events = [_event(event) for event in _not_too_deep(yaml.parse(text, Loader=loader))]
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    return repr((_PACKAGE.findall(text), events))


def _not_too_deep(events: Iterable[Event]) -> Iterator[Event]:
    """libyaml takes a time that grows with the square of the depth. Raises ValueError."""
    from yaml.events import CollectionEndEvent, CollectionStartEvent

    depth = 0
    for event in events:
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} deep")
        yield event


def _event(event: Event) -> tuple[object, ...]:
    """What an event says; how its text was quoted or laid out is left out where that changes nothing."""
    from yaml.events import AliasEvent, CollectionStartEvent, DocumentStartEvent, ScalarEvent

    name = type(event).__name__
    if isinstance(event, ScalarEvent):
        is_text = bool(event.style) or (_WORD.fullmatch(event.value) and event.value.lower() not in _NO_WORDS)
        return name, event.anchor, event.tag, bool(is_text), event.value
    if isinstance(event, CollectionStartEvent):
        return name, event.anchor, event.tag
    if isinstance(event, AliasEvent):
        return name, event.anchor
    if isinstance(event, DocumentStartEvent):
        return name, event.version, tuple(sorted((event.tags or {}).items()))
    return (name,)


def _toml(text: str) -> str:
    if max(map(len, text.split("\n"))) > LONGEST_LINE:
        raise ValueError("tomllib takes a time that grows with the square of a dotted key")
    return repr(tomllib.loads(text))


def _json(text: str) -> str:
    return repr(json.loads(text, object_pairs_hook=lambda pairs: ("object", pairs), parse_float=_decimal))


def _decimal(written: str) -> float | str:
    """A number as everybody reads it; as it is written where it is too large for that."""
    value = float(written)
    return value if math.isfinite(value) else written


def _ini(text: str) -> str:
    return repr(list(_ini_lines(text)))


def _ini_lines(text: str) -> Iterator[str]:
    """Sections, keys and values. An indented line goes on with the value before it, so its indentation counts."""
    blank = 0
    for line in re.split(r"\r?\n", text):
        bare = line.strip()
        if bare.startswith(("#", ";")):
            continue
        if not bare:
            blank += 1
            continue
        if line[:1].isspace():
            yield from [""] * blank  # empty lines belong to a value that goes on
            yield line.rstrip()
        elif bare.startswith("["):
            yield bare
        else:
            key, sign, value = _split(bare)
            yield f"{key.rstrip()}{sign and '='}{value.lstrip()}"
        blank = 0


def _split(line: str) -> tuple[str, str, str]:
    """Key, sign and value, at the first = or :."""
    separator = re.search("[=:]", line)
    return (line[: separator.start()], separator[0], line[separator.end() :]) if separator else (line, "", "")


FORMATS: dict[str, tuple[str, Callable[[str], str]]] = {
    ".yaml": ("yaml", _yaml),
    ".yml": ("yaml", _yaml),
    ".toml": ("toml", _toml),
    ".json": ("json", _json),
    ".ini": ("ini", _ini),
    ".cfg": ("ini", _ini),
}
