"""What tests copy instead of making it again is what git would have made."""

from pathlib import Path

from research_app.repository import Limits, Repository
from tests.factories import FILES
from tests.repository_templates import commit_edits, keep, lay_out

EDITS = [("train.py", "WARMUP = 0.05", "WARMUP = 0.02"), ("folder/new.py", "", "NEW = 1\n")]


def laid_out(path: Path) -> tuple[Repository, str]:
    begun = lay_out(path, "baseline", FILES)
    repository = Repository(path)
    assert (repository.tip(), repository.tree_of(begun.tip)) == (begun.tip, begun.tree)
    return repository, begun.tip


def test_a_copied_commit_is_what_git_makes_of_the_same_edits(tmp_path: Path) -> None:
    first, tip = laid_out(tmp_path / "first.git")
    commit_edits(first, tip, EDITS, "Try", "ada", Limits())
    copied, _ = laid_out(tmp_path / "copied.git")
    change = commit_edits(copied, tip, EDITS, "Try", "ada", Limits())
    copied.fsck()
    made, _ = laid_out(tmp_path / "made.git")
    assert change == made.change_from_edits(tip, EDITS, "Try", "ada", Limits())
    assert copied.diff(tip, change.commit) == change.diff
    assert copied.read(change.commit, "folder/new.py") == b"NEW = 1\n"


def test_a_commit_on_a_copied_commit_has_all_that_it_needs(tmp_path: Path) -> None:
    for name in ("first.git", "copied.git"):
        repository, tip = laid_out(tmp_path / name)
        change = commit_edits(repository, tip, EDITS, "Try", "ada", Limits())
        next_edit = [("train.py", "WIDTH = 96", "WIDTH = 128")]
        commit = commit_edits(repository, change.commit, next_edit, "Wider", "ada", Limits()).commit
        repository.fsck()
        assert b"WARMUP = 0.02" in repository.read(commit, "train.py")


def test_repositories_that_were_laid_out_have_nothing_in_common(tmp_path: Path) -> None:
    first, tip = laid_out(tmp_path / "first.git")
    second, _ = laid_out(tmp_path / "second.git")
    change = commit_edits(first, tip, EDITS, "Try something else", "ada", Limits())
    first.advance(tip, change.commit)
    keep(first, "candidates/1/1", change.commit)
    assert second.tip() == tip
    assert not (second.path / "refs" / "signoff").exists()
    assert (first.path / "refs" / "signoff" / "candidates" / "1" / "1").read_text() == f"{change.commit}\n"
    first.keep("candidates/1/1", change.commit)  # git finds it there
