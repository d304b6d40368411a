"""The marks of a change of a Python file: only statements at its top level that are not in both versions are read.

What stands word for word in both has the same marks in both, which would cancel. A change that is too large to be read as code
is not, and that is said: 800 kB of new code take half a minute.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Sequence

from training.detectors.marks import Mark, imports_of, marks_of_tree
from training.parsing import parse

LARGEST = 200_000  # characters of the statements that changed, of either version


class TooMuch(Exception):
    """More of a file changed than is read as code; the message says how much."""


def changed_marks(before: str, after: str, protected: Collection[str] = ()) -> tuple[list[Mark], list[Mark]]:
    """The marks of both versions in statements that are not in both; in all of them where other names are imported.

    Raises SyntaxError when one of them is not Python, or nested too deeply to be read, and TooMuch.
    """
    try:
        sides = [_statements(text) for text in (before, after)]
        names = [imports_of([statement for statement, text in side if "import" in text]) for side in sides]
        common = Counter(text for _, text in sides[0]) & Counter(text for _, text in sides[1])
        changed = sides if names[0] != names[1] else [_beyond(side, common) for side in sides]
        if (size := max(sum(len(text) for _, text in side) for side in changed)) > LARGEST:
            raise TooMuch(f"{size:,} characters of it are new or changed, and {LARGEST:,} are read as code")
        marks = [
            marks_of_tree([statement for statement, _ in side], aliases, protected)
            for side, aliases in zip(changed, names, strict=True)
        ]
        return marks[0], marks[1]
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(f"cannot be parsed: {error}") from error


def _statements(text: str) -> list[tuple[ast.stmt, str]]:
    """The statements at the top level with the whole lines that they stand on, decorators included."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    statements = []
    for statement in parse(text).body:
        first = min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", []))])
        statements.append((statement, "\n".join(lines[first - 1 : statement.end_lineno])))
    return statements


def _beyond(side: Sequence[tuple[ast.stmt, str]], common: Counter[str]) -> list[tuple[ast.stmt, str]]:
    """The statements that the other version does not have, or not so often."""
    left, extra = Counter(common), []
    for statement, text in side:
        if left[text] > 0:
            left[text] -= 1
        else:
            extra.append((statement, text))
    return extra
