"""Which lines two texts have in common, in a time that a hostile text cannot drive up.

difflib takes a time that grows with the square, at worst with the cube, of the number of lines. Here it is asked about small
stretches only. Between larger ones the lines that stand once on both sides are the anchors (Bram Cohen's patience diff), which
takes n log n; what has no anchor, or would exceed the budget of work, counts as replaced.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Literal

SMALL = 40_000  # lines before times lines after: at most so many go to difflib at once
ALTOGETHER = 1_000_000  # the same, over all stretches of one pair of texts
ROUNDS = 20  # how often, on average, a line may be looked at for anchors

Block = tuple[int, int, int]  # first line before, first line after, how many lines: from 0
Step = tuple[Literal["equal", "replace", "delete", "insert"], int, int, int, int]


def matching_blocks(before: Sequence[str], after: Sequence[str]) -> list[Block]:
    """The runs of lines that stayed, in order, and last of all an empty one at both ends, as difflib has it."""
    blocks: list[Block] = []
    left, work = ALTOGETHER, ROUNDS * (len(before) + len(after))
    todo = [(0, len(before), 0, len(after))]
    while todo:
        i, i_end, j, j_end = todo.pop()
        head = _common(before, after, range(i, i_end), range(j, j_end))
        i, j = i + head, j + head
        tail = _common(before, after, range(i_end - 1, i - 1, -1), range(j_end - 1, j - 1, -1))
        i_end, j_end = i_end - tail, j_end - tail
        blocks += [(i - head, j - head, head), (i_end, j_end, tail)]
        size = (i_end - i) * (j_end - j)
        if 0 < size <= min(SMALL, left):
            left -= size
            matcher = SequenceMatcher(None, before[i:i_end], after[j:j_end], autojunk=False)
            blocks += [(i + a, j + b, length) for a, b, length in matcher.get_matching_blocks()]
        elif size and work > 0:
            work -= i_end - i + j_end - j
            todo += _between(_anchors(before, after, i, i_end, j, j_end), i, i_end, j, j_end)
    return [*_joined(sorted(block for block in blocks if block[2])), (len(before), len(after), 0)]


def steps_between(before: Sequence[str], after: Sequence[str]) -> Iterator[Step]:
    """How to get from one text to the other, in the order of the lines: difflib's opcodes."""
    i = j = 0
    for a, b, length in matching_blocks(before, after):
        if i < a or j < b:
            yield ("replace" if i < a and j < b else "delete" if i < a else "insert"), i, a, j, b
        if length:
            yield "equal", a, a + length, b, b + length
        i, j = a + length, b + length


def _common(before: Sequence[str], after: Sequence[str], left: range, right: range) -> int:
    """How many lines are equal from the start of both ranges on."""
    count = 0
    for i, j in zip(left, right, strict=False):
        if before[i] != after[j]:
            break
        count += 1
    return count


def _anchors(before: Sequence[str], after: Sequence[str], i: int, i_end: int, j: int, j_end: int) -> list[tuple[int, int]]:
    """Pairs of lines that stand once on each side: the longest chain of them that is in order on both."""
    once = _once(before, i, i_end)
    other = _once(after, j, j_end)
    pairs = [(at, other[text]) for text, at in once.items() if text in other]
    ends: list[int] = []  # of the best chain of each length its last line after
    chains: list[int] = []  # and which pair that is
    previous: list[int] = []
    for number, (_, at) in enumerate(pairs):
        length = bisect_left(ends, at)
        if length == len(ends):
            ends.append(at)
            chains.append(number)
        else:
            ends[length], chains[length] = at, number
        previous.append(chains[length - 1] if length else -1)
    chain: list[tuple[int, int]] = []
    number = chains[-1] if chains else -1
    while number >= 0:
        chain.append(pairs[number])
        number = previous[number]
    return chain[::-1]


def _once(lines: Sequence[str], start: int, end: int) -> dict[str, int]:
    counts = Counter(lines[start:end])
    return {lines[at]: at for at in range(start, end) if counts[lines[at]] == 1}


def _between(anchors: Sequence[tuple[int, int]], i: int, i_end: int, j: int, j_end: int) -> list[tuple[int, int, int, int]]:
    """The stretches that begin at each anchor, and the one before the first; none where there is no anchor."""
    if not anchors:
        return []
    starts = [(i, j), *anchors]
    return [(a, a_end, b, b_end) for (a, b), (a_end, b_end) in zip(starts, [*anchors, (i_end, j_end)], strict=True)]


def _joined(blocks: Sequence[Block]) -> list[Block]:
    """Blocks that follow each other without a gap as one."""
    joined: list[Block] = []
    for i, j, length in blocks:
        if joined and (joined[-1][0] + joined[-1][2], joined[-1][1] + joined[-1][2]) == (i, j):
            joined[-1] = (*joined[-1][:2], joined[-1][2] + length)
        else:
            joined.append((i, j, length))
    return joined
