"""One line of code as HTML: the colours of its language, its changed words, and nothing that hides.

Everything here takes a time that is linear in the text, by construction: files come from whoever proposes a change, and one
line must not hold up the pages of everybody else.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from research_app.web.diff.languages import Language, language_of
from research_app.web.shared.text import visible

MAX_COLOURED_LINES = 20_000  # of one file: above, its lines stay black
MAX_COLOURED_CHARACTERS = 500_000

Span = tuple[int, int, str]  # start, end, class of static/css/diff.css
ColouredLine = tuple[str, tuple[Span, ...]]


@lru_cache(maxsize=64)
def coloured_lines(path: str, text: str) -> tuple[ColouredLine, ...]:
    """(text, spans) of every line of a file, read as a whole so that long strings and comments come out right.

    Empty for a file that is too large.
    """
    if len(text) > MAX_COLOURED_CHARACTERS or text.count("\n") > MAX_COLOURED_LINES:
        return ()
    lines = text.split("\n")
    language = language_of(path)
    spans_by_line = _by_line(lines, _spans_of(language, text)) if language else [[] for _ in lines]
    return tuple((line, tuple(spans)) for line, spans in zip(lines, spans_by_line, strict=True))


def _spans_of(language: Language, text: str) -> Iterator[Span]:
    """What has a colour in a text, in order."""
    search, classes, at, defines = language.token.search, language.classes, 0, False
    while match := search(text, at):
        kind, word, at = match.lastgroup, match[0], match.end()
        if kind == "word":
            attribute = text[match.start() - 1 : match.start()] == "."
            prefix = text[at : at + 1] in language.quotes and word.lower() in language.prefixes and at < len(text)
            css = "s" if prefix else "f" if defines else "" if attribute else classes.get(word, "")
            defines = word in language.defines
            if css:
                yield match.start(), at, css
            continue
        defines = False
        if kind == "long":
            end, css = language.ends[word]
            close = text.find(end, at)
            at = close + len(end) if close >= 0 else len(text)
            yield match.start(), at, css
        elif kind:
            yield match.start(), at, kind


def _by_line(lines: Sequence[str], spans: Iterator[Span]) -> list[list[Span]]:
    """The spans of each line, counted from its beginning; one over several lines is cut."""
    placed: list[list[Span]] = [[] for _ in lines]
    number, start = 0, 0  # the line that is looked at, and where it begins
    for begin, end, css in spans:
        while begin > start + len(lines[number]):
            start += len(lines[number]) + 1
            number += 1
        while True:
            stop = start + len(lines[number])
            if begin < min(end, stop):
                placed[number].append((begin - start, min(end, stop) - start, css))
            if end <= stop + 1:
                break
            begin = start = stop + 1
            number += 1
    return placed


def render_line(text: str, spans: Sequence[Span], marks: Sequence[tuple[int, int]], *, goes_on: bool = False) -> SafeString:
    """HTML of one line: colour spans and word marks laid over each other, everything escaped, odd characters shown.

    Spans do not overlap each other, nor do marks. One pass over them and the text. `goes_on`: more follows, so that spaces
    at the end are not those of the line.
    """
    odd = set(odd_letters(text))
    end = len(text) if goes_on else len(text.rstrip())
    cuts = {0, end, len(text), *(i for mark in marks for i in mark), *odd, *(i + 1 for i in odd)}
    cuts |= {i for span in spans for i in span[:2]}
    inside = _Passing([(low, high, "mark") for low, high in marks])
    colour = _Passing(spans)
    parts: list[str] = []
    marked = ""
    for start, stop in pairwise(sorted(cut for cut in cuts if 0 <= cut <= len(text))):
        if (mark := inside.at(start)) != marked:
            parts.append("<mark>" if mark else "</mark>")
            marked = mark
        css = f"{colour.at(start)} trail".lstrip() if start >= end else colour.at(start)
        piece = _named(text[start]) if start in odd else visible(text[start:stop])
        if "\t" in piece:
            piece = mark_safe(piece.replace("\t", '<span class="tab">\t</span>'))
        parts.append(f'<span class="{css}">{piece}</span>' if css else piece)
    if marked:
        parts.append("</mark>")
    return mark_safe("".join(parts))  # `visible` escapes, classes are ours


class _Passing:
    """Ranges that are passed from left to right: which one a place is in."""

    def __init__(self, ranges: Sequence[Span]) -> None:
        self._ranges = sorted(ranges)
        self._next = 0

    def at(self, place: int) -> str:
        """The class of the range around a place, "" for none. Places must not go back."""
        while self._next < len(self._ranges) and self._ranges[self._next][1] <= place:
            self._next += 1
        low, _, css = self._ranges[self._next] if self._next < len(self._ranges) else (place + 1, 0, "")
        return css if low <= place else ""


_WORD = re.compile(r"\w+")
# Letters that `_odd` may call so; a text without any is passed at once.
_MAYBE_ODD = re.compile(
    "[\u0370-\u03ff\u0400-\u058f\u13a0-\u13fd\u1c80-\u1c8f\u1d2b\u1d78\u2c80-\u2cff\u2de0-\u2dff\ua4d0-\ua4ff\ua640-\ua69f"
    "\uab70-\uabbf\ufb13-\ufb17\uff00-\uffef\U0001d400-\U0001d7ff\U0001e030-\U0001e08f\U000102e0-\U000102fb\U00011fb0]"
)
_ALPHABETS = ("CYRILLIC", "ARMENIAN", "CHEROKEE", "LISU", "COPTIC")
_SAME_TO_PYTHON = ("FULLWIDTH", "MATHEMATICAL")  # identifiers are normalised: these become plain letters
_GREEK = frozenset("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧο")  # the others look like what they are, and mathematics wants them


def odd_letters(text: str) -> Iterator[int]:
    """Positions of letters that look like Latin ones beside them, and of those that Python takes for others."""
    if text.isascii() or not _MAYBE_ODD.search(text):
        return
    for word in _WORD.finditer(text):
        latin = any("a" <= letter.lower() <= "z" for letter in word[0])
        yield from (word.start() + i for i, letter in enumerate(word[0]) if _odd(letter, latin))


@lru_cache(maxsize=2048)
def _odd(letter: str, beside_latin: bool) -> bool:
    if letter.isascii() or not letter.isalpha():
        return False
    name = unicodedata.name(letter, "")
    return name.startswith(_SAME_TO_PYTHON) or (beside_latin and (letter in _GREEK or name.startswith(_ALPHABETS)))


def _named(letter: str) -> SafeString:
    name = f"U+{ord(letter):04X} {unicodedata.name(letter, 'letter').lower()}"
    return format_html('<span class="odd" title="{}: it looks like another letter">{}</span>', name, letter)
