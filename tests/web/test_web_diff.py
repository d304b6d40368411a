"""The diff on the page: every line is shown as it is stored, coloured, with changed words marked, and nothing hides in it."""

import re
import time
from html import unescape
from typing import Any

import pytest

from research_app.web.diff import colours
from research_app.web.diff.colours import coloured_lines, render_line
from research_app.web.diff.diff import Texts, parse, prepare, too_large
from research_app.web.diff.lines import FileDiff, Hunk, Line
from research_app.web.diff.words import mark_words

BEFORE = 'import torch\n\nWARMUP = 0.05\n\n\ndef f(x):\n    """Text\n    in two lines."""\n    return x\n'
AFTER = BEFORE.replace("0.05", "0.02")
DIFF = "\n".join(
    (
        "diff --git a/train.py b/train.py",
        "index 1111111..2222222 100644",
        "--- a/train.py",
        "+++ b/train.py",
        "@@ -1,5 +1,5 @@",
        " import torch",
        " ",
        "-WARMUP = 0.05",
        "+WARMUP = 0.02",
        " ",
        " ",
        "",
    )
)


def prepared(diff: str = DIFF, texts: Texts = (None, None), **options: Any) -> FileDiff:
    """The only file of a diff after all steps."""
    (file,) = parse(diff)
    prepare(file, texts, **options)
    return file


def plain(html: str) -> str:
    """The text that a reader sees."""
    return unescape(re.sub(r"<[^>]*>", "", html))


def test_lines_have_their_numbers_on_both_sides() -> None:
    (file,) = parse(DIFF)
    assert (file.path, file.kind, file.added, file.removed) == ("train.py", "modified", 1, 1)
    numbers = [(line.kind, line.old, line.new) for line in file.hunks[0].lines]
    assert numbers[:5] == [("context", 1, 1), ("context", 2, 2), ("removed", 3, None), ("added", None, 3), ("context", 4, 4)]


def test_every_line_reads_exactly_as_it_is_stored() -> None:
    file = prepared(DIFF, (BEFORE, AFTER))
    assert [plain(line.html) for line in file.hunks[0].lines] == [line[1:] for line in DIFF.split("\n")[5:11]]


def test_colours_come_from_the_whole_file_so_that_a_long_string_is_one() -> None:
    lines = coloured_lines("train.py", BEFORE)
    assert [css for *_, css in lines[7][1]] == ["s"]
    assert [text for text, _ in lines] == BEFORE.split("\n")


def test_colours_are_left_out_where_the_file_does_not_hold_the_line() -> None:
    file = prepared(DIFF, ("x\n" * 9, "y\n" * 9))
    assert all("<span" not in line.html for line in file.hunks[0].lines)
    file = prepared()
    assert not file.coloured


def test_changed_words_are_marked_and_the_rest_is_not() -> None:
    file = prepared()
    assert [line.html for line in file.hunks[0].lines[2:4]] == ["WARMUP = <mark>0.05</mark>", "WARMUP = <mark>0.02</mark>"]


def test_lines_with_little_in_common_have_no_marks() -> None:
    hunk = Hunk("", [Line("removed", "alpha = 1", old=1), Line("added", "for beta in gamma(delta):", new=1)])
    mark_words(hunk)
    assert [line.marks for line in hunk.lines] == [[], []]


def test_of_unequal_blocks_the_most_alike_lines_are_paired() -> None:
    after = ["class A:", "    pass", "WIDTH = 128"]
    hunk = Hunk("", [Line("removed", "WIDTH = 96", old=1), *(Line("added", text, new=i) for i, text in enumerate(after))])
    mark_words(hunk)
    assert [bool(line.marks) for line in hunk.lines] == [True, False, False, True]


def test_a_removed_line_that_looks_like_a_header_is_content() -> None:
    text = "diff --git a/q.sql b/q.sql\n--- a/q.sql\n+++ b/q.sql\n@@ -1,2 +1,1 @@\n--- a/train.py\n kept\n"
    (file,) = parse(text)
    assert file.path == "q.sql"
    assert [(line.kind, line.text) for line in file.hunks[0].lines] == [("removed", "-- a/train.py"), ("context", "kept")]


def test_added_and_deleted_files_and_missing_ends_are_told() -> None:
    text = (
        "diff --git a/new.py b/new.py\nnew file mode 100644\n--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+x = 1\n"
        "\\ No newline at end of file\ndiff --git a/old.py b/old.py\ndeleted file mode 100644\n--- a/old.py\n+++ /dev/null\n"
        "@@ -1 +0,0 @@\n-y = 2\n"
    )
    new, old = parse(text)
    assert (new.path, new.kind, old.path, old.kind) == ("new.py", "added", "old.py", "deleted")
    assert new.hunks[0].lines[1].text == "No newline at end of file"


@pytest.mark.parametrize(
    ("character", "code"),
    [
        ("\u202e", "U+202E"),
        ("\u200b", "U+200B"),
        ("\u00a0", "U+00A0"),
        ("\x1b", "U+001B"),
        ("\u3164", "U+3164"),
        ("\U000e0041", "U+E0041"),
    ],
)
def test_invisible_and_bidirectional_characters_are_spelled_out(character: str, code: str) -> None:
    html = render_line(f"admin{character} = True", [], [])
    assert character not in html
    assert f">{code}</span>" in html
    text = DIFF.replace("0.02", f"0.02{character}")
    file = prepared(text)
    assert file.hidden_characters


def test_carriage_returns_that_end_every_line_are_said_once_and_hide_nothing() -> None:
    file = prepared(with_crlf(DIFF))
    assert file.crlf and not file.hidden_characters
    assert not any("U+000D" in line.html for line in file.lines)
    assert file.lines and all(line.text.endswith("\r") for line in file.lines), "what is shown is the stored diff"


@pytest.mark.parametrize("mixed", ["one line alone", "within a line", "a change of line ends", "two at an end"])
def test_a_carriage_return_that_is_no_line_end_of_the_file_is_spelled_out(mixed: str) -> None:
    text = {
        "one line alone": DIFF.replace("+WARMUP = 0.02\n", "+WARMUP = 0.02\r\n"),
        "within a line": with_crlf(DIFF).replace("0.02", "0.0\r2"),
        "a change of line ends": with_crlf(DIFF).replace("-WARMUP = 0.05\r\n", "-WARMUP = 0.05\n"),
        "two at an end": with_crlf(DIFF).replace("+WARMUP = 0.02\r\n", "+WARMUP = 0.02\r\r\n"),
    }[mixed]
    file = prepared(text)
    assert file.hidden_characters
    assert any("U+000D" in line.html for line in file.lines)


def test_lines_of_a_file_that_stays_folded_are_not_made() -> None:
    text = "diff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n@@ -0,0 +1,90000 @@\n" + "+a\n" * 90_000
    begin = time.process_time()
    (file,) = parse(text)
    assert time.process_time() - begin < 1
    assert file.heavy and file.added == 90_000 and callable(file.hunks[0].made)
    assert not too_large(text) and too_large(text + "+a\n" * 20_000)


def with_crlf(diff: str) -> str:
    """The same diff of a file whose lines end with CR and LF."""
    lines = diff.splitlines()
    return "".join(f"{line}\n" if line.startswith(("diff", "---", "+++", "@@", "index")) else f"{line}\r\n" for line in lines)


def test_a_file_name_and_a_line_with_script_stay_text() -> None:
    payload = '<script>alert(1)</script><img src=x onerror="alert(1)">'
    html = render_line(payload, [(0, 8, "k")], [(4, 12)])
    assert plain(html) == payload
    assert "<script" not in html
    assert "<img" not in html


def test_quoted_file_names_are_read() -> None:
    name = '"{}/caf\\303\\251.py"'
    old, new = name.format("a"), name.format("b")
    text = f"diff --git {old} {new}\n--- {old}\n+++ {new}\n@@ -1 +1 @@\n-a\n+b\n"
    assert parse(text)[0].path == "café.py"


def test_a_very_long_file_has_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    coloured_lines.cache_clear()
    monkeypatch.setattr(colours, "MAX_COLOURED_LINES", 5)
    assert coloured_lines("train.py", BEFORE) == ()
    coloured_lines.cache_clear()


@pytest.mark.parametrize("letter", ["x", "é", "…", "🔥"])
def test_a_diff_is_too_large_from_two_mebibytes_on_whatever_its_letters_take(letter: str) -> None:
    most = letter * ((2 << 20) // len(letter.encode()))
    assert not too_large(most)
    assert too_large(most + letter)


def test_a_diff_is_too_large_from_a_hundred_thousand_lines_on() -> None:
    assert not too_large("x\n" * 100_000)
    assert too_large("x\n" * 100_001)


def test_an_unknown_kind_of_file_is_plain_text() -> None:
    assert coloured_lines("notes.unknownkind", "a = 1\n")[0] == ("a = 1", ())
