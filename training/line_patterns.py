"""Printed lines read by a regular expression whose named groups are series; a match with a group `step` is a point."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from training.metric_source import LineReader, LineValues
from training.spec import SelfReported

_GROUP = re.compile(r"(?<!\\)((?:\\\\)*)\(\?P<([A-Za-z_]\w*)>")
_AGAIN = "__again"


class FormatError(ValueError):
    """The description of a project's output is unusable; the message says why."""


def lines_with(pattern: str) -> Callable[[SelfReported], LineReader]:
    """Reads lines by this pattern, in which alternatives may name one group each. Raises FormatError."""
    expression = compiled(pattern)
    return lambda scoring: reader_of(expression)


def reader_of(expression: re.Pattern[str]) -> LineReader:
    """Reads every match of a compiled pattern in a line."""
    return lambda line: [LineValues(_joined(match.groupdict())) for match in expression.finditer(line)]


def compiled(pattern: str) -> re.Pattern[str]:
    """The regular expression; alternatives may name one group each in their own way.

    Raises FormatError for what is no regular expression or names no value.
    """
    seen: Counter[str] = Counter()

    def apart(group: re.Match[str]) -> str:
        seen[group[2]] += 1
        return group[0] if seen[group[2]] == 1 else f"{group[1]}(?P<{group[2]}{_AGAIN}{seen[group[2]]}>"

    try:
        expression = re.compile(_GROUP.sub(apart, pattern))
    except re.error as error:
        raise FormatError(f"the output pattern {pattern!r} is not a regular expression: {error}") from error
    if not expression.groupindex:
        raise FormatError(f"the output pattern {pattern!r} has no named group; name the values, as in (?P<val_bpb>[0-9.]+)")
    return expression


def groups_of(pattern: re.Pattern[str]) -> set[str]:
    """The names of the values that a compiled pattern can find."""
    return {name.partition(_AGAIN)[0] for name in pattern.groupindex}


def _joined(groups: dict[str, str | None]) -> dict[str, str | None]:
    """The groups that matched, under the name that alternatives share."""
    return {name.partition(_AGAIN)[0]: text for name, text in groups.items() if text is not None}
