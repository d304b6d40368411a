"""Detectors of code that a reader overlooks: names that look like others, letters that cannot be seen, code far to the right.

Only what a change brings is looked at. Which letters look alike is Unicode's own list (confusables.txt, UTS #39), as the
package confusable-homoglyphs carries it; Greek letters of mathematics count only where they make up a name that is there.
"""

from __future__ import annotations

import builtins
import io
import keyword
import re
import sys
import tokenize
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import PurePosixPath

from confusable_homoglyphs import confusables

from training.detectors.record import Finding
from training.detectors.source import FileEdit, short

COLUMN = 500  # code beyond it is out of sight in every view
SPACES = 80  # so many white characters in a row, with code behind them, push that out of sight
EMPTY_LINES = 60  # so many in a row, with code below them, do the same
SHORTEST = 4  # letters of a name that may be taken for another one of plain letters: w1 and wl are honest
FORMULA = 3  # letters of a name with Greek ones that may be taken for another one: ν and α_1 are honest beside v and a_1
NAME, CODE = "look-alike name", "hidden code"
_WHITE = r"[ \t\u3000\u2000-\u200a]"
# Each stretch is looked at once, from its beginning: again from every place in it would take the square of its length.
PUSHED = re.compile(rf"(?<!{_WHITE}){_WHITE}{{{SPACES},}}+(?=\S)")
MATHEMATICS = frozenset("αβγδεζηθικλμνξοπρςστυφχψωΓΔΘΛΞΠΣΦΨΩϵϑϕϱϖ")
ALIKE = str.maketrans({"l": "I", "1": "I", "O": "0"})  # plain letters and digits that look alike in many fonts
# Letters and marks that a name may hold and nobody sees: fillers, joiners, variation selectors.
UNSEEN = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u2064\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
INVISIBLE = re.compile(f"[{UNSEEN}]")
WORD = re.compile(f"[\\w\u0300-\u036f{UNSEEN}]+")
PROSE = (".md", ".rst", ".txt")
SETS = frozenset("ℂℍℕℙℚℝℤℯⅆⅇⅈⅉℓℛℒ")  # of mathematics, on their own
KNOWN = frozenset((*keyword.kwlist, *dir(builtins)))


def hidden_in(change: FileEdit) -> Iterator[Finding]:
    """Everything of a change that a reader would overlook, by line."""
    if change.after is None:
        return
    prose = PurePosixPath(change.path).suffix in PROSE
    known = _names(change.before or "") | _names(change.after) | KNOWN
    empty = 0
    for number, line in enumerate(change.new, 1):
        if not change.stayed(number):
            yield from () if prose else _names_of_line(change, number, line, known)
            yield from _code_of_line(change, number, line, 0 if prose else empty, sys.maxsize if prose else COLUMN)
        empty = empty + 1 if not line.strip() else 0


def _code_of_line(change: FileEdit, number: int, line: str, empty: int, widest: int) -> Iterator[Finding]:
    """Code that the line holds out of sight."""
    if pushed := PUSHED.search(line):
        behind = line[pushed.end() :]
        yield _finding(change, CODE, number, f"`{short(behind)}` stands behind {pushed.end() - pushed.start():,} blanks")
    elif len(line.rstrip()) > widest:
        yield _finding(change, CODE, number, f"`{short(line[widest:])}` stands beyond column {widest}")
    if empty >= EMPTY_LINES and line.strip():
        yield _finding(change, CODE, number, f"`{short(line)}` stands below {empty:,} empty lines")


def _names_of_line(change: FileEdit, number: int, line: str, known: frozenset[str]) -> Iterator[Finding]:
    """Words of the line, names or within strings, that are not what they look like; in a comment, those of two alphabets."""
    code, mark, _ = line.partition("#")
    comment = frozenset(WORD.findall(line)) - frozenset(WORD.findall(code)) if mark else frozenset()
    for word in dict.fromkeys(WORD.findall(line)):
        if why := misread(word, frozenset() if word in comment else known):
            yield _finding(change, NAME, number, why)


def _finding(change: FileEdit, detector: str, line: int, what: str) -> Finding:
    excerpt = change.shown(line)
    return Finding(detector, "warning", f"{change.path}, line {excerpt}: {what}.", path=change.path, line=excerpt)


def misread(word: str, known: frozenset[str]) -> str:
    """Why a reader would take a word for another one, as the beginning of a sentence; empty where nobody would.

    `known`: the names of the file; none for a word of a comment.
    """
    if (seen := INVISIBLE.search(word)) and (seen[0] != word or word.isidentifier()):  # alone it belongs to an emoji
        return f"`{_spelled(word)}` holds U+{ord(seen[0]):04X}, which cannot be seen"
    if seen or word.isascii():
        return _plain_twin(word, known)
    normal = unicodedata.normalize("NFKC", word)
    if normal != word and normal.isascii() and word.isidentifier() and known and word not in SETS:  # x² is no name
        return f"`{word}` is `{normal}` to Python, in other letters ({_named(word)})"
    reads = reading(normal)
    if not reads.isascii():
        return ""
    if not _disguised(normal, reads, known):
        return ""
    return f"`{word}` reads like `{reads}` and is another name ({_named(word)})"


def _disguised(word: str, reads: str, known: frozenset[str]) -> bool:
    """Whether a word that reads like plain letters is meant to: it is of two alphabets, or has a plain twin in the file.

    A word of one alphabet alone is a word of a language, or a letter of a formula.
    """
    if all(letter.isascii() or letter in MATHEMATICS for letter in word):
        return reads in known and sum(letter.isalpha() for letter in word) >= FORMULA
    return reads in known or any("a" <= letter.lower() <= "z" for letter in word)


def _plain_twin(word: str, known: frozenset[str]) -> str:
    """The other name that this one of plain letters would be taken for: FlNAL_LR for FINAL_LR."""
    if len(word) < SHORTEST or not word.isidentifier():
        return ""
    folded = word.translate(ALIKE)
    twin = next((other for other in _twins(known).get(folded, ()) if other != word), None)
    return f"`{word}` looks like `{twin}` and is another name" if twin else ""


@lru_cache(maxsize=8)
def _twins(known: frozenset[str]) -> dict[str, list[str]]:
    """Names by how they look, where several look the same."""
    groups: dict[str, list[str]] = {}
    for name in sorted(known):
        if len(name) >= SHORTEST and name.isascii():
            groups.setdefault(name.translate(ALIKE), []).append(name)
    return {look: names for look, names in groups.items() if len(names) > 1}


def reading(word: str) -> str:
    """A word with every letter that looks like a plain one replaced by that."""
    return "".join(letter if letter.isascii() else _plain(letter) for letter in word)


@cache
def _plain(letter: str) -> str:
    """The plain letter or digit that this one looks like; itself where there is none."""
    alike = (each["c"] for each in confusables.confusables_data.get(letter, ()))
    return next((other for other in alike if len(other) == 1 and other.isascii() and other.isalnum()), letter)


@lru_cache(maxsize=8)
def _names(text: str) -> frozenset[str]:
    """The names of a Python file; of another one, or of one that cannot be read, its words."""
    try:
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        return frozenset(token.string for token in tokens if token.type == tokenize.NAME)
    except (tokenize.TokenError, SyntaxError, ValueError):
        return frozenset(word for word in WORD.findall(text) if word.isidentifier())


def _named(word: str) -> str:
    """The letters that are not plain, by code point and name."""
    odd = dict.fromkeys(letter for letter in word if not letter.isascii())
    return ", ".join(f"U+{ord(letter):04X} {unicodedata.name(letter, 'a letter').lower()}" for letter in list(odd)[:3])


def _spelled(word: str) -> str:
    """A word with what cannot be seen as code points."""
    return INVISIBLE.sub(lambda seen: f"<U+{ord(seen[0]):04X}>", word)
