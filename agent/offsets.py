"""Where the nodes of a syntax tree stand in their text: the tree counts columns in UTF-8 bytes, a text in characters."""

from __future__ import annotations

import re
from itertools import chain

NEWLINE = re.compile(r"\r\n|\r|\n")  # what the parser counts as a line end; str.splitlines knows more


class Offsets:
    """Offsets of characters in one text. Each line is measured once, however many nodes stand on it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(match.end() for match in NEWLINE.finditer(text))]
        self._columns: dict[int, list[int]] = {}

    def of(self, line: int, column: int) -> int:
        """The offset of a line (from 1) and a column in bytes (from 0)."""
        start = self._starts[line - 1]
        if self._text.isascii():
            return start + column
        if line not in self._columns:
            self._columns[line] = self._measured(self._text[start : self.after(line)])
        return start + self._columns[line][column]

    def start(self, line: int) -> int:
        """The offset at which a line begins."""
        return self._starts[line - 1]

    def after(self, line: int) -> int:
        """The offset behind a line and its end."""
        return self._starts[line] if line < len(self._starts) else len(self._text)

    @staticmethod
    def _measured(line: str) -> list[int]:
        """Per byte of a line, and for its end, the number of its character."""
        sizes = [len(character.encode("utf-8", "surrogatepass")) for character in line]
        return [*chain.from_iterable([at] * size for at, size in enumerate(sizes)), len(sizes)]
