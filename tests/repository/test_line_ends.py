"""However a patch lost its line ends on the way, it brings just the bytes that it brings where it kept them."""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.diff import lines_of
from research_app.repository import Limits, PatchError, Repository, patch_text
from research_app.repository.edits import apply_edits
from research_app.repository.line_ends import fitted

WORDS = st.sampled_from(
    ["", "a = 1", "b = 2", "    c()", "-- d", "++ e", "\x0cf", "é", "\u2028", "@@ -1 +1 @@", "same", "same"]
)
ENDS = st.sampled_from(["\n", "\r\n"])
BOM = "\ufeff"


def git_diff(folder: Path, before: str, after: str, name: str = "train.py") -> str:
    """The patch as git writes it, to the byte."""
    for side, text in (("a", before), ("b", after)):
        (folder / side).mkdir(exist_ok=True)
        (folder / side / name).write_bytes(text.encode())
    command = ["git", "diff", "--no-index", "--text", "--no-prefix", f"a/{name}", f"b/{name}"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).stdout.decode()


def applied(patch: str, before: str, folder: Path) -> str:
    """What git makes of a patch that was fitted to a file."""
    text = fitted(patch, {"train.py": before}.get, lambda path: "")
    place = folder / "applied"
    place.mkdir(exist_ok=True)
    (place / "train.py").write_bytes(before.encode())
    command = ["git", "apply", "--whitespace=nowarn", "-"]
    subprocess.run(command, cwd=place, input=text.encode() if text.endswith("\n") else f"{text}\n".encode(), check=True)
    return (place / "train.py").read_bytes().decode()


def as_a_form_sends(patch: str) -> str:
    return patch.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")


def as_an_editor_saves(patch: str) -> str:
    return patch.replace("\r\n", "\n")


def as_notepad_saves(patch: str) -> str:
    return BOM + as_a_form_sends(patch)


WAYS = {
    "kept": lambda patch: patch,
    "a form": as_a_form_sends,
    "an editor": as_an_editor_saves,
    "notepad": as_notepad_saves,
    "cut off": lambda patch: as_a_form_sends(patch).removesuffix("\r\n"),
}


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.lists(WORDS, min_size=1, max_size=14),
    after=st.lists(WORDS, min_size=1, max_size=14),
    end=ENDS,
    last=st.tuples(st.booleans(), st.booleans()),
    mark=st.booleans(),
)
def test_any_change_of_a_file_with_one_kind_of_line_end(
    tmp_path: Path, way: str, before: list[str], after: list[str], end: str, last: tuple[bool, bool], mark: bool
) -> None:
    def text(lines: Sequence[str], ended: bool) -> str:
        return (BOM if mark else "") + end.join(lines) + (end if ended else "")

    old, new = text(before, last[0]), text(after, last[1])
    if "\n" in old and old != new and new.strip(BOM):
        assert applied(WAYS[way](git_diff(tmp_path, old, new)), old, tmp_path) == new


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.tuples(WORDS, ENDS), min_size=1, max_size=14), data=st.data())
def test_lines_replaced_in_a_file_of_mixed_line_ends_keep_theirs(
    tmp_path: Path, way: str, lines: list[tuple[str, str]], data: st.DataObject
) -> None:
    numbered = [(f"{i} {word}", end) for i, (word, end) in enumerate(lines)]
    at = data.draw(st.integers(0, len(lines) - 1))
    changed = [(f"{word} changed" if i == at else word, end) for i, (word, end) in enumerate(numbered)]
    before, after = ("".join(word + end for word, end in side) for side in (numbered, changed))
    assert applied(WAYS[way](git_diff(tmp_path, before, after)), before, tmp_path) == after


def test_a_mark_that_was_lost_from_the_first_line_stays_in_the_file(tmp_path: Path) -> None:
    before, after = f"{BOM}a\r\nb\r\n", f"{BOM}A\r\nb\r\n"
    patch = git_diff(tmp_path, before, after).replace(BOM, "")
    assert applied(as_a_form_sends(patch), before, tmp_path) == after


def test_line_ends_that_a_patch_means_to_change_are_changed(tmp_path: Path) -> None:
    before, after = "a\nb\nc\n", "a\r\nb\nc\r\n"
    assert applied(git_diff(tmp_path, before, after), before, tmp_path) == after
    assert applied(git_diff(tmp_path, after, before), after, tmp_path) == before


def test_of_two_places_the_nearest_to_the_stated_line_is_meant(tmp_path: Path) -> None:
    block = "x\r\nold\r\ny\r\n"
    before = block + "far\r\n" * 30 + block.replace("\r", "") + "far\r\n" * 30 + block + "end\r\n"
    after = before.replace("x\nold\ny", "x\nnew\ny")
    assert applied(as_a_form_sends(git_diff(tmp_path, before, after)), before, tmp_path) == after


def test_a_new_file_ends_its_lines_as_files_like_it_do_where_the_patch_lost_its_own(tmp_path: Path) -> None:
    files = {"lib/a.py": b"a\r\nb\r\n", "conf/x.yaml": b"a: 1\n"}
    repository = Repository.create(tmp_path / "repository.git", "main", files, "Begin")
    tip = repository.tip()
    for path, content in {"lib/new.py": b"x\r\ny\r\n", "conf/new.yaml": b"x: 1\n", "other.txt": b"one\ntwo"}.items():
        lines = lines_of(content.decode())
        body = "".join(f"+{line}" if line.endswith("\n") else f"+{line}\n\\ No newline at end of file\n" for line in lines)
        head = f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n"
        patch = f"{head}@@ -0,0 +1,{len(lines)} @@\n{body}"
        for sent in (patch, as_a_form_sends(patch)):
            change = repository.change_from_patch(tip, sent, "x", "ada")
            assert repository.read(change.commit, path) == content


def test_files_of_one_patch_are_fitted_each_to_its_own(tmp_path: Path) -> None:
    contents = {"a.py": b"a\r\nb\r\n", "b.py": b"a\nb\n"}
    repository = Repository.create(tmp_path / "repository.git", "main", contents, "Begin")
    patch = "".join(f"--- a/{name}\n+++ b/{name}\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n" for name in contents)
    for sent in (patch, as_a_form_sends(patch)):
        change = repository.change_from_patch(repository.tip(), sent, "x", "ada")
        read = [repository.read(change.commit, name) for name in contents]
        assert read == [b"a\r\nc\r\n", b"a\nc\n"]


@pytest.mark.parametrize(
    ("text", "old", "new", "after"),
    [
        ("a\r\nb\r\nc\r\n", "a\nb", "a\nB", "a\r\nB\r\nc\r\n"),
        ("a\r\nb\r\nc\r\n", "a\nb\n", "x\ny\nz\n", "x\r\ny\r\nz\r\nc\r\n"),
        ("a\nb\nc\n", "a\r\nb", "a\r\nB", "a\nB\nc\n"),
        ("a\r\nb\nc\r\n", "a\nb\nc", "A\nB\nC", "A\r\nB\nC\r\n"),
        ("a\r\nb\r\n", "b", "b\nc", "a\r\nb\r\nc\r\n"),
        ("a\r\nb\n", "b", "b\nc", "a\r\nb\nc\n"),
        ("a\r\nb\r\n", "\nb", "\nB", "a\r\nB\r\n"),
        ("a\r\n\r\nb", "a\n\n", "a\n", "a\r\nb"),
    ],
)
def test_an_edit_takes_on_the_line_ends_of_its_file_too(text: str, old: str, new: str, after: str) -> None:
    assert apply_edits([("x.py", old, new)], {"x.py": text}.get) == {"x.py": after}


def test_an_edit_that_fits_in_two_places_but_for_line_ends_is_refused() -> None:
    with pytest.raises(PatchError, match="does not occur"):
        apply_edits([("x.py", "a\nb", "c")], {"x.py": "a\r\nb\r\na\r\nb\r\n"}.get)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-caf\xe9\n+cafe\n", "x.py is not UTF-8 text; only text files can be changed."),
        (
            b"diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-a\n+b\n"
            b"diff --git a/lib/y.py b/lib/y.py\nnew file mode 100644\n--- /dev/null\n+++ b/lib/y.py\n@@ -0,0 +1 @@\n+\xff\n",
            "lib/y.py is not UTF-8 text; only text files can be changed.",
        ),
        ("--- a/x\n".encode("utf-16"), "UTF-16"),
        (b"\xe9", "The patch is not UTF-8 text"),
    ],
)
def test_a_patch_whose_bytes_are_no_text_is_refused_by_the_name_of_its_file(data: bytes, said: str) -> None:
    with pytest.raises(PatchError) as refused:
        patch_text(data)
    assert said in refused.value.reason


def test_what_git_cuts_in_the_middle_of_a_letter_after_the_hunks_head_does_no_harm() -> None:
    data = b"--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@ def caf\xc3\n-a\n+b\n"
    assert patch_text(data) == "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@ def caf\ufffd\n-a\n+b\n"


def test_fitting_a_large_patch_to_a_large_file_of_equal_lines_is_quick() -> None:
    base = "x\r\n" * 200_000 + "y\r\n"
    hunk = " x\n" * 30_000 + "-y\n+z\n"
    patch = f"--- a/x.py\n+++ b/x.py\n@@ -1,30001 +1,30001 @@\n{hunk}"
    begin = time.process_time()
    text = fitted(patch, {"x.py": base}.get, lambda path: "")
    assert time.process_time() - begin < 5
    assert text.endswith("-y\r\n+z\r\n")


def test_counting_where_an_edit_fits_ends_where_it_fits_often() -> None:
    begin = time.process_time()
    with pytest.raises(PatchError, match="at least 100 times"):
        apply_edits([("x.py", "a" * 200_000, "b")], {"x.py": "a" * 1_000_000}.get)
    assert time.process_time() - begin < 2


def test_a_file_above_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    large = b"x = 1\n" * 200_000
    repository = Repository.create(tmp_path / "repository.git", "main", {"x.py": large}, "Begin")
    patch = "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
    for make in (
        lambda: repository.change_from_patch(repository.tip(), patch, "x", "ada", Limits()),
        lambda: repository.change_from_edits(repository.tip(), [("x.py", "x = 1", "x = 2")], "x", "ada", Limits()),
    ):
        with pytest.raises(PatchError, match=r"x.py has 1,200,000 bytes; files of at most 1,048,576 can be changed\."):
            make()
