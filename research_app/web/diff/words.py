"""Which words of a changed line changed: pairs of lines that are versions of each other, and the ranges that differ."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from research_app.web.diff.lines import Hunk, Line
from training.matching import matching_blocks

MAX_WORD_LINES = 400  # of one changed block: above, no words are marked
MAX_WORD_LENGTH = 1000  # of one line, in characters
WINDOW = 50  # lines ahead among which a version of a line is looked for
_WORDS = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\w+|\s+|.")  # a number is one word
Range = tuple[int, int]


class Work:
    """How many comparisons of words are left for one page: what goes beyond is shown without marks."""

    def __init__(self, left: int = 1_000_000) -> None:
        self.left = left

    def takes(self, count: int) -> bool:
        """Whether so many more may be made; they are counted as made."""
        self.left -= count
        return self.left >= 0


def mark_words(hunk: Hunk, work: Work | None = None) -> None:
    """Mark what changed inside lines, where a block of removed lines is followed by one of added lines."""
    work = work or Work()
    blocks = [(kind, list(lines)) for kind, lines in groupby((x for x in hunk.lines if x.kind != "note"), lambda x: x.kind)]
    for (kind, before), (following, after) in pairwise(blocks):
        if kind == "removed" and following == "added" and max(len(before), len(after)) <= MAX_WORD_LINES:
            for old, new in pairs(before, after, work):
                old.marks, new.marks = changed_words(old.text, new.text, work)


def pairs(before: Sequence[Line], after: Sequence[Line], work: Work) -> Iterator[tuple[Line, Line]]:
    """Lines that are versions of each other: in order where the counts agree, the most alike otherwise."""
    if len(before) == len(after):
        yield from zip(before, after, strict=True)
        return
    theirs = [_bag(line.text) for line in after]
    start = 0
    for old in before:
        mine = _bag(old.text)
        ahead = theirs[start : start + WINDOW]
        if not work.takes(sum(len(bag) for bag in ahead)):
            return
        likeness = [(_likeness(mine, bag), -i) for i, bag in enumerate(ahead)]
        best = max(likeness, default=None)
        if best and best[0] >= 0.5:
            start += 1 - best[1]
            yield old, after[start - 1]


def _bag(text: str) -> Counter[str]:
    """The words of a line, and how often each; none of a very long one."""
    return Counter(_words(text)) if len(text) <= MAX_WORD_LENGTH else Counter()


def _likeness(old: Counter[str], new: Counter[str]) -> float:
    """Which share of the words two lines have in common, wherever they stand."""
    total = old.total() + new.total()
    return 2 * (old & new).total() / total if total else 0.0


def _words(text: str) -> list[str]:
    return _WORDS.findall(text)


def changed_words(old: str, new: str, work: Work) -> tuple[list[Range], list[Range]]:
    """Ranges of characters that differ; none where the lines have little in common, are very long, or the work is used up."""
    if max(len(old), len(new)) > MAX_WORD_LENGTH:
        return [], []
    a, b = _words(old), _words(new)
    alike = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    if not work.takes(len(a) + len(b) + (len(a) - alike) * (len(b) - alike)):
        return [], []
    blocks = matching_blocks(a, b)
    if 2 * sum(length for _, _, length in blocks) < 0.4 * (len(a) + len(b)):
        return [], []
    left, right = _offsets(a), _offsets(b)
    marks: tuple[list[Range], list[Range]] = [], []
    i = j = 0
    for x, y, length in blocks:
        marks[0].extend([(left[i], left[x])] if i < x else [])
        marks[1].extend([(right[j], right[y])] if j < y else [])
        i, j = x + length, y + length
    return marks


def _offsets(words: Sequence[str]) -> list[int]:
    offsets = [0]
    for word in words:
        offsets.append(offsets[-1] + len(word))
    return offsets
