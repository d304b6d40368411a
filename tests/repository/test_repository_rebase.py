"""Taking a change to another base, and taking a landed change back."""

from __future__ import annotations

from pathlib import Path

import pytest

from research_app.repository import ConflictError, PatchError, Repository, RepositoryError

TRAIN = "".join(f"line_{number} = {number}\n" for number in range(1, 41))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    files = {"train.py": TRAIN.encode(), "other.py": b"x = 1\n", "README.md": b"Notes\n"}
    return Repository.create(tmp_path_factory.mktemp("project") / "repository.git", "baseline", files, "Begin")


def on(repository: Repository, base: str, *edits: tuple[str, str, str]) -> str:
    return repository.change_from_edits(base, edits, "Change", "agent").commit


def test_a_clean_rebase_keeps_the_diff_hash_though_the_lines_moved(repository: Repository) -> None:
    base = repository.tip()
    change = repository.change_from_edits(base, [("train.py", "line_30 = 30", "line_30 = 0")], "Try", "agent")
    moved = on(repository, base, ("train.py", "line_2 = 2\n", "line_2 = 2\nmore = 1\nmore = 2\n"), ("other.py", "1", "2"))
    rebased = repository.rebased(base, change.commit, moved, "Try", "agent")
    assert rebased.base == moved
    assert rebased.diff_hash == change.diff_hash
    assert rebased.diff != change.diff
    assert rebased.commit != change.commit
    text = repository.read(rebased.commit, "train.py").decode()
    assert "line_30 = 0\n" in text
    assert "more = 2\n" in text
    assert repository.read(rebased.commit, "other.py") == b"x = 2\n"


def test_another_change_has_another_diff_hash(repository: Repository) -> None:
    base = repository.tip()
    edits = [("train.py", "line_3 = 3", "line_3 = 4"), ("train.py", "line_3 = 3", "line_3 = 5"), ("other.py", "1", "2")]
    assert len({repository.change_from_edits(base, [edit], "Try", "agent").diff_hash for edit in edits}) == 3


def test_a_rebase_onto_a_change_of_the_same_lines_names_the_paths_in_conflict(repository: Repository) -> None:
    base = repository.tip()
    change = on(repository, base, ("train.py", "line_5 = 5", "line_5 = 1"), ("README.md", "Notes", "Hints"))
    moved = on(repository, base, ("train.py", "line_5 = 5", "line_5 = 2"))
    with pytest.raises(ConflictError) as conflict:
        repository.rebased(base, change, moved, "Try", "agent")
    assert conflict.value.paths == ("train.py",)
    assert "train.py" in str(conflict.value)


def test_a_rebase_onto_a_base_that_dropped_or_renamed_the_file_is_a_conflict(repository: Repository) -> None:
    base = repository.tip()
    change = on(repository, base, ("train.py", "line_5 = 5", "line_5 = 1"))
    rename = "diff --git a/train.py b/main.py\nsimilarity index 100%\nrename from train.py\nrename to main.py\n"
    moved = repository.change_from_patch(base, rename, "Rename", "Ada").commit
    with pytest.raises(ConflictError) as conflict:
        repository.rebased(base, change, moved, "Try", "agent")
    assert conflict.value.paths == ("main.py",)
    gone = repository.diff(change, base).split("@@")[0].replace("index", "deleted file mode 100644\nindex")
    lines = "".join(f"-{line}\n" for line in TRAIN.splitlines())
    patch = gone.replace("+++ b/train.py", "+++ /dev/null") + f"@@ -1,40 +0,0 @@\n{lines}"
    dropped = repository.change_from_patch(base, patch, "Drop", "Ada").commit
    with pytest.raises(ConflictError) as conflict:
        repository.rebased(base, change, dropped, "Try", "agent")
    assert conflict.value.paths == ("train.py",)


def test_a_change_that_the_new_base_holds_already_is_refused(repository: Repository) -> None:
    base = repository.tip()
    change = on(repository, base, ("other.py", "1", "2"))
    with pytest.raises(PatchError, match="leaves every file"):
        repository.rebased(base, change, change, "Try", "agent")


def test_the_bases_need_not_share_history(repository: Repository, tmp_path: Path) -> None:
    """A rebase merges three trees; what history says about them does not count."""
    base = repository.tip()
    first = on(repository, base, ("train.py", "line_5 = 5", "line_5 = 1"))
    second = on(repository, first, ("train.py", "line_25 = 25", "line_25 = 1"))
    picked = repository.rebased(first, second, base, "Only the second", "agent")
    assert repository.read(picked.commit, "train.py").decode() == TRAIN.replace("line_25 = 25", "line_25 = 1")


def test_a_landed_change_is_taken_back_though_more_landed_after_it(repository: Repository) -> None:
    base = repository.tip()
    change = repository.change_from_edits(base, [("train.py", "line_5 = 5", "line_5 = 1")], "Try", "agent")
    later = on(repository, change.commit, ("train.py", "line_25 = 25", "line_25 = 1"))
    back = repository.change_reverting(change.commit, later, "Take it back", "Ada")
    assert repository.read(back.commit, "train.py").decode() == TRAIN.replace("line_25 = 25", "line_25 = 1")
    alone = repository.change_reverting(change.commit, change.commit, "Take it back", "Ada")
    assert alone.tree == repository.tree_of(base)


def test_taking_back_what_later_changes_built_on_is_a_conflict(repository: Repository) -> None:
    first = on(repository, repository.tip(), ("train.py", "line_5 = 5", "line_5 = 1"))
    later = on(repository, first, ("train.py", "line_5 = 1", "line_5 = 2"))
    with pytest.raises(ConflictError) as conflict:
        repository.change_reverting(first, later, "Take it back", "Ada")
    assert conflict.value.paths == ("train.py",)


def test_the_first_commit_cannot_be_taken_back(repository: Repository) -> None:
    with pytest.raises(RepositoryError, match="0 parents"):
        repository.change_reverting(repository.tip(), repository.tip(), "Take it back", "Ada")


def test_merge_drivers_named_by_attributes_are_not_used(repository: Repository) -> None:
    (repository.path / "info").mkdir(exist_ok=True)
    marker = repository.path.parent / "ran"
    with (repository.path / "config").open("a") as config:
        config.write(f'[merge "planted"]\n\tdriver = touch {marker}\n')
    base = repository.tip()
    patch = "--- /dev/null\n+++ b/.gitattributes\n@@ -0,0 +1 @@\n+*.py merge=union\n"
    with pytest.raises(PatchError):
        repository.change_from_patch(base, patch, "Plant", "agent")
    change = on(repository, base, ("train.py", "line_5 = 5", "line_5 = 1"))
    moved = on(repository, base, ("train.py", "line_5 = 5", "line_5 = 2"))
    with pytest.raises(ConflictError):
        repository.rebased(base, change, moved, "Try", "agent")
    assert not marker.exists()
