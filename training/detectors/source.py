"""A changed file as detectors read it: its lines before and after, which of them stayed, and the numbers that pages show."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from training.matching import matching_blocks

LINE_END = re.compile(r"\r\n|\r|\n")  # what Python counts as one; str.splitlines knows more
SHOWN = 90  # characters of a line of code in a sentence


@dataclass(frozen=True)
class FileEdit:
    """One changed file: its text before and after, None where it does not exist."""

    path: str
    before: str | None
    after: str | None

    @cached_property
    def old(self) -> list[str]:
        """The lines before, as Python counts them."""
        return LINE_END.split(self.before or "")

    @cached_property
    def new(self) -> list[str]:
        """The lines after, as Python counts them."""
        return LINE_END.split(self.after or "")

    @cached_property
    def _numbers(self) -> Sequence[int]:
        """Per line of the new file, as Python counts, its number where line feeds alone end lines: git's, and a page's."""
        text, numbers = self.after or "", [1]
        for end in LINE_END.finditer(text):
            numbers.append(numbers[-1] + end[0].endswith("\n"))
        return numbers

    def shown(self, line: int) -> int:
        """The number by which a page shows a line of the new file."""
        return self._numbers[line - 1]

    @cached_property
    def matched(self) -> Sequence[tuple[int, int, int]]:
        """(first old line, first new line, length) of the runs of lines that stayed, from 0."""
        return matching_blocks(self.old, self.new)

    def stayed(self, line: int) -> bool:
        """Whether a line of the new file (from 1) was in the old one, in its place."""
        return any(start < line <= start + length for _, start, length in self.matched)

    def place_of(self, old_line: int) -> int:
        """Where in the new file (from 1) a line of the old one is, or was before it went."""
        at = bisect_right([old for old, _, _ in self.matched], old_line - 1) - 1
        if at < 0:
            return 1
        old, new, length = self.matched[at]
        return max(1, min(new + min(old_line - 1 - old, length) + 1, len(self.new)))


def short(text: str) -> str:
    """A piece of code for a sentence."""
    text = text.strip().replace("`", "'")
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
