"""The one parser of unified diffs: whoever wants to know what one says asks `parse_diff` (docs/decisions/0017-one-parser.md).

What is content is decided by the lengths that a hunk's head states, never by the look of a line: a removed line may begin with
`-- `, an added one with `++ `. A line ends with a line feed and with nothing else, as git counts: form feeds, carriage returns
and Unicode's line separators are characters like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Literal, NamedTuple

Kind = Literal["modified", "added", "deleted", "renamed", "copied"]
LineKind = Literal["context", "added", "removed"]

# The pairs of prefixes that git writes, by default and with diff.mnemonicPrefix.
_PREFIXES = [(pair[0] + "/", pair[1] + "/") for pair in ("ab", "ba", "iw", "wi", "ci", "ic", "cw", "wc", "ow", "wo")]
_NOWHERE = "/dev/null"
_HUNK = re.compile(
    r"@@ -([0-9]{1,9})(?:,([0-9]{1,9}))? \+([0-9]{1,9})(?:,([0-9]{1,9}))? @@ ?(.*)",
    re.DOTALL,
)
_PLACE = re.compile(r"^@@ -[0-9, +]+ @@ (.+)$", re.MULTILINE)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_ESCAPES = {b"a": b"\a", b"b": b"\b", b"t": b"\t", b"n": b"\n", b"v": b"\v", b"f": b"\f", b"r": b"\r"}


class DiffLine(NamedTuple):
    """One line of a file as it stands there, without its line feed. Numbers count from 1; None on the side that lacks it.

    A tuple, because a diff may have hundreds of thousands of them.
    """

    kind: LineKind
    text: str
    old: int | None
    new: int | None
    at: int  # index among the lines of the diff itself
    newline: bool = True  # False: the file ends with this line, without a line feed


@dataclass(frozen=True)
class DiffHunk:
    """Consecutive lines. `old` and `new` number the first line of each side, also where that side has none here.

    `place` is what git names after the @@: the function or class around it.
    """

    place: str
    old: int
    old_count: int
    new: int
    new_count: int
    lines: tuple[DiffLine, ...]


@dataclass(frozen=True)
class DiffFile:
    """One file of a diff. A path is None on the side where the file does not exist; modes are octal digits, "" where unsaid.

    `first` and `stop` say which of the diff's own lines are about it.
    """

    kind: Kind
    old_path: str | None
    new_path: str | None
    hunks: tuple[DiffHunk, ...]
    old_mode: str
    new_mode: str
    binary: bool
    prefixed: bool  # whether its paths were written with git's prefixes, a/ and b/
    first: int
    stop: int

    @property
    def path(self) -> str:
        """Where the file is after the change, or was before it was deleted."""
        return self.new_path if self.new_path is not None else self.old_path or ""

    @property
    def lines(self) -> Iterator[DiffLine]:
        for hunk in self.hunks:
            yield from hunk.lines


def parse_diff(diff: str) -> list[DiffFile]:
    """The files of a unified diff, as git or diff(1) print it. What is no part of a diff, such as a mail's text, is skipped.

    A hunk that ends before the lengths in its head are reached ends with its last line that can be one.
    """
    files: list[_File] = []
    lines = diff.split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("diff --git "):
            files.append(_File(at, *_names_of_header(_bare(line[len("diff --git ") :]))))
        elif line.startswith("--- ") and at + 1 < len(lines) and lines[at + 1].startswith("+++ "):
            if not files or files[-1].has_names or files[-1].hunks:
                files.append(_File(at))
            files[-1].name(_name(line[4:]), _name(lines[at + 1][4:]))
            at += 1
        elif files and (head := _HUNK.match(line)):
            hunk, at = _read_hunk(head, lines, at + 1)
            files[-1].hunks.append(hunk)
            continue
        elif files and not files[-1].hunks:
            files[-1].read_header(_bare(line))
        at += 1
    return [file.done(following.first if following else len(lines)) for file, following in zip_longest(files, files[1:])]


def places_of(diff: str) -> set[str]:
    """What git names after the @@ of the hunks: the functions and classes that change. Cheap: no line of content is read."""
    return set(_PLACE.findall(diff))  # lines of content begin with ' ', '+', '-' or '\\', so these are heads


def path_at(diff: str, at: int) -> str:
    """The path of the file to which a character of a diff belongs; empty for none. Reads no more than that file."""
    start, end = max(0, diff.rfind("\ndiff --git ", 0, at)), diff.find("\n", at)
    files = parse_diff(diff[start : end if end >= 0 else len(diff)])
    return files[-1].path if files else ""


def lines_of(text: str) -> list[str]:
    """The lines of a text as git counts them, each with its line feed; the last one has none where the text ends without."""
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


@dataclass
class _File:
    """A file while its header is read."""

    first: int
    old: str | None = ""
    new: str | None = ""
    has_names: bool = False  # said by --- and +++
    kind: Kind = "modified"
    moved_from: str | None = None  # said without prefixes by "rename from", "copy from"
    moved_to: str | None = None
    old_mode: str = ""
    new_mode: str = ""
    binary: bool = False
    hunks: list[DiffHunk] = field(default_factory=list)

    def name(self, old: str | None, new: str | None) -> None:
        """Take the names of the --- and +++ lines."""
        self.old, self.new, self.has_names = old, new, True

    def read_header(self, line: str) -> None:
        """One line between `diff --git` and the first hunk."""
        match line.split(" "):
            case ["old", "mode", mode]:
                self.old_mode = mode
            case ["new", "mode", mode]:
                self.new_mode = mode
            case ["new", "file", "mode", mode]:
                self.kind, self.new_mode = "added", mode
            case ["deleted", "file", "mode", mode]:
                self.kind, self.old_mode = "deleted", mode
            case ["index", _, mode]:
                self.old_mode = self.new_mode = mode
            case ["rename" | "copy" as how, "from", *_]:
                self.kind = "renamed" if how == "rename" else "copied"
                self.moved_from = _name(line[len(f"{how} from ") :])
            case ["rename" | "copy" as how, "to", *_]:
                self.moved_to = _name(line[len(f"{how} to ") :])
            case ["Binary", "files", *_] | ["GIT", "binary", "patch"]:
                self.binary = True

    def done(self, stop: int) -> DiffFile:
        """The file as it is known now."""
        old, new, kind = self.old, self.new, self.kind
        prefixed = any(
            (old is None or old.startswith(before)) and (new is None or new.startswith(after)) for before, after in _PREFIXES
        )
        if prefixed:
            old, new = (name if name is None else name[2:] for name in (old, new))
        old = old if self.moved_from is None else self.moved_from
        new = new if self.moved_to is None else self.moved_to
        if kind == "added" or (kind == "modified" and old is None):
            kind, old = "added", None
        elif kind == "deleted" or (kind == "modified" and new is None):
            kind, new = "deleted", None
        return DiffFile(
            kind, old, new, tuple(self.hunks), self.old_mode, self.new_mode, self.binary, prefixed, self.first, stop
        )


def _read_hunk(head: re.Match[str], lines: Sequence[str], at: int) -> tuple[DiffHunk, int]:
    """The hunk whose first line is at `at`, and the index of the first line after it."""
    left, right = (1 if head[group] is None else int(head[group]) for group in (2, 4))
    # Of a side without lines git names the line before it.
    old, new = int(head[1]) + (left == 0), int(head[3]) + (right == 0)
    hunk = (_bare(head[5]), old, left, new, right)
    hunk_lines: list[DiffLine] = []
    while at < len(lines):
        sign, text = lines[at][:1], lines[at][1:]
        if sign == "\\" and hunk_lines:
            hunk_lines[-1] = hunk_lines[-1]._replace(newline=False)
        elif sign == "+" and right:
            hunk_lines.append(DiffLine("added", text, None, new, at))
            new, right = new + 1, right - 1
        elif sign == "-" and left:
            hunk_lines.append(DiffLine("removed", text, old, None, at))
            old, left = old + 1, left - 1
        elif left and right and (sign == " " or (lines[at] in ("", "\r") and at + 1 < len(lines))):
            # An empty line that was context lost its space to an editor.
            hunk_lines.append(DiffLine("context", text if sign == " " else lines[at], old, new, at))
            old, new, left, right = old + 1, new + 1, left - 1, right - 1
        else:
            break
        at += 1
    return DiffHunk(*hunk, tuple(hunk_lines)), at


def _bare(line: str) -> str:
    """A line of a header without the carriage return that a mailer or a form put there: git quotes those of a name."""
    return line.removesuffix("\r")


def _name(name: str) -> str | None:
    """The name that a header states, unquoted; None for /dev/null. diff(1) puts a tab and the time behind it."""
    name = _bare(name)
    if quoted := _QUOTED.match(name):
        return _unquoted(quoted[0])
    plain = name.partition("\t")[0]
    return None if plain == _NOWHERE else plain


def _unquoted(name: str) -> str:
    """Undo git's quoting of unusual names. Bytes that are no UTF-8 stand as escapes."""
    data = name[1:-1].encode("utf-8", "surrogatepass")
    plain = _ESCAPE.sub(lambda match: _unescaped(match[1]), data)
    return plain.decode("utf-8", "backslashreplace")


def _unescaped(code: bytes) -> bytes:
    return bytes([int(code, 8) & 0xFF]) if code[:1] in b"01234567" else _ESCAPES.get(code, code)


def _names_of_header(names: str) -> tuple[str, str]:
    """The two names of a `diff --git` line. Spaces are not quoted there; but where the names are two, other lines say them."""
    if first := _QUOTED.match(names):
        rest = names[first.end() + 1 :]
        second = _QUOTED.match(rest)
        return _unquoted(first[0]), _unquoted(second[0]) if second else rest
    if names.endswith('"') and (start := names.find(' "')) > 0:
        return names[:start], _unquoted(names[start + 1 :])
    half = len(names) // 2
    if names[half : half + 1] == " " and names[:half].partition("/")[2] == names[half + 1 :].partition("/")[2]:
        return names[:half], names[half + 1 :]
    for before, after in _PREFIXES:
        if names.startswith(before) and (space := names.find(f" {after}")) > 0:
            return names[:space], names[space + 1 :]
    first_name, _, second_name = names.partition(" ")
    return first_name, second_name
