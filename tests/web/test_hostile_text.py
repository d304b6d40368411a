"""Text from a candidate, an agent or a log of any shape takes a time that grows with its length alone, wherever it is read.

Times are of the processor, and bounds generous: what they catch took seconds to hours.
"""

import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from agent.constants import find_constants
from agent.diff import parse_diff
from agent.resolved import moved_constants, resolved_hash
from agent.title import title_of
from agent.touched import touched_in
from research_app.repository import normalised_syntax_hash
from research_app.web.diff.colours import coloured_lines, odd_letters, render_line
from research_app.web.diff.diff import parse, prepare
from research_app.web.diff.languages import _BY_SUFFIX
from research_app.web.diff.lines import Hunk, Line
from research_app.web.diff.words import mark_words
from research_app.web.shared.text import beginning, spelled, visible
from training.claims import contradictions
from training.detectors import FileEdit, examine_changes
from training.output import OutputParser
from training.spec import SelfReported

LENGTH = 50_000
PIECES = {
    "spaces": " ", "lines": "\n", "spaces on lines": " \n", "words": "a ", "one word": "a", "digits": "1", "numbers": "1, ",
    "dots": "a.", "brackets": "(", "braces": "{[", "closed": ")", "quotes": '"', "apostrophes": "'",
    "long strings": '"""\n', "escapes": '"\\"', "backslashes": "\\", "hashes": "#", "decorators": "@a\n",
    "assignments": "a = 1\n", "on one line": "a=1;", "dashes": "--", "slashes": "/*", "stars": "*", "ghosts": "\u200b",
    "odd letters": "аa", "mathematics": "𝐚", "combining": "e\u0301\u0301", "nulls": "\x01", "escapes of terminals": "\x1b[",
    "fields": "a: 1 | ", "steps": "step 1 | loss: 2\n", "claims": "width 64 ", "hedges": "than the baseline ",
    "parentheses": "a (b) ", "headers": "--- a\n+++ b\n@@ -1 +1 @@\n", "tabs": "\t", "carriage returns": "\r",
    "separators": "\u2028", "yaml": "a:\n  ", "sums": "1+",
}  # fmt: skip


def whole(piece: str, length: int = LENGTH) -> str:
    return piece * (length // len(piece))


def as_diff(text: str) -> str:
    """A diff that adds a text to a Python file."""
    lines = text.split("\n")
    body = "".join(f"+{line}\n" for line in lines)
    return f"diff --git a/t.py b/t.py\n--- a/t.py\n+++ b/t.py\n@@ -1,0 +1,{len(lines)} @@\n{body}"


def on_a_page(text: str) -> object:
    (file,) = parse(as_diff(text))
    prepare(file, (None, text))
    return [line.html for line in file.lines]


def without_spaces(text: str) -> object:
    (file,) = parse(as_diff(text).replace("\n+", "\n-", 40).replace("@@ -1,0", "@@ -1,40"))
    prepare(file, (text, text), without_space=True)
    return file


def printed(text: str) -> object:
    found = []
    for form in ("autoresearch", "nanochat"):
        parser = OutputParser(SelfReported(form, "val_bpb"))
        found += [*parser.feed(text.encode("utf-8", "replace")), *parser.finish()]
    return found


def constants(text: str) -> object:
    try:
        return find_constants("t.py", text)
    except SyntaxError:
        return None


READERS: dict[str, Callable[[str], object]] = {
    "the parser of diffs": lambda text: parse_diff(as_diff(text)),
    "touched constants": lambda text: touched_in(as_diff(text)),
    "a page's diff": on_a_page,
    "a page's diff without white space": without_spaces,
    "one line": lambda text: render_line(text.replace("\n", " "), [], []),
    "visible text": visible,
    "odd letters": lambda text: list(odd_letters(text)),
    "a title": title_of,
    "constants": constants,
    "the syntax": lambda text: normalised_syntax_hash(
        {"t.py": text, "t.yaml": text, "t.toml": text, "t.json": text, "t.ini": text}
    ),
    "what it comes to": lambda text: resolved_hash({"t.py": text}),
    "moved constants": lambda text: moved_constants({"t.py": text}, {"t.py": f"{text}\n"}),
    "claims": lambda text: contradictions(text, {"width": 1.0}, {"width": 2.0}, {"t.py:LEARNING_RATE": (1.0, 2.0)}),
    "the detectors of edits": lambda text: examine_changes(
        [FileEdit("t.py", "a = 1\n", text), FileEdit("t.md2", text, f"a{text}")]
    ),
    "what a run printed": printed,
}


@pytest.mark.one_in(4)
@pytest.mark.parametrize("what", PIECES)
@pytest.mark.parametrize("reader", READERS)
def test_no_reader_takes_longer_than_the_length_of_a_text_allows(reader: str, what: str) -> None:
    short, text = whole(PIECES[what], 2_000), whole(PIECES[what])
    read = READERS[reader]
    assert any(seconds(lambda: read(short)) < 0.5 for _ in range(3))
    assert any(seconds(lambda: read(text)) < 1.5 for _ in range(3))


LANGUAGES = {id(language): f"t{suffix}" for suffix, language in _BY_SUFFIX.items()} | {1: "Dockerfile"}  # a file of each


@pytest.mark.parametrize("name", LANGUAGES.values())
def test_no_language_takes_longer_than_the_length_of_a_text_allows(name: str) -> None:
    for piece in PIECES.values():
        text = whole(piece, 100_000)
        assert any(seconds(partial(coloured_lines.__wrapped__, name, text)) < 0.5 for _ in range(3)), piece


def seconds(work: Callable[[], object]) -> float:
    """Of the processor. A busy machine bends them; the best of a few tries says what the work takes."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


@pytest.mark.parametrize("piece", ["a=1;", "é=1;"])
def test_many_constants_on_one_line_are_found_in_a_time_linear_in_the_line(piece: str) -> None:
    def took(count: int) -> float:
        begin = time.process_time()
        assert find_constants("t.py", "".join(f"{piece[:-3]}{i}=1;" for i in range(count)))
        return time.process_time() - begin

    assert min(took(20_000) for _ in range(2)) < 12 * min(took(5_000) for _ in range(2)) + 0.3


def rendering(words: int) -> float:
    """Seconds of the processor for one line of so many coloured words."""
    ((text, spans),) = coloured_lines.__wrapped__("t.py", f"TABLE = [{', '.join(['1'] * words)}]")
    assert len(spans) == words
    begin = time.process_time()
    render_line(text, spans, [(at, at + 1) for at in range(0, len(text) - 1, 50)])
    return time.process_time() - begin


def test_a_line_of_8000_coloured_words_is_drawn_in_a_moment_and_four_times_as_many_in_four() -> None:
    assert min(rendering(8_000) for _ in range(3)) < 0.2
    assert min(rendering(32_000) for _ in range(3)) < 0.8


@pytest.mark.parametrize("piece", ["a ", "a", "ab1 ", "x, "])
def test_marks_of_words_are_bounded_on_a_whole_page(piece: str) -> None:
    """400 lines replaced by 399 others, each as long as is looked at: 160,000 pairs of 1,000 words."""
    old = [Line("removed", f"{i} {whole(piece, 990)}", old=i) for i in range(1, 401)]
    new = [Line("added", f"{i} {whole(piece, 980)} x", new=i) for i in range(1, 400)]
    begin = time.process_time()
    mark_words(Hunk("", [*old, *new]))
    assert time.process_time() - begin < 2


def test_no_template_cuts_markup_or_puts_it_into_an_attribute() -> None:
    """`visible` gives HTML: cut afterwards, or inside quotes, it would break the page that it stands on."""
    texts = {str(path): path.read_text() for path in Path("templates").rglob("*.html")}
    assert not [path for path, text in texts.items() if re.search(r"\|visible\|(?:truncat|slice|beginning)", text)]
    assert not [path for path, text in texts.items() if re.search(r'="[^"<>]*\{\{[^}]*\|visible[^}]*\}\}', text)]


def test_what_is_too_long_for_a_page_says_how_much_is_left_out() -> None:
    assert beginning("abc", 3) == "abc"
    assert beginning("a" * 1_500, 200) == f"{'a' * 200} … and 1,300 more characters"
    assert spelled('a\u202e"b') == 'aU+202E"b'
