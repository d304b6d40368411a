"""Unified diffs that come from outside: what is taken, and what is refused with which words."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from research_app.repository import Change, FileChange, Limits, PatchError, Repository

TRAIN = "".join(f"line_{number} = {number}\n" for number in range(1, 21))
FILES = {
    "train.py": TRAIN.encode(),
    "prepare.py": b"protected = True\n",
    "windows.py": b"a = 1\r\nb = 2\r\nc = 3\r\n",
    "unfinished.py": b"a = 1\nb = 2",
    "weights.bin": b"\x00\x01\xff\xfe",
    "model/block.py": b"width = 64\n",
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository.create(tmp_path_factory.mktemp("project") / "repository.git", "baseline", FILES, "Begin")


def submitted(repository: Repository, patch: str, limits: Limits | None = None) -> Change:
    return repository.change_from_patch(repository.tip(), patch, "Try it", "Ada <ada@example.org>", limits)


def refusal(repository: Repository, patch: str, limits: Limits | None = None) -> str:
    with pytest.raises(PatchError) as refused:
        submitted(repository, patch, limits)
    assert "\n" not in refused.value.reason
    return refused.value.reason


def new_file(path: str, content: str = "+x = 1\n", mode: str = "100644") -> str:
    count = content.count("\n")
    header = f"diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n"
    return f"{header}@@ -0,0 +1,{count} @@\n{content}"


PATCH = """\
--- a/train.py
+++ b/train.py
@@ -1,4 +1,4 @@
 line_1 = 1
-line_2 = 2
+line_2 = 22
 line_3 = 3
 line_4 = 4
"""


def test_a_patch_becomes_a_commit_on_its_base(repository: Repository) -> None:
    change = submitted(repository, PATCH)
    assert repository.read(change.commit, "train.py").decode() == TRAIN.replace("line_2 = 2\n", "line_2 = 22\n")
    assert change.files == (FileChange("train.py", "modified", 1, 1),)
    assert change.base == repository.tip()
    assert repository.tree_of(change.commit) == change.tree
    assert "-line_2 = 2\n+line_2 = 22\n" in change.diff
    assert repository.files(change.commit) == repository.files(change.base)


def test_a_patch_is_taken_with_and_without_prefixes(repository: Repository) -> None:
    plain = PATCH.replace("a/", "").replace("b/", "")
    git_style = "diff --git a/train.py b/train.py\n" + PATCH
    no_prefix = "diff --git train.py train.py\n" + plain
    pasted = "A note before it\n\n" + PATCH.rstrip("\n")
    dated = plain.replace("train.py\n", "train.py\t2026-11-20 10:00:00\n")
    trees = {submitted(repository, patch).tree for patch in (PATCH, plain, git_style, no_prefix, pasted, dated)}
    assert len(trees) == 1


def test_a_folder_called_a_is_no_prefix(tmp_path: Path) -> None:
    repository = Repository.create(tmp_path / "a.git", "baseline", {"a/b.py": b"x = 1\n"}, "Begin")
    change = submitted(repository, "--- a/b.py\n+++ a/b.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n")
    assert repository.read(change.commit, "a/b.py") == b"x = 2\n"


def test_the_same_patch_makes_the_same_commit(repository: Repository) -> None:
    assert submitted(repository, PATCH) == submitted(repository, PATCH)


def test_a_change_s_own_diff_applies_to_the_same_tree(repository: Repository) -> None:
    first = submitted(repository, PATCH + new_file("new/größe.py"))
    again = submitted(repository, first.diff)
    assert (again.tree, again.diff_hash) == (first.tree, first.diff_hash)
    assert FileChange("new/größe.py", "added", 1, 0) in first.files


def test_line_endings_of_the_file_survive(repository: Repository) -> None:
    patch = "--- a/windows.py\n+++ b/windows.py\n@@ -1,3 +1,3 @@\n a = 1\r\n-b = 2\r\n+b = 5\r\n c = 3\r\n"
    change = submitted(repository, patch)
    assert repository.read(change.commit, "windows.py") == b"a = 1\r\nb = 5\r\nc = 3\r\n"


def test_a_patch_with_other_line_endings_than_the_file_takes_on_those_of_the_file(repository: Repository) -> None:
    body = PATCH.split("@@\n")[1].replace("\n", "\r\n")
    assert submitted(repository, PATCH.split("@@\n")[0] + "@@\n" + body).tree == submitted(repository, PATCH).tree


def test_a_missing_newline_at_the_end_of_a_file_is_kept_and_can_be_mended(repository: Repository) -> None:
    header = "--- a/unfinished.py\n+++ b/unfinished.py\n@@ -1,2 +1,2 @@\n"
    missing = "\\ No newline at end of file\n"
    kept = submitted(repository, f"{header}-a = 1\n+a = 9\n b = 2\n{missing}")
    assert repository.read(kept.commit, "unfinished.py") == b"a = 9\nb = 2"
    mended = submitted(repository, f"{header} a = 1\n-b = 2\n{missing}+b = 2\n")
    assert repository.read(mended.commit, "unfinished.py") == b"a = 1\nb = 2\n"


def test_a_patch_against_other_lines_is_refused_and_the_place_named(repository: Repository) -> None:
    reason = refusal(repository, PATCH.replace("-line_2 = 2", "-line_2 = 7"))
    assert "does not apply to train.py at line 1" in reason


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ("", "holds no change"),
        ("please make it faster\n", "holds no change"),
        (PATCH.replace("+1,4", "+1,9"), "malformed at its line"),
        (PATCH.replace("train.py", "missing.py"), "missing.py, which the base does not have"),
        (new_file("train.py"), "train.py, which the base already has"),
        (PATCH.replace("= 22", "= 2"), "leaves every file"),
        (PATCH.replace("= 22", "= \0"), "NUL"),
        (PATCH.replace("= 22", "= \udc80"), "not UTF-8"),
    ],
)
def test_a_patch_that_makes_no_sense_is_refused_in_words(repository: Repository, patch: str, words: str) -> None:
    assert words in refusal(repository, patch)


@pytest.mark.parametrize(
    "path",
    [
        "../escape.py",
        "a/../x.py",
        "model/../../x.py",
        "/etc/passwd",
        ".git/config",
        "sub/.GIT/hooks/post-commit",
        ".git./config",
        ".g\u200cit/config",
        "git~1/config",
        ".gitattributes",
        "model/.gitattributes",
        ".gitmodules",
        ".gitignore",
        ".mailmap",
        "a\\b.py",
        "-rf",
    ],
)
def test_a_patch_that_escapes_the_tree_or_speaks_to_git_is_refused(repository: Repository, path: str) -> None:
    assert refusal(repository, new_file(path)).startswith("The path ")
    assert refusal(repository, f"--- /dev/null\n+++ {path}\n@@ -0,0 +1 @@\n+x = 1\n").startswith("The path ")


def test_a_quoted_path_is_judged_by_what_it_means(repository: Repository) -> None:
    assert ".git" in refusal(repository, new_file('x"').replace('a/x"', "a/x").replace('b/x"', '"b/.gi\\164/config"'))


def test_a_symbolic_link_is_refused(repository: Repository) -> None:
    patch = new_file("link", "+/etc/passwd\n", mode="120000") + "\\ No newline at end of file\n"
    assert "link is a symbolic link" in refusal(repository, patch)


def test_a_file_that_turns_into_a_link_is_refused(repository: Repository) -> None:
    content = "".join(f"-{line}\n" for line in TRAIN.splitlines())
    header = "diff --git a/train.py b/train.py\ndeleted file mode 100644\n--- a/train.py\n+++ /dev/null\n"
    gone = f"{header}@@ -1,20 +0,0 @@\n{content}"
    assert "train.py is a symbolic link" in refusal(repository, gone + new_file("train.py", "+prepare.py\n", "120000"))


def test_a_submodule_is_refused(repository: Repository) -> None:
    assert "submodule" in refusal(repository, new_file("lib", f"+Subproject commit {'1' * 40}\n", mode="160000"))


def test_a_mode_change_is_refused(repository: Repository) -> None:
    patch = "diff --git a/train.py b/train.py\nold mode 100644\nnew mode 100755\n"
    assert "alters the mode of train.py" in refusal(repository, patch)


def test_a_binary_patch_is_refused(repository: Repository, tmp_path: Path) -> None:
    for name, data in (("old", b"\x00\x01"), ("new", b"\x00\x02")):
        (tmp_path / name).write_bytes(data)
    command = ["git", "diff", "--no-index", "--binary", str(tmp_path / "old"), str(tmp_path / "new")]
    diff = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    patch = diff.replace(str(tmp_path / "old"), "/weights.bin").replace(str(tmp_path / "new"), "/weights.bin")
    assert "GIT binary patch" in patch
    assert "binary" in refusal(repository, patch)
    assert "binary" in refusal(repository, "diff --git a/x b/x\nnew file mode 100644\nBinary files /dev/null and b/x differ\n")


def test_a_binary_file_of_the_base_cannot_be_removed_unseen(repository: Repository) -> None:
    patch = "diff --git a/weights.bin b/moved.txt\nsimilarity index 100%\nrename from weights.bin\nrename to moved.txt\n"
    assert "not UTF-8 text" in refusal(repository, patch)


def test_a_rename_shows_as_a_file_that_goes_and_one_that_comes(repository: Repository) -> None:
    patch = "diff --git a/prepare.py b/train2.py\nsimilarity index 100%\nrename from prepare.py\nrename to train2.py\n"
    change = submitted(repository, patch)
    assert {(file.path, file.kind) for file in change.files} == {("prepare.py", "deleted"), ("train2.py", "added")}
    assert "-protected = True" in change.diff
    assert "rename" not in change.diff


def test_a_rename_into_gits_own_files_is_refused(repository: Repository) -> None:
    patch = "diff --git a/train.py b/.gitattributes\nsimilarity index 100%\nrename from train.py\nrename to .gitattributes\n"
    assert "means something to git" in refusal(repository, patch)


def test_each_limit_is_stated_when_it_is_passed(repository: Repository) -> None:
    many = "".join(new_file(f"new_{number}.py") for number in range(21))
    assert "names 21 files; at most 20" in refusal(repository, many)
    assert "2,001 lines; at most 2,000" in refusal(repository, new_file("long.py", "+x\n" * 2001))
    assert "bytes; at most 2,097,152" in refusal(repository, new_file("huge.py", "+" + "x" * (2 << 20) + "\n"))
    assert "big.py has 1,048,577 bytes" in refusal(repository, new_file("big.py", "+" + "x" * (1 << 20) + "\n"))
    assert submitted(repository, new_file("long.py", "+x\n" * 2000)).files[0].added == 2000


def test_a_copy_counts_the_lines_that_it_brings(repository: Repository) -> None:
    patch = "diff --git a/train.py b/copy.py\nsimilarity index 100%\ncopy from train.py\ncopy to copy.py\n"
    assert submitted(repository, patch).files == (FileChange("copy.py", "added", 20, 0),)
    assert "20 changed lines; at most 5" in refusal(repository, patch, Limits(max_changed_lines=5))


@pytest.mark.parametrize("character", ["\u202e", "\u2066", "\u200b", "\u2028", "\x1b", "\x08", "\r"])
def test_a_character_that_hides_code_from_the_reader_is_refused(repository: Repository, character: str) -> None:
    reason = refusal(repository, PATCH.replace("+line_2 = 22", f"+line_2 = 2  # a{character}b"))
    assert f"U+{ord(character):04X}" in reason
    assert "near line 2" in reason


def test_letters_of_any_script_are_welcome(repository: Repository) -> None:
    change = submitted(repository, PATCH.replace("= 22", '= "größer 大きい 👩\u200d🔬"'))
    assert "大きい" in change.diff


def test_a_refused_patch_leaves_the_repository_as_it_was(repository: Repository) -> None:
    before = sorted(str(path) for path in repository.path.rglob("*") if "objects" not in path.parts)
    refusal(repository, new_file("../escape.py"))
    refusal(repository, PATCH.replace("-line_2 = 2", "-line_2 = 7"))
    assert sorted(str(path) for path in repository.path.rglob("*") if "objects" not in path.parts) == before
    assert not (repository.path.parent / "escape.py").exists()
