"""Landing: the judged tree, byte for byte, on the tip it was judged on, or not at all."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from research_app.repository import (
    ConflictError,
    OvertakenError,
    Repository,
    RepositoryError,
    StaleTipError,
    message_with_trailers,
)

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TRAILERS = [("Candidate", "demo/7"), ("Reviewed-by", "Ada <ada@example.org>"), ("Evidence", "ab" * 32)]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "repository.git", "baseline", {"train.py": b"a = 1\r\nb = 2"}, "Begin")


def judged(repository: Repository, number: int = 2) -> str:
    """A tree to land, different for each number."""
    edit = ("train.py", "b = 2", f"b = {number}0")
    return repository.change_from_edits(repository.tip(), [edit], "Try", "agent").tree


def landing(repository: Repository, tree: str, parent: str, candidate: str = "demo/7") -> str:
    message = message_with_trailers("Try another b", [("Candidate", candidate), *TRAILERS[1:]])
    return repository.commit_landing(tree, parent, message, "Ada <ada@example.org>", NOON)


def test_what_lands_is_the_judged_tree_byte_for_byte_with_its_trailers(repository: Repository) -> None:
    base, tree = repository.tip(), judged(repository)
    commit = landing(repository, tree, base)
    assert repository.tip() == base
    repository.advance(base, commit)
    assert repository.tip() == commit
    assert repository.tree_of(commit) == tree
    assert repository.read(commit, "train.py") == b"a = 1\r\nb = 20"
    newest, first = repository.log(5)
    assert (newest.commit, newest.subject, newest.time) == (commit, "Try another b", NOON)
    assert newest.trailers == tuple(TRAILERS)
    assert (first.subject, first.trailers) == ("Begin", ())


def test_the_same_landing_makes_the_same_commit(repository: Repository) -> None:
    base, tree = repository.tip(), judged(repository)
    assert landing(repository, tree, base) == landing(repository, tree, base)


def test_what_landed_is_found_by_its_trailer_within_the_limit(repository: Repository) -> None:
    base = repository.tip()
    commits = []
    for number in range(3):
        commits.append(landing(repository, judged(repository, number), repository.tip(), f"demo/{number}"))
        repository.advance(repository.tip(), commits[-1])
        if number < 2:
            repository.advance(commits[-1], landing(repository, repository.tree_of(base), commits[-1], "none"))
    assert repository.find_landed(repository.tip(), "Candidate", "demo/1") == commits[1]
    assert repository.find_landed(repository.tip(), "Candidate", "demo/0", limit=2) is None
    assert repository.find_landed(commits[0], "Candidate", "demo/1") is None
    assert repository.find_landed(repository.tip(), "Candidate", "demo/1 ") == commits[1]
    assert repository.find_landed(repository.tip(), "Candidate", "demo/11") is None


@pytest.mark.parametrize(
    "text",
    [
        "Try\n\nCandidate: demo/8",
        "Candidate: demo/8",
        "Try\n\n---\n\nCandidate: demo/8\n",
        "Try\r\rCandidate: demo/8\x0b\x0bCandidate: demo/8",
        "Try\x00\x1b[31m\u202e\udc80\n\nCandidate: demo/8\n \n",
        "",
        "\n\n  ",
    ],
)
def test_a_text_cannot_smuggle_in_trailers(repository: Repository, text: str) -> None:
    base = repository.tip()
    message = message_with_trailers(text, TRAILERS)
    repository.advance(base, repository.commit_landing(judged(repository), base, message, "Ada", NOON))
    (newest,) = repository.log(1)
    assert newest.trailers == tuple(TRAILERS)
    assert newest.subject
    assert repository.find_landed(repository.tip(), "Candidate", "demo/8") is None


@pytest.mark.parametrize(
    "trailer", [("Key", "a\nCandidate: 8"), ("Key", " "), ("Key:", "x"), ("", "x"), ("A b", "x"), ("K", "\x1b")]
)
def test_a_trailer_that_is_not_one_line_is_refused(trailer: tuple[str, str]) -> None:
    with pytest.raises(RepositoryError, match="is not a trailer"):
        message_with_trailers("Try", [trailer])


@pytest.mark.parametrize(
    "author", ["Ada\n<evil@x>\nparent 123", "Åsa <>", "a <b> <c@d>", "<x@y> Ada", "Ada\u200b", "O'Neil, J."]
)
def test_any_reviewer_s_name_can_author_a_commit(repository: Repository, author: str) -> None:
    commit = repository.commit_landing(judged(repository), repository.tip(), "Try", author, NOON)
    repository.advance(repository.tip(), commit)
    repository.fsck()
    assert repository.tip() == commit
    assert [entry.subject for entry in repository.log(1)] == ["Try"], "the name reached no other header"


def test_an_author_without_a_name_and_a_time_without_a_zone_are_refused(repository: Repository) -> None:
    tree, tip = judged(repository), repository.tip()
    with pytest.raises(RepositoryError, match="is not an author"):
        repository.commit_landing(tree, tip, "Try", " <>", NOON)
    with pytest.raises(RepositoryError, match="time zone"):
        repository.commit_landing(tree, tip, "Try", "Ada", NOON.replace(tzinfo=None))
    with pytest.raises(RepositoryError, match="message"):
        repository.commit_landing(tree, tip, " \n", "Ada", NOON)


def test_a_tip_that_moved_is_told_apart_and_left_alone(repository: Repository) -> None:
    base = repository.tip()
    first, second = (landing(repository, judged(repository, number), base, f"demo/{number}") for number in (3, 4))
    repository.advance(base, first)
    with pytest.raises(StaleTipError) as stale:
        repository.advance(base, second)
    assert (stale.value.expected, stale.value.found) == (base, first)
    assert repository.tip() == first


def test_the_baseline_only_grows(repository: Repository) -> None:
    base = repository.tip()
    first = landing(repository, judged(repository, 3), base)
    second = landing(repository, judged(repository, 4), first)
    for new in (base, second):
        with pytest.raises(RepositoryError, match="only grows"):
            repository.advance(base, new)
    with pytest.raises(RepositoryError, match="has no commit"):
        repository.advance(base, "1" * 40)
    assert repository.tip() == base


def test_of_parallel_advances_exactly_one_wins(repository: Repository) -> None:
    base = repository.tip()
    commits = [landing(repository, judged(repository, number), base, f"demo/{number}") for number in range(8)]
    barrier, outcomes = threading.Barrier(len(commits)), []

    def land(commit: str) -> None:
        barrier.wait()
        try:
            repository.advance(base, commit)
            outcomes.append(commit)
        except StaleTipError:
            outcomes.append("stale")

    threads = [threading.Thread(target=land, args=(commit,)) for commit in commits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if outcome != "stale"]
    assert len(outcomes) == 8
    assert winners == [repository.tip()]
    assert not list(repository.path.rglob("*.lock"))


@pytest.mark.parametrize("name", ["refs/heads/baseline.lock", "HEAD.lock"])
def test_a_lock_that_a_killed_git_left_is_named_with_the_remedy(repository: Repository, name: str) -> None:
    base = repository.tip()
    commit = landing(repository, judged(repository), base)
    lock = repository.path / name
    lock.touch()
    with pytest.raises(RepositoryError, match="Try again in a minute"):
        repository.advance(base, commit)
    os.utime(lock, (time.time() - 300, time.time() - 300))
    with pytest.raises(RepositoryError, match="delete") as error:
        repository.advance(base, commit)
    assert str(lock) in str(error.value)
    assert repository.tip() == base
    lock.unlink()
    repository.advance(base, commit)
    assert repository.tip() == commit


def test_a_kill_at_any_moment_leaves_the_old_tip_or_the_new_one(repository: Repository) -> None:
    chain = [repository.tip()]
    tree = repository.tree_of(chain[0])
    for number in range(50):
        chain.append(landing(repository, tree, chain[-1], f"demo/{number}"))
    chooser = random.Random(5)
    for _ in range(5):
        before = chain.index(repository.tip())
        process = subprocess.Popen(
            [sys.executable, "-c", ADVANCE_ALONG, str(repository.path), *chain[before:]],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        while repository.tip() == chain[before]:
            assert process.poll() is None
        time.sleep(chooser.uniform(0, 0.03))
        _kill_with_children(process)
        assert chain.index(repository.tip()) > before
        for lock in repository.path.rglob("*.lock"):  # what the message about a stale lock tells a person to do
            lock.unlink()
        repository.fsck()
    repository.advance(repository.tip(), landing(repository, judged(repository), repository.tip()))


ADVANCE_ALONG = """
import sys
from pathlib import Path
from research_app.repository import Repository
repository, chain = Repository(Path(sys.argv[1])), sys.argv[2:]
for old, new in zip(chain, chain[1:]):
    repository.advance(old, new)
"""


def _kill_with_children(process: subprocess.Popen[bytes]) -> None:
    parent = psutil.Process(process.pid)
    parent.suspend()  # so that it starts no further git while its present one is found
    children = parent.children(recursive=True)
    for each in (*children, parent):
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()
    while any(map(_runs, children)):
        time.sleep(0.001)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_patch_set_is_kept_for_good_under_its_name(repository: Repository) -> None:
    base = repository.tip()
    first, second = (
        repository.change_from_edits(base, [("train.py", "b = 2", f"b = {number}")], "Try", "agent").commit for number in (3, 4)
    )
    repository.keep("candidates/7/1", first)
    repository.keep("candidates/7/1", first)
    with pytest.raises(RepositoryError, match="already keeps"):
        repository.keep("candidates/7/1", second)
    with pytest.raises(RepositoryError, match="could not be written"):
        repository.keep("candidates/7/2", "1" * 40)
    subprocess.run(["git", "--git-dir", str(repository.path), "gc", "-q", "--prune=now"], check=True)
    assert repository.read(first, "train.py") == b"a = 1\r\nb = 3"
    with pytest.raises(RepositoryError, match="no commit"):
        repository.read(second, "train.py")
    assert repository.tip() == base


def test_behind_a_fence_only_the_last_one_to_raise_it_advances(repository: Repository) -> None:
    base = repository.tip()
    commit = landing(repository, judged(repository), base)
    early, late = repository.raise_fence("landing 1, claim 1"), repository.raise_fence("landing 1, claim 2")
    with pytest.raises(OvertakenError, match="took the landing"):
        repository.advance(base, commit, early)
    assert repository.tip() == base
    repository.advance(base, commit, late)
    assert repository.tip() == commit
    repository.fsck()


def test_several_changes_go_onto_a_commit_together_and_swapped_ends_take_one_back(repository: Repository) -> None:
    base = repository.tip()
    first = repository.change_from_edits(base, [("train.py", "b = 2", "b = 20")], "Try", "agent")
    second = repository.change_from_edits(base, [("other.py", "", "c = 3\n")], "Try", "agent")
    both = repository.combined(base, [(base, first.commit), (base, second.commit)])
    assert repository.read(both, "train.py") == b"a = 1\r\nb = 20" and repository.read(both, "other.py") == b"c = 3\n"
    without = repository.combined(both, [(first.commit, base)])
    assert repository.tree_of(without) == second.tree
    assert repository.combined(base, []) == base
    rival = repository.change_from_edits(base, [("train.py", "b = 2", "b = 21")], "Try", "agent")
    with pytest.raises(ConflictError) as conflict:
        repository.combined(base, [(base, second.commit), (base, first.commit), (base, rival.commit)])
    assert conflict.value.part == 2 and conflict.value.paths == ("train.py",)
