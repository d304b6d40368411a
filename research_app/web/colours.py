"""One line of code as HTML: the colours of its language, its changed words, and nothing that hides."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.token import STANDARD_TYPES, Token, _TokenType
from pygments.util import ClassNotFound

from research_app.web.text import visible

MAX_COLOURED_LINES = 20_000  # of one file: above, its lines stay black

Span = tuple[int, int, str]  # start, end, class

# The classes of static/css/diff.css: one hue per kind of word, so that the red and green of the change stay loudest.
_CLASSES = {
    Token.Comment: "c",
    Token.Keyword: "k",
    Token.Operator.Word: "k",
    Token.Literal.String: "s",
    Token.Literal.Number: "m",
    Token.Name.Function: "f",
    Token.Name.Class: "f",
    Token.Name.Decorator: "d",
    Token.Name.Builtin: "b",
}


@lru_cache(maxsize=64)
def coloured_lines(path: str, text: str) -> tuple[tuple[str, tuple[Span, ...]], ...]:
    """(text, spans) of every line of a file, lexed as a whole so that long strings and comments come out right."""
    if text.count("\n") > MAX_COLOURED_LINES:
        return ()
    try:
        lexer = get_lexer_for_filename(path, stripnl=False, ensurenl=False)
    except ClassNotFound:
        lexer = TextLexer(stripnl=False, ensurenl=False)
    lines: list[tuple[str, tuple[Span, ...]]] = []
    so_far = ""
    spans: list[Span] = []
    for token, value in lexer.get_tokens(text):
        css = _css(token)
        for i, piece in enumerate(value.split("\n")):
            if i:
                lines.append((so_far, tuple(spans)))
                so_far, spans = "", []
            if css and piece:
                spans.append((len(so_far), len(so_far) + len(piece), css))
            so_far += piece
    lines.append((so_far, tuple(spans)))
    return tuple(lines)


@lru_cache(maxsize=len(STANDARD_TYPES) * 2)
def _css(token: _TokenType) -> str:
    kind: _TokenType | None = token
    while kind is not None:
        if kind in _CLASSES:
            return _CLASSES[kind]
        kind = kind.parent
    return ""


def render_line(text: str, spans: Sequence[Span], marks: Sequence[tuple[int, int]]) -> SafeString:
    """HTML of one line: colour spans and word marks laid over each other, everything escaped, odd characters shown."""
    odd = tuple(odd_letters(text))
    end = len(text.rstrip())
    cuts = {0, end, len(text), *(i for mark in marks for i in mark), *(i for at in odd for i in (at, at + 1))}
    parts = []
    marked = False
    for start, stop in pairwise(sorted(cuts.union(*(span[:2] for span in spans)))):
        inside = any(low <= start < high for low, high in marks)
        if inside != marked:
            parts.append("<mark>" if inside else "</mark>")
            marked = inside
        css = next((css for low, high, css in spans if low <= start < high), "")
        piece = _named(text[start]) if start in odd else visible(text[start:stop])
        if "\t" in piece:
            piece = mark_safe(piece.replace("\t", '<span class="tab">\t</span>'))
        css = f"{css} trail".lstrip() if start >= end else css
        parts.append(f'<span class="{css}">{piece}</span>' if css else piece)
    if marked:
        parts.append("</mark>")
    return mark_safe("".join(parts))  # `visible` escapes, classes are ours


_WORD = re.compile(r"\w+")
_ALPHABETS = ("CYRILLIC", "ARMENIAN", "CHEROKEE", "LISU", "COPTIC")
_SAME_TO_PYTHON = ("FULLWIDTH", "MATHEMATICAL")  # identifiers are normalised: these become plain letters
_GREEK = frozenset("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧο")  # the others look like what they are, and mathematics wants them


def odd_letters(text: str) -> Iterator[int]:
    """Positions of letters that look like Latin ones beside them, and of those that Python takes for others."""
    if text.isascii():
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
