"""Which paths a project lets a candidate change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from research_app.repository import Change, FileChange, check_paths, matches
from research_app.repository.paths import path_problem


def change_of(*paths: str) -> Change:
    files = tuple(FileChange(path, "modified", 1, 1) for path in paths)
    return Change("c" * 40, "d" * 40, "b" * 40, "", "", files)


def test_an_editable_path_has_no_problem() -> None:
    assert check_paths(change_of("train.py", "model/a/b.py"), ["train.py", "model/**"], ["prepare.py"]) == []


def test_each_path_that_is_not_editable_is_named() -> None:
    assert check_paths(change_of("train.py", "notes.md", "x/train.py"), ["train.py"], []) == [
        "notes.md is not among the editable paths of this project (train.py).",
        "x/train.py is not among the editable paths of this project (train.py).",
    ]


def test_protected_wins_over_editable_whatever_the_case() -> None:
    for path in ("prepare.py", "Prepare.py", "data/shard.py", "DATA/x/y.py", "eval_set/deep/x.py"):
        (problem,) = check_paths(change_of(path), ["**"], ["prepare.py", "data", "eval*"])
        assert problem == f"{path} is protected: a candidate of this project may not change it."


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("train.py", "train.py", True),
        ("train.py", "./train.py", True),
        ("train_py", "train.py", False),
        ("train.py2", "train.py", False),
        ("a/train.py", "*.py", False),
        ("train.py", "*.py", True),
        ("a/b/train.py", "**/*.py", True),
        ("train.py", "**/*.py", True),
        ("model/a.py", "model", True),
        ("model/a/b.py", "model/", True),
        ("models/a.py", "model", False),
        ("model/a/b.py", "model/*", False),
        ("model/a/b.py", "model/**", True),
        ("a1.py", "a?.py", True),
        ("a/.py", "a?.py", False),
        ("a[1].py", "a[1].py", True),
        ("train.py\n", "train.py", False),
    ],
)
def test_a_pattern_is_matched_from_the_root(path: str, pattern: str, expected: bool) -> None:
    assert matches(path, [pattern]) is expected


@pytest.mark.parametrize("path", ["train.py", "model/größe.py", "a-b/c_d.e.txt", "x y.py", ".config/x", "大.py", "gist.py"])
def test_ordinary_paths_may_enter_a_tree(path: str) -> None:
    assert path_problem(path) is None


@pytest.mark.parametrize(
    "path",
    [
        *(
            "",
            "/a",
            "a//b",
            "a/",
            "./a",
            "a/..",
            "..",
            "C:/x",
            "-x",
            "a.",
            "a\\..\\b",
            "a*.py",
            "a?.py",
            "x" * 201,
            "a/" * 250 + "b",
        ),
        *(".Git", ".GiT/x", ".git /x", ".git::$INDEX_ALLOCATION/x", "x/.ｇit/config", "GITATT~1", "gi7eba~1"),
        *("~\x00", "a\tb", "a\u200bb", "a\u202eb", "\ud800.py"),
    ],
)
def test_a_path_that_some_system_reads_otherwise_may_not_enter_a_tree(path: str) -> None:
    assert path_problem(path)


@given(st.text(alphabet="./\\ .gitGIT~1ab\u200c\n", max_size=12))
def test_no_accepted_path_leaves_the_tree_or_names_git(path: str) -> None:
    if path_problem(path) is None:
        parts = path.split("/")
        assert ".." not in parts
        assert "." not in parts
        assert "" not in parts
        assert not any(part.lower().rstrip(". ").startswith(".git") for part in parts)
