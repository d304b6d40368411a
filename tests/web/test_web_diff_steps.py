"""Steps of the diff beside parsing and colours: white space, what is unfolded, what moved with a line, rows of both views."""

import re

from research_app.web.candidate.file import taken
from research_app.web.candidate.threads import moved_line
from research_app.web.diff.diff import chunks_of, ignore_space, parse, prepare, unfold
from research_app.web.diff.lines import FileDiff, Gap, Hunk, Line
from research_app.web.diff.rows import paired, rows

BEFORE = "".join(f"line {n}\n" for n in range(1, 101))
AFTER = BEFORE.replace("line 10\n", "line ten\n").replace("line 60\n", "line sixty\nand more\n")
DIFF = """diff --git a/a.py b/a.py
--- a/a.py
+++ b/a.py
@@ -7,7 +7,7 @@ def first():
 line 7
 line 8
 line 9
-line 10
+line ten
 line 11
 line 12
 line 13
@@ -57,7 +57,8 @@ def second():
 line 57
 line 58
 line 59
-line 60
+line sixty
+and more
 line 61
 line 62
 line 63
"""


def file_of(diff: str = DIFF) -> FileDiff:
    (file,) = parse(diff)
    return file


def shape(file: FileDiff) -> list[tuple[str, int, int]]:
    """(kind, first new line, number of lines) of each part."""
    return [
        ("gap", part.new, part.count) if isinstance(part, Gap) else ("hunk", part.new, part.new_count) for part in file.parts
    ]


def test_between_hunks_stand_gaps_that_know_their_lines() -> None:
    file = file_of()
    unfold(file, (BEFORE, AFTER))
    assert shape(file) == [("gap", 1, 6), ("hunk", 7, 7), ("gap", 14, 43), ("hunk", 57, 8), ("gap", 65, 37)]
    last = file.parts[-1]
    assert isinstance(last, Gap)
    assert (last.old, last.last) == (64, True)


def test_without_the_files_the_end_is_not_known_and_is_not_made_up() -> None:
    file = file_of()
    unfold(file, (None, None))
    assert shape(file) == [("gap", 1, 6), ("hunk", 7, 7), ("gap", 14, 43), ("hunk", 57, 8)]


def test_a_gap_opens_around_a_line_that_somebody_talks_about() -> None:
    file = file_of()
    unfold(file, (BEFORE, AFTER), wanted=[30, 31])
    assert shape(file)[2:6] == [("gap", 14, 13), ("hunk", 27, 7), ("hunk", 34, 1), ("gap", 35, 22)]
    middle = file.parts[3]
    assert isinstance(middle, Hunk)
    assert [line.text for line in middle.lines] == [f"line {n}" for n in range(27, 34)]


def test_old_numbers_follow_the_lines_that_were_added_before() -> None:
    file = file_of()
    unfold(file, (BEFORE, AFTER), wanted=[90])
    hunk = next(part for part in file.parts if isinstance(part, Hunk) and part.new == 87)
    assert [(line.old, line.new, line.text) for line in hunk.lines[:2]] == [(86, 87, "line 86"), (87, 88, "line 87")]


def test_a_hunk_that_only_removes_leaves_the_gaps_right() -> None:
    diff = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -5,2 +4,0 @@\n-line 5\n-line 6\n"
    after = BEFORE.replace("line 5\nline 6\n", "")
    file = file_of(diff)
    unfold(file, (BEFORE, after))
    assert shape(file) == [("gap", 1, 4), ("hunk", 5, 0), ("gap", 5, 94)]
    last = file.parts[-1]
    assert isinstance(last, Gap)
    assert last.old == 7


def test_unfolding_takes_from_the_top_the_bottom_or_all() -> None:
    gap, lines = Gap(14, 14, 43, "def second():"), AFTER.split("\n")
    top, rest = taken(gap, "top", lines)
    assert isinstance(top, Hunk) and isinstance(rest, Gap)
    assert ([line.new for line in top.lines][::19], rest) == ([14, 33], Gap(34, 34, 23, "def second():"))
    rest, bottom = taken(gap, "bottom", lines)
    assert isinstance(bottom, Hunk)
    assert ([line.new for line in bottom.lines][::19], rest) == ([37, 56], Gap(14, 14, 23))
    everything = taken(gap, "all", lines)[0]
    assert isinstance(everything, Hunk)
    assert len(everything.lines) == 43


def test_a_block_that_was_only_indented_is_no_change_where_white_space_is_ignored() -> None:
    lines = [Line("removed", "a = 1", old=1), Line("removed", "b = 2", old=2)]
    lines += [Line("added", "if x:", new=1), Line("added", "    a = 1", new=2), Line("added", "    b = 3", new=3)]
    hunk = Hunk("", lines)
    ignore_space(hunk)
    assert [(line.kind, line.text, line.respaced) for line in hunk.lines] == [
        ("added", "if x:", False),
        ("context", "    a = 1", True),
        ("removed", "b = 2", False),
        ("added", "    b = 3", False),
    ]
    assert (hunk.lines[1].old, hunk.lines[1].new) == (1, 2)


def test_a_change_that_a_newer_baseline_brought_is_told_from_the_authors_own() -> None:
    file = file_of()
    of_base = chunks_of(parse(DIFF[: DIFF.index("@@ -57")]))
    prepare(file, (BEFORE, AFTER), rebased=of_base)
    assert {line.text for line in file.lines if line.rebased} == {"line 10", "line ten"}


def test_a_line_is_followed_through_a_diff_unless_it_was_changed() -> None:
    file = file_of()
    assert [moved_line(file, n) for n in (1, 9, 10, 11, 40, 60, 61, 100)] == [1, 9, None, 11, 40, None, 62, 101]


def test_side_by_side_removed_lines_stand_beside_added_ones() -> None:
    hunk = file_of().hunks[1]
    beside = [(left and left.text, right and right.text) for left, right in paired(hunk.lines)]
    assert beside[2:6] == [("line 59", "line 59"), ("line 60", "line sixty"), (None, "and more"), ("line 61", "line 61")]


def test_both_views_say_every_line_with_its_numbers() -> None:
    file = file_of()
    prepare(file, (BEFORE, AFTER))
    unified = rows(file.parts, False, lambda threads: "", None)
    split = rows(file.parts, True, lambda threads: "", None)
    assert '<td class="n b">60</td><td class="n a"></td>' in unified
    beside = r'<td class="n b">60</td><td class="code removed">.*?<td class="n a">60</td><td class="code added">'
    assert re.search(beside, split)
    assert unified.count("data-chunk") == split.count("data-chunk") == 2
    assert "hx-get" not in unified  # nothing to fetch from
    assert "def second():" in unified
