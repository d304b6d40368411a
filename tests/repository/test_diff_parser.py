"""The one parser of diffs: what git writes of any two files is read back exactly, and no content is ever taken for a header."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.diff import DiffFile, lines_of, parse_diff, places_of
from agent.touched import touched_in
from research_app.loop.scale_up.shortlist import old_lines
from research_app.repository import Repository
from research_app.repository.git import EMPTY_TREE, run_git
from research_app.web.candidate.resources import constants_in
from research_app.web.diff.diff import parse

# Lines that look like something else, and characters at which str.splitlines would cut.
HOSTILE = [
    "", " ", "\t", "\r", "x\r", "-- x", "- x", "-- a/train.py", "--- a/train.py", "++ y", "+++ b/train.py", "@@ -1 +1 @@",
    "@@ -9,9 +9,9 @@ def f():", "diff --git a/x b/x", "index 1..2 100644", "new file mode 100644", "rename from x",
    "\\ No newline at end of file", "Binary files a/x and b/x differ", "a\x0bb", "\x0c", "a\x1cb\x1dc\x1ed", "\x85", "\u2028",
    "\u2029", "\ufeffx", "é", "x = 1", "X = 2", "def f():", "    return x", "-" * 80, "+", "-", "GIT binary patch",
]  # fmt: skip
LINE = st.one_of(
    st.sampled_from(HOSTILE), st.text(st.characters(exclude_characters="\0\n", exclude_categories=["Cs"]), max_size=9)
)
TEXT = st.builds(lambda lines, end: "\n".join(lines) + end, st.lists(LINE, max_size=30), st.sampled_from(["", "\n"]))
ODD_NAMES = [
    "plain.py", "with space.py", " lead", "trail ", 'quo"te.py', "tab\tname", "back\\slash", "-dash", "--- a", "b/inside.py",
    "a b/c b/d", "é.py", "中文 name.py", "nul\x01ctl", "new\nline.py", "car\rreturn", "\u2028sep", "a/b/c", "dev/null", "x b/x",
    '"quoted"', "emoji 🙂.py", "diff --git", "@@ -1 +1 @@",
]  # fmt: skip


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository.create(tmp_path_factory.mktemp("git") / "repository.git", "main", {"x.py": b"x = 1\n"}, "Begin")


def tree_of(repository: Repository, files: dict[str, str], tmp: Path) -> str:
    """A tree with files of any name, past every check on names."""
    lines = []
    for path, text in files.items():
        data = text.encode()
        blob = run_git("hash-object", "-w", "--stdin", repository=repository.path, stdin=data).stdout.decode().strip()
        lines.append(f"100644 {blob}\t{path}\0")
    index = {"GIT_INDEX_FILE": str(tmp / "index")}
    run_git("read-tree", "--empty", repository=repository.path, environment=index)
    run_git("update-index", "-z", "--index-info", repository=repository.path, stdin="".join(lines).encode(), environment=index)
    return run_git("write-tree", repository=repository.path, environment=index).stdout.decode().strip()


def diff_between(repository: Repository, before: dict[str, str], after: dict[str, str], tmp: Path) -> str:
    return repository.diff(tree_of(repository, before, tmp), tree_of(repository, after, tmp))


def text_from(lines: Iterable[tuple[str, bool]]) -> str:
    return "".join(f"{text}\n" if newline else text for text, newline in lines)


def after_of(before: str, file: DiffFile) -> str:
    """The new text, from the old one and the diff alone; every line of the old side is held against the text."""
    old = lines_of(before)
    made: list[tuple[str, bool]] = []
    at = 1
    for hunk in file.hunks:
        made += [(line.removesuffix("\n"), line.endswith("\n")) for line in old[at - 1 : hunk.old - 1]]
        assert len([line for line in hunk.lines if line.old is not None]) == hunk.old_count
        assert len([line for line in hunk.lines if line.new is not None]) == hunk.new_count
        for line in hunk.lines:
            if line.old is not None:
                assert old[line.old - 1] == text_from([(line.text, line.newline)])
            if line.new is not None:
                made.append((line.text, line.newline))
                assert line.new == len(made)
        at = hunk.old + hunk.old_count
    return text_from(made + [(line.removesuffix("\n"), line.endswith("\n")) for line in old[at - 1 :]])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=TEXT, after=TEXT, name=st.sampled_from(ODD_NAMES))
@example("-- x = 1\n", "++ y\n", "x b/x")
@example("a\n", "a", "back\\slash")
@example("", "\r\n", 'quo"te.py')
def test_both_sides_of_any_two_files_are_read_back_from_gits_diff(
    repository: Repository, tmp_path: Path, before: str, after: str, name: str
) -> None:
    diff = diff_between(repository, {name: before}, {name: after}, tmp_path)
    files = parse_diff(diff)
    if before == after:
        assert files == []
        return
    (file,) = files
    assert (file.kind, file.old_path, file.new_path) == ("modified", name, name)
    assert after_of(before, file) == after
    assert [diff.split("\n")[line.at][1:] for line in file.lines] == [line.text for line in file.lines]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(st.sampled_from(ODD_NAMES), st.tuples(st.none() | TEXT, st.none() | TEXT), max_size=6))
def test_every_file_of_a_diff_is_found_under_its_own_name_and_kind(
    repository: Repository, tmp_path: Path, files: dict[str, tuple[str | None, str | None]]
) -> None:
    sides = [{name: texts[i] for name, texts in files.items() if texts[i] is not None} for i in range(2)]
    diff = diff_between(repository, sides[0], sides[1], tmp_path)  # type: ignore[arg-type]
    wanted = {
        name: "added" if before is None else "deleted" if after is None else "modified"
        for name, (before, after) in files.items()
        if before != after
    }
    found = parse_diff(diff)
    assert {file.path: file.kind for file in found} == wanted
    for file in found:
        before, after = files[file.path]
        assert after_of(before or "", file) == (after or "")
    assert {file.path: file.kind for file in parse(diff)} == wanted  # what the page shows


@settings(max_examples=40, deadline=None)
@given(text=TEXT)
def test_lines_are_those_that_git_counts(text: str) -> None:
    lines = lines_of(text)
    assert "".join(lines) == text
    assert all(line.count("\n") == line.endswith("\n") for line in lines)
    assert len(lines) == text.count("\n") + (not text.endswith("\n") and text != "")


def test_a_rename_a_mode_and_a_binary_file_are_told(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    git("init", "--quiet")
    for name, data in (("old name.py", b"a\nb\nc\nd\ne\nf\n"), ("run.sh", b"echo\n"), ("w.bin", b"\0\1"), ("empty", b"")):
        (tmp_path / name).write_bytes(data)
    git("add", ".")
    git("commit", "--quiet", "-m", "x")
    (tmp_path / "old name.py").rename(tmp_path / 'new "name".py')
    (tmp_path / 'new "name".py').write_bytes(b"a\nb\nc\nd\ne\nF\n")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "w.bin").write_bytes(b"\0\2")
    (tmp_path / "empty").unlink()
    (tmp_path / "new empty").write_bytes(b"")
    git("add", "--all")
    files = {file.path: file for file in parse_diff(git("diff", "--cached", "-M90%", "--find-renames=50%"))}
    moved = files['new "name".py']
    assert (moved.kind, moved.old_path) == ("renamed", "old name.py")
    assert [line.text for line in moved.lines if line.kind == "added"] == ["F"]
    assert (files["run.sh"].old_mode, files["run.sh"].new_mode) == ("100644", "100755")
    assert files["w.bin"].binary
    assert not files["run.sh"].binary


def test_a_rename_alone_has_its_names_from_its_own_lines() -> None:
    text = "diff --git a/old name.py b/new name.py\nsimilarity index 100%\nrename from old name.py\nrename to new name.py\n"
    (file,) = parse_diff(text)
    assert (file.kind, file.old_path, file.new_path, file.prefixed) == ("renamed", "old name.py", "new name.py", True)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_empty_file_of_any_name_is_named_by_its_header_alone(repository: Repository, tmp_path: Path, name: str) -> None:
    tree = tree_of(repository, {name: ""}, tmp_path)
    added, deleted = repository.diff(EMPTY_TREE, tree), repository.diff(tree, EMPTY_TREE)
    assert [(file.kind, file.path) for file in parse_diff(added)] == [("added", name)]
    assert [(file.kind, file.path) for file in parse_diff(deleted)] == [("deleted", name)]


def test_a_name_that_is_no_utf8_is_shown_by_its_bytes() -> None:
    text = 'diff --git "a/caf\\351" "b/caf\\351"\n--- "a/caf\\351"\n+++ "b/caf\\351"\n@@ -1 +1 @@\n-a\n+b\n'
    assert parse_diff(text)[0].path == "caf\\xe9"


def test_a_plain_diff_of_diff1_has_its_time_cut_off_and_its_names_kept() -> None:
    text = "--- lib/x.py\t2026-01-01 10:00:00\n+++ lib/x.py\t2026-01-02 10:00:00\n@@ -1 +1 @@\n-a\n+b\n"
    (file,) = parse_diff(f"Hello,\n\n{text}-- \n2.39.5\n")
    assert (file.path, file.prefixed, [line.text for line in file.lines]) == ("lib/x.py", False, ["a", "b"])


def test_a_diff_whose_lines_were_ended_with_crlf_is_read_too() -> None:
    text = "diff --git a/x.py b/x.py\r\n--- a/x.py\r\n+++ b/x.py\r\n@@ -1,2 +1,2 @@ def f():\r\n-a\r\n+b\r\n\r\n"
    (file,) = parse_diff(text)
    assert (file.path, file.hunks[0].place) == ("x.py", "def f():")
    assert [(line.kind, line.text) for line in file.lines] == [("removed", "a\r"), ("added", "b\r"), ("context", "\r")]


SQL_LIKE = """diff --git a/train.py b/train.py
--- a/train.py
+++ b/train.py
@@ -1,6 +1,6 @@ class Net:
 QUERY = '''
--- choose the rows
+++ choose them all
 '''
-WIDTH = 64\x0cDEPTH = 3
+WIDTH = 96\x0cDEPTH = 3
-LR\u2028 = 1
+LR = 2
"""


def test_content_that_looks_like_a_header_hides_nothing_from_any_reader() -> None:
    assert touched_in(SQL_LIKE) == ("LR", "QUERY", "WIDTH")
    assert old_lines(SQL_LIKE) >= {("train.py", 2), ("train.py", 4), ("train.py", 5)}
    moved = {one.name: (one.before, one.after) for one in constants_in(SQL_LIKE, ["WIDTH", "LR"])}
    assert moved["WIDTH"] == ("64\x0cDEPTH = 3", "96\x0cDEPTH = 3")
    assert places_of(SQL_LIKE) == {"class Net:"}
    (file,) = parse(SQL_LIKE)
    assert [line.text for line in file.lines if line.changed][:2] == ["-- choose the rows", "++ choose them all"]


def test_a_value_is_read_off_python_files_alone() -> None:
    notes = "diff --git a/a.md b/a.md\n--- a/a.md\n+++ b/a.md\n@@ -1 +1 @@\n-WIDTH = 1\n+WIDTH = 2\n"
    code = "diff --git a/t.py b/t.py\n--- a/t.py\n+++ b/t.py\n@@ -1 +1 @@\n-WIDTH = 8\n+WIDTH = 9\n"
    [constant] = constants_in(notes + code, touched_in(notes + code))
    assert (constant.name, constant.before, constant.after) == ("WIDTH", "8", "9")


def test_no_room_cuts_a_text_where_git_does_not() -> None:
    """`str.splitlines` also cuts at form feeds and Unicode's separators: it is for what this machine prints alone."""
    using = {
        str(file)
        for room in ("agent", "research_app", "training", "benchmarks")
        for file in Path(room).rglob("*.py")
        if ".splitlines(" in file.read_text()
    }
    assert using <= OF_THIS_MACHINE


OF_THIS_MACHINE = {
    "benchmarks/envelope.py",
    "training/account.py",
    "training/answers.py",
    "training/launch.py",
    "training/logits.py",
    "agent/title.py",  # a title is one line however lines are counted
    "research_app/api/git_over_http.py",
    "research_app/audit/checkpoints.py",
    "research_app/repository/inspection.py",
    "research_app/machine/fleet.py",
    "research_app/machine/supervisor.py",
    "research_app/web/baseline/baseline.py",  # sentences of Signoff's own
    "training/escape/stage.py",
    "training/process.py",
    "training/sandbox/scratch.py",
    "training/sandbox/user.py",
}
OWN = {"agent/diff.py", "training/sources/_step_lines.py"}  # the parser; and the lines that end a training's own output


def test_no_room_but_the_parsers_own_reads_a_diff_by_itself() -> None:
    """Whoever looks at the first characters of a diff's lines has a parser of their own: there shall be one."""
    marks = ('"--- "', '"+++ "', '"---"', '"+++"', "'--- '", "diff --git ", "@@ -")
    reading = {
        str(file)
        for room in ("agent", "research_app", "training", "benchmarks")
        for file in Path(room).rglob("*.py")
        if any(mark in file.read_text() for mark in marks)
    }
    assert reading <= OWN
