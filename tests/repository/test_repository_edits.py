"""Exact replacements: the text to replace must be there once."""

from __future__ import annotations

from pathlib import Path

import pytest

from research_app.repository import Change, FileChange, Limits, PatchError, Repository

FILES = {
    "train.py": b"a = 1\nif a:\n    b = 2\nc = 2\n",
    "windows.py": b"a = 1\r\nb = 2\r\n",
    "weights.bin": b"\xff\xfe",
    "model/block.py": b"width = 64\n",
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository.create(tmp_path_factory.mktemp("project") / "repository.git", "baseline", FILES, "Begin")


def edited(repository: Repository, *edits: tuple[str, str, str]) -> Change:
    return repository.change_from_edits(repository.tip(), edits, "Try it", "agent")


def test_edits_apply_in_order_and_show_as_one_change(repository: Repository) -> None:
    change = edited(repository, ("train.py", "a = 1", "a = 5"), ("train.py", "a = 5", "a = 7"), ("new/x.py", "", "x = 1\n"))
    assert repository.read(change.commit, "train.py") == b"a = 7\nif a:\n    b = 2\nc = 2\n"
    assert change.files == (FileChange("new/x.py", "added", 1, 0), FileChange("train.py", "modified", 1, 1))


def test_an_edit_and_the_same_patch_make_the_same_tree_and_diff_hash(repository: Repository) -> None:
    change = edited(repository, ("train.py", "a = 1", "a = 5"))
    patch = repository.change_from_patch(repository.tip(), change.diff, "By hand", "Ada")
    assert (patch.tree, patch.diff_hash) == (change.tree, change.diff_hash)


def test_only_the_edited_bytes_change(repository: Repository) -> None:
    change = edited(repository, ("windows.py", "b = 2", "b = 3"))
    assert repository.read(change.commit, "windows.py") == b"a = 1\r\nb = 3\r\n"


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (("train.py", " = 2", " = 3"), "occurs 2 times in train.py; include more lines around it"),
        (("train.py", "z = 9", "z = 8"), "does not occur in train.py: copy it exactly"),
        (("train.py", "if a:\n  b = 2", "if a:\n  b = 3"), "spacing"),
        (("train.py", "a = 1", "a = 1"), "by itself"),
        (("train.py", "", "a = 1"), "train.py already exists"),
        (("missing.py", "a", "b"), "missing.py does not exist"),
        (("weights.bin", "a", "b"), "weights.bin is not UTF-8 text"),
        (("../x.py", "", "x"), "'..'"),
        (("/x.py", "", "x"), "relative"),
        ((".git/config", "", "x"), "means something to git"),
        (("a\nb.py", "", "x"), "control character"),
        (("train.py", "a = 1", "a = '\u202e'"), "U+202E"),
        (("train.py", "a = 1", "a = '\0'"), "not UTF-8 text"),
        (("train.py", "a = 1", "a = '\ud800'"), "not UTF-8 text"),
        (("model", "", "x = 1\n"), "model"),
        (("train.py/x.py", "", "x = 1\n"), "train.py"),
    ],
)
def test_an_edit_that_cannot_be_meant_is_refused_in_words(
    repository: Repository, edit: tuple[str, str, str], words: str
) -> None:
    with pytest.raises(PatchError) as refused:
        edited(repository, edit)
    assert words in refused.value.reason
    assert "\n" not in refused.value.reason


def test_overlapping_places_count_as_several(tmp_path: Path) -> None:
    repository = Repository.create(tmp_path / "r.git", "baseline", {"train.py": b"x = 'aaa'\n"}, "Begin")
    with pytest.raises(PatchError, match="occurs 2 times"):
        edited(repository, ("train.py", "aa", "b"))


def test_no_edits_are_no_change(repository: Repository) -> None:
    with pytest.raises(PatchError, match="no edits"):
        edited(repository)
    with pytest.raises(PatchError, match="leaves every file"):
        edited(repository, ("train.py", "a = 1", "a = 5"), ("train.py", "a = 5", "a = 1"))


def test_a_file_above_the_limit_is_refused(repository: Repository) -> None:
    with pytest.raises(PatchError, match=r"1,048,576 bytes"):
        edited(repository, ("big.py", "", "x" * (1 << 20) + "\n"))
    edits = [("a.py", "", "a\n"), ("b.py", "", "b\n")]
    with pytest.raises(PatchError, match="at most 1 are taken"):
        repository.change_from_edits(repository.tip(), edits, "Two", "agent", Limits(max_files=1))
