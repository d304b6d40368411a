"""The diff as a page shows it: a pipeline of small pure steps, parse → colour → mark words → lines of HTML.

What is shown is the stored diff, line for line: colours and words only decorate it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import groupby, pairwise
from typing import Any

from django.utils.safestring import SafeString, mark_safe
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.token import STANDARD_TYPES, Token, _TokenType
from pygments.util import ClassNotFound

from research_app.web.text import hides_something, visible

MAX_COLOURED_LINES = 20_000  # of one file: above, its lines stay black
MAX_SHOWN_BYTES = 2 << 20  # of one diff: above, it is offered as a download only
MAX_WORD_LINES = 400  # of one changed block: above, no words are marked
MAX_WORD_LENGTH = 1000  # of one line, in characters

Span = tuple[int, int, str]  # start, end, class
Read = Callable[[str], tuple[str, str]]  # path → text of the file before and after


@dataclass
class Line:
    """One line of a hunk. `old` and `new` are line numbers; `html` is safe."""

    kind: str  # "context", "added", "removed" or "note"
    text: str
    old: int | None = None
    new: int | None = None
    marks: list[tuple[int, int]] = field(default_factory=list)
    flags: list[Any] = field(default_factory=list)  # findings.Flag: risky edits on this line
    html: SafeString = field(default_factory=SafeString)

    @property
    def sign(self) -> str:
        return {"added": "+", "removed": "−"}.get(self.kind, "")


@dataclass
class Hunk:
    """Consecutive lines; `place` is what git names after the @@."""

    place: str
    lines: list[Line]


@dataclass
class FileDiff:
    """One file of a diff."""

    path: str
    kind: str  # "modified", "added" or "deleted"
    hunks: list[Hunk]
    added: int = 0
    removed: int = 0
    hidden_characters: bool = False
    coloured: bool = True


_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)")


def parse(diff: str) -> list[FileDiff]:
    """Files and hunks of a unified diff as git prints it. Hunk lengths decide what is content, never the look of a line."""
    files: list[FileDiff] = []
    lines = diff.split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("diff --git "):
            files.append(FileDiff(_unquote(line.rsplit(" b/", 1)[-1].rstrip('"')), "modified", []))
        elif files and line.startswith("new file mode"):
            files[-1].kind = "added"
        elif files and line.startswith("deleted file mode"):
            files[-1].kind = "deleted"
        elif files and (path := _path_of(line)):
            files[-1].path = path
        elif files and (head := _HUNK.match(line)):
            at = _read_hunk(files[-1], head, lines, at + 1)
            continue
        at += 1
    return files


def _path_of(line: str) -> str:
    """The path that a ---/+++ line names, "" for other lines and for /dev/null."""
    if not line.startswith(("--- ", "+++ ")):
        return ""
    name = _unquote(line[4:].rstrip("\t"))
    return "" if name == "/dev/null" else name[2:] if name.startswith(("a/", "b/")) else name


def _unquote(name: str) -> str:
    """Undo git's quoting of unusual file names."""
    if not (name.startswith('"') and name.endswith('"')):
        return name
    plain = name[1:-1].encode("latin-1", "backslashreplace").decode("unicode_escape", "replace")
    return plain.encode("latin-1", "replace").decode("utf-8", "replace")


def _read_hunk(file: FileDiff, head: re.Match[str], lines: Sequence[str], at: int) -> int:
    """Read one hunk into the file; the index of the first line after it."""
    old, new = int(head[1]), int(head[3])
    left = int(head[2] if head[2] is not None else 1)
    right = int(head[4] if head[4] is not None else 1)
    hunk = Hunk(head[5], [])
    while at < len(lines) and (left > 0 or right > 0 or lines[at].startswith("\\")):
        sign, text = lines[at][:1], lines[at][1:]
        if sign == "+":
            hunk.lines.append(Line("added", text, new=new))
            new, right, file.added = new + 1, right - 1, file.added + 1
        elif sign == "-":
            hunk.lines.append(Line("removed", text, old=old))
            old, left, file.removed = old + 1, left - 1, file.removed + 1
        elif sign == "\\":
            hunk.lines.append(Line("note", text.strip()))
        else:
            hunk.lines.append(Line("context", text, old=old, new=new))
            old, new, left, right = old + 1, new + 1, left - 1, right - 1
        at += 1
    file.hunks.append(hunk)
    return at


def mark_words(hunk: Hunk) -> None:
    """Mark what changed inside lines, where a block of removed lines is followed by one of added lines."""
    blocks = [(kind, list(lines)) for kind, lines in groupby((x for x in hunk.lines if x.kind != "note"), lambda x: x.kind)]
    for (kind, before), (following, after) in pairwise(blocks):
        if kind == "removed" and following == "added" and max(len(before), len(after)) <= MAX_WORD_LINES:
            for old, new in _pairs(before, after):
                old.marks, new.marks = _changed_words(old.text, new.text)


def _pairs(before: Sequence[Line], after: Sequence[Line]) -> Iterator[tuple[Line, Line]]:
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
    return (
        SequenceMatcher(None, _words(old), _words(new), autojunk=False).ratio()
        if len(old) + len(new) < 2 * MAX_WORD_LENGTH
        else 0.0
    )


_WORDS = re.compile(r"\w+|\s+|.")


def _words(text: str) -> list[str]:
    return _WORDS.findall(text)


def _changed_words(old: str, new: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
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


@lru_cache(maxsize=len(STANDARD_TYPES) * 2)
def _css(token: _TokenType) -> str:
    kind: _TokenType | None = token
    while kind is not None:
        if kind in _CLASSES:
            return _CLASSES[kind]
        kind = kind.parent
    return ""


def render_line(text: str, spans: Sequence[Span], marks: Sequence[tuple[int, int]]) -> SafeString:
    """HTML of one line: colour spans and word marks laid over each other, everything escaped."""
    cuts = sorted({0, len(text), *(i for span in spans for i in span[:2]), *(i for mark in marks for i in mark)})
    parts = []
    marked = False
    for start, end in pairwise(cuts):
        inside = any(low <= start < high for low, high in marks)
        if inside != marked:
            parts.append("<mark>" if inside else "</mark>")
            marked = inside
        css = next((css for low, high, css in spans if low <= start < high), "")
        piece = visible(text[start:end])
        parts.append(f'<span class="{css}">{piece}</span>' if css else piece)
    if marked:
        parts.append("</mark>")
    return mark_safe("".join(parts))  # `visible` escapes, classes are ours


def rendered(diff: str, read: Read) -> list[FileDiff]:
    """The files of a diff with every line as HTML. `read` may raise LookupError: then that file has no colours."""
    files = parse(diff)
    for file in files:
        try:
            before, after = (coloured_lines(file.path, text) for text in read(file.path))
        except LookupError:
            before = after = ()
        file.coloured = bool(before or after)
        for hunk in file.hunks:
            mark_words(hunk)
            for line in hunk.lines:
                file.hidden_characters |= line.kind != "note" and hides_something(line.text)
                side, number = (before, line.old) if line.kind == "removed" else (after, line.new)
                line.html = render_line(line.text, _spans(side, number, line.text), line.marks)
    return files


def _spans(side: Sequence[tuple[str, tuple[Span, ...]]], number: int | None, text: str) -> tuple[Span, ...]:
    """Colours of a line, if the file really has this line there."""
    if number is None or not 0 < number <= len(side) or side[number - 1][0] != text:
        return ()
    return side[number - 1][1]


def too_large(diff: str) -> bool:
    """Whether a diff is offered as a download only."""
    return len(diff.encode()) > MAX_SHOWN_BYTES


def texts_of(before: Mapping[str, str], after: Mapping[str, str]) -> Read:
    """Read from two sets of files; a file of one side is empty on the other, one of neither is a LookupError."""

    def read(path: str) -> tuple[str, str]:
        if path not in before and path not in after:
            raise LookupError(path)
        return before.get(path, ""), after.get(path, "")

    return read
