"""Which words of a changed line changed: pairs of lines that are versions of each other, and the ranges that differ."""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby, pairwise

from research_app.web.lines import Hunk, Line

MAX_WORD_LINES = 400  # of one changed block: above, no words are marked
MAX_WORD_LENGTH = 1000  # of one line, in characters
_WORDS = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\w+|\s+|.")  # a number is one word


def mark_words(hunk: Hunk) -> None:
    """Mark what changed inside lines, where a block of removed lines is followed by one of added lines."""
    blocks = [(kind, list(lines)) for kind, lines in groupby((x for x in hunk.lines if x.kind != "note"), lambda x: x.kind)]
    for (kind, before), (following, after) in pairwise(blocks):
        if kind == "removed" and following == "added" and max(len(before), len(after)) <= MAX_WORD_LINES:
            for old, new in pairs(before, after):
                old.marks, new.marks = changed_words(old.text, new.text)


def pairs(before: Sequence[Line], after: Sequence[Line]) -> Iterator[tuple[Line, Line]]:
    """Lines that are versions of each other: in order where the counts agree, the most alike otherwise."""
    if len(before) == len(after):
        yield from zip(before, after, strict=True)
        return
    start = 0
    for old in before:
        likeness = [(_likeness(old.text, new.text), -i, new) for i, new in enumerate(after[start:])]
        best = max(likeness, key=lambda entry: entry[:2], default=None)
        if best and best[0] >= 0.5:
            start += 1 - best[1]
            yield old, best[2]


def _likeness(old: str, new: str) -> float:
    if len(old) + len(new) >= 2 * MAX_WORD_LENGTH:
        return 0.0
    matcher = SequenceMatcher(None, _words(old), _words(new), autojunk=False)
    return matcher.ratio() if matcher.quick_ratio() >= 0.5 else 0.0


def _words(text: str) -> list[str]:
    return _WORDS.findall(text)


def changed_words(old: str, new: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Ranges of characters that differ; none where the lines have little in common or are very long."""
    if max(len(old), len(new)) > MAX_WORD_LENGTH:
        return [], []
    a, b = _words(old), _words(new)
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    if matcher.ratio() < 0.4:
        return [], []
    left, right = _offsets(a), _offsets(b)
    changed = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    return [(left[i], left[j]) for _, i, j, _, _ in changed if j > i], [
        (right[i], right[j]) for _, _, _, i, j in changed if j > i
    ]


def _offsets(words: Sequence[str]) -> list[int]:
    offsets = [0]
    for word in words:
        offsets.append(offsets[-1] + len(word))
    return offsets
