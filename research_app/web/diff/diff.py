"""The diff as a page shows it: a pipeline of small pure steps, parse → white space → words → unfold → colour.

What is shown is the stored diff, line for line: colours and words only decorate it. Rows of HTML: web/rows.py.
"""

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from django.utils.safestring import SafeString

from agent.diff import DiffFile, DiffLine, parse_diff
from research_app.web.diff.colours import Span, coloured_lines, odd_letters, render_line
from research_app.web.diff.lines import FileDiff, Gap, Hunk, Line
from research_app.web.diff.words import Work, mark_words
from research_app.web.shared.text import count_hidden, hides_something
from training.matching import steps_between

MAX_SHOWN_BYTES, MAX_SHOWN_LINES = 2 << 20, 100_000  # of one diff: above, it is offered as a download only
AROUND = 3  # lines shown around one that is asked for
STEP = 20  # lines that one press of "more" unfolds
NO_NEWLINE = "No newline at end of file"
LONGEST_SHOWN = 2000  # characters of a line: the rest comes when somebody asks for it
HEAVY_LINES, HEAVY_CHARACTERS = 3000, 400_000  # of one file: above, its lines come when somebody asks for them
GHOST = 40  # characters that one costs which is spelled out
SMALLEST = 3  # unchanged lines in a row that are worth folding away

Texts = tuple[str | None, str | None]  # of one file before and after; None where the file cannot be read or is not there
Read = Callable[[str], Texts]
Chunk = tuple[str, tuple[str, ...]]  # path, changed lines with their signs

_SPACE = re.compile(r"\s+")


def parse(diff: str) -> list[FileDiff]:
    """The files of a diff, ready to be decorated."""
    return [_shown(file, number) for number, file in enumerate(parse_diff(diff), 1)]


def _shown(file: DiffFile, number: int) -> FileDiff:
    kinds = Counter(line.kind for line in file.lines)
    hunks = [Hunk(h.place, partial(_lines, h.lines), h.old, h.new, h.old_count, h.new_count) for h in file.hunks]
    mode = (file.old_mode, file.new_mode) if file.kind == "modified" and file.old_mode != file.new_mode else None
    file_diff = FileDiff(file.path, file.kind, hunks, kinds["added"], kinds["removed"], number=number, mode=mode)
    ended = [line.text for line in file.lines if line.newline]
    file_diff.crlf = bool(ended) and all(text.endswith("\r") for text in ended)
    text = "\n".join(_visible(line.text, file_diff.crlf) for line in file.lines)
    file_diff.hidden_characters = hides(text)
    file_diff.heavy = file_diff.added + file_diff.removed > HEAVY_LINES or _weight(file, file_diff) > HEAVY_CHARACTERS
    return file_diff


def _weight(file: DiffFile, file_diff: FileDiff) -> int:
    """About how many characters a page would hold for a file's lines."""
    texts = [_visible(line.text, file_diff.crlf)[:LONGEST_SHOWN] for line in file.lines]
    return sum(map(len, texts)) + (GHOST * sum(map(count_hidden, texts)) if file_diff.hidden_characters else 0)


def _lines(lines: Iterable[DiffLine]) -> list[Line]:
    made = []
    for line in lines:
        made.append(Line(line.kind, line.text, line.old, line.new))
        if not line.newline:
            made.append(Line("note", NO_NEWLINE))
    return made


def _visible(text: str, crlf: bool) -> str:
    """A line without the carriage return that ends it, where all lines of its file end so."""
    return text.removesuffix("\r") if crlf else text


def too_large(diff: str) -> bool:
    """Whether a diff is offered as a download only."""
    if diff.count("\n") > MAX_SHOWN_LINES:
        return True
    return len(diff) * 4 > MAX_SHOWN_BYTES and len(diff.encode()) > MAX_SHOWN_BYTES


def ignore_space(hunk: Hunk) -> None:
    """Turn lines that differ in white space alone into context, so that what is left is the change in words."""
    lines: list[Line] = []
    block: list[Line] = []
    for line in [*hunk.lines, None]:
        if line is not None and line.kind != "context":
            block.append(line)
            continue
        lines += _respaced(block)
        block = []
        if line is not None:
            lines.append(line)
    hunk.lines = lines


def _respaced(block: Sequence[Line]) -> Iterator[Line]:
    """A block of changed lines without those that are the same but for white space."""
    before, after = ([line for line in block if line.kind == kind] for kind in ("removed", "added"))
    old_keys, new_keys = ([_SPACE.sub("", line.text) for line in side] for side in (before, after))
    for tag, i, j, k, m in steps_between(old_keys, new_keys):
        if tag == "equal":
            for old, new in zip(before[i:j], after[k:m], strict=True):
                yield Line("context", new.text, old=old.old, new=new.new, respaced=old.text != new.text)
        else:
            yield from before[i:j]
            yield from after[k:m]
    yield from (line for line in block if line.kind == "note")


def chunks_of(files: Iterable[FileDiff]) -> frozenset[Chunk]:
    """Every chunk of a diff, to recognise it in another one."""
    return frozenset(_chunk(file, lines) for file in files for hunk in file.hunks for lines in hunk.chunks())


def _chunk(file: FileDiff, lines: Sequence[Line]) -> Chunk:
    return file.path, tuple(f"{line.kind[0]}{line.text}" for line in lines)


def unfold(file: FileDiff, texts: Texts, wanted: Iterable[int] = ()) -> None:
    """Set the parts of a file: its hunks, and between them the gaps, opened around `wanted` lines of the new side."""
    after = texts[1] if texts[1] is not None else texts[0]
    lines = None if after is None else after.split("\n")
    total = None if lines is None else len(lines) - (lines[-1] == "")
    file.parts, old, new, wanted = [], 1, 1, sorted(wanted)
    for hunk in file.hunks:
        gap = Gap(old, new, max(0, hunk.new - new), hunk.place)
        file.parts += [*opened(gap, lines, wanted), hunk]
        old, new = hunk.old + hunk.old_count, hunk.new + hunk.new_count
    if file.kind == "modified" and total is not None and total >= new:
        file.parts += opened(Gap(old, new, total - new + 1, last=True), lines, wanted)


def opened(gap: Gap, lines: Sequence[str] | None, wanted: Sequence[int]) -> Iterator[Gap | Hunk]:
    """A gap with the lines around those that are wanted; the gap itself where none is in it, nothing for an empty one."""
    at = gap.new
    end = gap.new + gap.count
    if lines is not None and 0 < gap.count < SMALLEST:
        yield context(gap, lines, at, end)
        return
    ranges = wanted if lines is not None else []  # in order
    for line in ranges[bisect_left(ranges, at - AROUND) : bisect_right(ranges, end + AROUND)]:
        first, stop = max(at, line - AROUND), min(end, line + AROUND + 1)
        if gap.new <= line < end and first < stop:
            if first > at:
                yield replace(gap, old=gap.old + at - gap.new, new=at, count=first - at, place="", last=False)
            yield context(gap, lines or (), first, stop)
            at = stop
    if at < end or (not gap.count and gap.place and not gap.last):
        yield replace(gap, old=gap.old + at - gap.new, new=at, count=end - at)


def context(gap: Gap, lines: Sequence[str], first: int, stop: int) -> Hunk:
    """Lines `first` to before `stop` of the new side of a gap, as a hunk without a change."""
    shift = gap.old - gap.new
    visible = [Line("context", lines[n - 1], old=n + shift, new=n) for n in range(first, min(stop, len(lines) + 1))]
    return Hunk("", visible, first + shift, first, len(visible), len(visible))


def prepare(
    file: FileDiff,
    texts: Texts,
    *,
    wanted: Iterable[int] = (),
    without_space: bool = False,
    rebased: frozenset[Chunk] = frozenset(),
    work: Work | None = None,
) -> None:
    """All steps on one file. `rebased` are the chunks that a newer baseline brought; `work` is what the page has left."""
    work = work or Work()
    for hunk in file.hunks:
        for lines in hunk.chunks():
            for line in lines if rebased and _chunk(file, lines) in rebased else ():
                line.rebased = True
        if without_space:
            ignore_space(hunk)
        mark_words(hunk, work)
        for lines in hunk.chunks():
            lines[0].first = True
    unfold(file, texts, wanted)
    colour(file.path, file.parts, texts, file.crlf)
    file.coloured = any(text is not None and coloured_lines(file.path, text) for text in texts)
    file.loaded = True


def hides(text: str) -> bool:
    """Whether a line holds characters that a reader would not see, or would take for others."""
    return hides_something(text) or next(odd_letters(text), None) is not None


def colour(path: str, parts: Iterable[Hunk | Gap], texts: Texts, crlf: bool) -> None:
    """Write the HTML of every line; the colours of a line only where the file really has this line there."""
    before, after = (coloured_lines(path, text) if text is not None else () for text in texts)
    for part in parts:
        for line in part.lines if isinstance(part, Hunk) else ():
            side, number = (before, line.old) if line.kind == "removed" else (after, line.new)
            line.html, line.rest = _rendered(_visible(line.text, crlf), _spans(side, number, line.text), line.marks)


def _rendered(text: str, spans: Sequence[Span], marks: Sequence[tuple[int, int]]) -> tuple[SafeString, int]:
    """The HTML of a line's beginning, and how many characters are left."""
    rest = max(0, len(text) - LONGEST_SHOWN)
    if not rest:
        return render_line(text, spans, marks), 0
    visible = spans[: bisect_left(spans, (LONGEST_SHOWN,))]
    return render_line(text[:LONGEST_SHOWN], visible, marks, goes_on=True), rest


def rest_of_line(path: str, text: str, number: int, crlf: bool = False) -> SafeString | None:
    """The HTML of what `colour` leaves out of a line of a file; None where the file has no such line."""
    lines = text.split("\n")
    if not 0 < number <= len(lines):
        return None
    line = lines[number - 1]
    spans = _spans(coloured_lines(path, text), number, line)
    later = [(max(0, a - LONGEST_SHOWN), b - LONGEST_SHOWN, css) for a, b, css in spans if b > LONGEST_SHOWN]
    return render_line(_visible(line, crlf)[LONGEST_SHOWN:], later, [])


def _spans(side: Sequence[tuple[str, tuple[Span, ...]]], number: int | None, text: str) -> tuple[Span, ...]:
    if number is None or not 0 < number <= len(side) or side[number - 1][0] != text:
        return ()
    return side[number - 1][1]
