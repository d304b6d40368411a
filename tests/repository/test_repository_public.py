"""The history that outside agents clone: twins of the landing commits, without who reviewed what."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from research_app.repository import Repository, message_with_trailers
from research_app.repository.git import run_git
from research_app.repository.public import publish, twins, without_reviewers

MESSAGE = message_with_trailers("It helps", [("Candidate", "demo/1"), ("Reviewed-by", "grace"), ("Evidence", "abc")])


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "r.git", "baseline", {"train.py": b"a = 1\n"}, "Begin")


def land(repository: Repository, value: int, message: str = MESSAGE) -> str:
    """One more commit on the branch."""
    tip = repository.tip()
    old = repository.read(tip, "train.py").decode()
    change = repository.change_from_edits(tip, [("train.py", old, f"a = {value}\n")], "change", "ada")
    commit = repository.commit_landing(change.tree, tip, message, "ada", datetime(2026, 1, value, tzinfo=UTC))
    repository.advance(tip, commit)
    return commit


def message_of(repository: Repository, commit: str) -> str:
    return run_git("show", "-s", "--format=%B", commit, repository=repository.path).stdout.decode()


def test_without_a_landing_nothing_is_another(repository: Repository) -> None:
    assert repository.public_tip() == repository.tip() and twins(repository.path) == {}


def test_a_twin_has_the_same_tree_author_and_words_without_the_reviewers(repository: Repository) -> None:
    commit = land(repository, 2)
    shown = repository.public_tip()
    assert shown != commit and repository.tree_of(shown) == repository.tree_of(commit)
    assert "grace" not in message_of(repository, shown)
    assert message_of(repository, shown).replace("Candidate", "Reviewed-by: grace\nCandidate", 0).startswith("It helps")
    assert "Candidate: demo/1\nEvidence: abc" in message_of(repository, shown)
    assert repository.public_name(commit) == shown and repository.public_name(repository.parent_of(commit)) != shown


def test_twins_are_made_once_and_are_the_same_when_they_are_made_again(repository: Repository) -> None:
    for value in (2, 3, 4):
        land(repository, value)
    first = repository.public_tip()
    made = twins(repository.path)
    assert len(made) == 3 and repository.public_tip() == first
    land(repository, 5)
    second = repository.public_tip()
    (repository.path / "public-commits").unlink()
    assert repository.public_tip() == second
    assert {commit: twin for commit, twin in twins(repository.path).items() if commit in made} == made


def test_what_stands_on_a_twin_is_a_twin_and_a_commit_that_is_named_is_named_by_its_twin(repository: Repository) -> None:
    landed = land(repository, 2)
    by_hand = land(repository, 3, "By hand\n")
    land(repository, 4, message_with_trailers("Back", [("Candidate", "demo/2"), ("Reverts", landed), ("Reviewed-by", "lin")]))
    tip = repository.public_tip()
    known = twins(repository.path)
    assert repository.parent_of(tip) == known[by_hand] != by_hand
    assert f"Reverts: {known[landed]}" in message_of(repository, tip)
    reachable = run_git("rev-list", tip, repository=repository.path).stdout.decode()
    assert landed not in reachable and by_hand not in reachable


def test_a_branch_that_is_set_back_shows_the_twin_of_before(repository: Repository) -> None:
    first = land(repository, 2)
    shown = repository.public_tip()
    land(repository, 3)
    repository.public_tip()
    run_git("update-ref", "refs/heads/baseline", first, repository=repository.path)
    assert repository.public_tip() == shown
    assert publish(repository.path, "baseline", first) == shown


def test_words_and_trailers_of_others_stay_as_they_are() -> None:
    theirs = b"Fix it\n\nReviewed-by: Someone <someone@example.org>\nSigned-off-by: Other\n"
    assert without_reviewers(theirs) == theirs
    said = b"Reviewed-by: is what the hypothesis says\n\nCandidate: demo/1\nReviewed-by: grace\nReviewed-by: lin\nEvidence: x\n"
    assert without_reviewers(said) == b"Reviewed-by: is what the hypothesis says\n\nCandidate: demo/1\nEvidence: x\n"
