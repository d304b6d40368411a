"""No pattern takes a time that grows with the square of a text: each is tried with hostile text of growing length."""

import ast
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from re import _constants, _parser  # how re itself reads a pattern
from typing import Any

import pytest

ROOMS = ("research_app", "agent", "training")
WHOLE = {"match", "fullmatch"}  # are asked once; the others go through the text
FUNCTIONS = WHOLE | {"search", "sub", "subn", "split", "findall", "finditer"}
PIECES = (
    " ", "\t", "\n", " \n", "a", "A", "1", "_", "-", ".", ",", ":", "=", "/", "\\", "'", '"', "#", "(", "[", "<", "@", "*",
    "a ", "a.", "a_", "a:", "a=", "a-", "1,", "1.", "1e", "0.1 ", " -", ": ", "= ", '\\"', "\\\\", "b/", "é", "\u2028",
    "loss: ", "step 1 | ", "than ", "instead of ", "@@ -1 ", "[a]", "a: b\n", "r1,", "\x1b[", "a\n\n", "a..",
)  # fmt: skip
LENGTHS = (200, 1_500, 6_000)
NOTHING = 0.03  # seconds
STEEP = 9.0  # times as long for four times the text: more than linear (which is 4; the square is 16)
MACHINES_OWN = {"research_app/loop/attention/lost.py"}  # reads the names that workers give themselves


def patterns() -> Iterator[tuple[str, str, int, bool]]:
    """(place, pattern, flags, whether it is asked once for a text) of every pattern that is written out in the code."""
    for path in (path for room in ROOMS for path in sorted(Path(room).rglob("*.py")) if str(path) not in MACHINES_OWN):
        tree = ast.parse(path.read_text())
        named = {
            node.value: node.targets[0].id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
        used: dict[str, set[str]] = {}
        for call in calls:
            if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
                used.setdefault(call.func.value.id, set()).add(call.func.attr)
        for call in calls:
            assert isinstance(call.func, ast.Attribute)
            if not (isinstance(call.func.value, ast.Name) and call.func.value.id == "re" and call.args):
                continue
            text, way = written(call.args[0]), call.func.attr
            if text is None or way not in FUNCTIONS | {"compile"}:
                continue
            ways = used.get(named.get(call, ""), FUNCTIONS) & FUNCTIONS if way == "compile" else {way}
            yield f"{path}:{call.lineno}", text, flags_of(call), bool(ways) and ways <= WHOLE


def written(node: ast.expr) -> str | None:
    """The pattern of a literal; what an f-string fills in is taken for a letter."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "a" for part in node.values)
    return None


def flags_of(call: ast.Call) -> int:
    named = {node.attr for node in ast.walk(call) if isinstance(node, ast.Attribute) and node.attr.isupper()}
    return sum(int(getattr(re, name)) for name in named if hasattr(re, name))


def beginnings(pattern: re.Pattern[str]) -> Iterator[str]:
    """Texts that match up to each part of a pattern, so that what is repeated behind them meets every part.

    Not up to a letter that stands for itself: there a text fails at once, whatever is repeated.
    """
    made = ""
    yield made
    for node in _parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE):
        if node[0] is not _constants.LITERAL:
            yield made
        made += shortest(node)
    yield made


def shortest(node: Any) -> str:
    """A short text for one part of a parsed pattern."""
    kind, value = node
    match kind:
        case _constants.LITERAL:
            return chr(value)
        case _constants.NOT_LITERAL | _constants.ANY:
            return "b" if value == ord("a") else "a"
        case _constants.IN:
            return next((text for text in "a1 A-_.,:;\n\x1b" if re.fullmatch(in_words(value), text)), "a")
        case _constants.MAX_REPEAT | _constants.MIN_REPEAT | _constants.POSSESSIVE_REPEAT:
            return "".join(map(shortest, value[2])) * max(1, min(value[0], 40))
        case _constants.SUBPATTERN:
            return "".join(map(shortest, value[-1]))
        case _constants.BRANCH:
            return "".join(map(shortest, value[1][0]))
    return ""


def in_words(items: Any) -> str:
    """A set of characters as a pattern."""
    words = ""
    for kind, value in items:
        if kind is _constants.LITERAL:
            words += re.escape(chr(value))
        elif kind is _constants.RANGE:
            words += f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
        elif kind is _constants.CATEGORY:
            words += {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w", "NOT_SPACE": r"\S"}.get(str(value)[9:], "a")
    return f"[{'^' if items[0][0] is _constants.NEGATE else ''}{words or 'a'}]"


FOUND = {f"{place} {text[:80]!a}": (re.compile(text, flags), once) for place, text, flags, once in patterns()}


def seconds(way: Callable[[str], object], text: str) -> float:
    begin = time.process_time()
    way(text)
    return time.process_time() - begin


def is_steep(way: Callable[[str], object], text: Callable[[int], str]) -> bool:
    short, middle, long = LENGTHS
    if seconds(way, text(short)) > 10 * NOTHING or seconds(way, text(middle)) > 10 * NOTHING:
        return True  # a longer text might take for ever
    if seconds(way, text(long)) < NOTHING:
        return False
    ratio = min(seconds(way, text(long)) for _ in range(3)) / max(min(seconds(way, text(middle)) for _ in range(3)), 1e-3)
    return ratio > STEEP


def test_there_are_patterns() -> None:
    assert len(FOUND) > 80


@pytest.mark.slow
@pytest.mark.parametrize("name", FOUND)
def test_a_pattern_is_linear_in_the_text(name: str) -> None:
    pattern, once = FOUND[name]
    ways: list[Callable[[str], object]] = [pattern.match, pattern.fullmatch]
    if not once:
        ways.append(lambda text: [None for _ in pattern.finditer(text)])
    begins = list(dict.fromkeys([*beginnings(pattern), "a = "]))
    for begin in begins:
        for piece in (*PIECES, *(own for own in begins if 0 < len(own) <= 40)):
            for end in ("", "!", "\x00x"):
                text = partial(hostile, begin, piece, end)
                assert not any(is_steep(way, text) for way in ways), (begin, piece, end)


def hostile(begin: str, piece: str, end: str, length: int) -> str:
    return begin + piece * (length // len(piece)) + end
