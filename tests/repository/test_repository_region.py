"""Which later changes altered the lines of a change: exactly those that a merge trips over."""

import random
from pathlib import Path

import pytest

from research_app.repository import ConflictError, Repository
from research_app.repository.region import Hunk, Span, _moved, hunks

LINES = [f"line {number}" for number in range(1, 41)]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "r.git", "baseline", {"train.py": text(LINES)}, "Begin")


def text(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def change(repository: Repository, base: str, *edits: tuple[str, str]) -> str:
    """A commit with some exact replacements."""
    wanted = [("train.py", f"{old}\n", f"{new}\n" if new else "") for old, new in edits]
    return repository.change_from_edits(base, wanted, "change", "ada").commit


def test_only_the_commit_that_altered_the_same_lines_is_named(repository: Repository) -> None:
    base = repository.tip()
    mine = change(repository, base, ("line 20", "mine"))
    later, at = [], base
    for old, new in (("line 3", "one\ntwo\nthree"), ("line 20", "theirs"), ("line 30", ""), ("line 38", "x")):
        at = change(repository, at, (old, new))
        later.append(at)
    assert repository.altered_alike(base, mine, later, ["train.py"]) == [(), ("train.py",), (), ()]


def test_lines_are_followed_when_others_push_them_down_or_up(repository: Repository) -> None:
    base = repository.tip()
    mine = change(repository, base, ("line 20", "mine"))
    down = change(repository, base, ("line 2", "a\nb\nc\nd\ne"))
    there = change(repository, down, ("line 16", "not mine: it stands where line 20 was"))
    up = change(repository, there, ("line 5\nline 6\nline 7", ""))
    clash = change(repository, up, ("line 20", "theirs"))
    assert repository.altered_alike(base, mine, [down, there, up, clash], ["train.py"]) == [(), (), (), ("train.py",)]


def test_a_change_right_beside_is_in_the_way_and_one_a_line_off_is_not(repository: Repository) -> None:
    base = repository.tip()
    mine = change(repository, base, ("line 20", "mine"))
    beside, off = change(repository, base, ("line 21", "x")), change(repository, base, ("line 22", "x"))
    assert repository.altered_alike(base, mine, [beside], ["train.py"]) == [("train.py",)]
    assert repository.altered_alike(base, mine, [off], ["train.py"]) == [()]


def test_a_file_that_was_made_removed_or_filled_by_both_is_in_the_way(repository: Repository) -> None:
    base = repository.tip()
    mine = repository.change_from_edits(base, [("new.py", "", "a = 1\n")], "make", "ada").commit
    theirs = repository.change_from_edits(base, [("new.py", "", "b = 2\n")], "make", "lin").commit
    assert repository.altered_alike(base, mine, [theirs], ["new.py"]) == [("new.py",)]


def test_what_took_the_place_of_the_lines_belongs_to_them(repository: Repository) -> None:
    base = repository.tip()
    mine = change(repository, base, ("line 20", "mine"))
    first = change(repository, base, ("line 20", "p\nq\nr"))
    second = change(repository, first, ("r", "s"))
    assert repository.altered_alike(base, mine, [first, second], ["train.py"]) == [("train.py",), ("train.py",)]


@pytest.mark.parametrize("seed", range(40))
def test_it_says_what_git_says_of_random_changes(repository: Repository, seed: int) -> None:
    """Two changes of one file, of one to three places each: they conflict where, and only where, one is named."""
    chance = random.Random(seed)
    base = repository.tip()

    def made(name: str) -> str:
        lines = list(LINES)
        for place in sorted(chance.sample(range(len(lines)), chance.randint(1, 3)), reverse=True):
            kind = chance.choice(("replace", "insert", "delete"))
            new = [f"{name} {place} {n}" for n in range(chance.randint(1, 3))]
            lines[place : place + (kind != "insert")] = [] if kind == "delete" else new
        patch = repository.change_from_edits(base, [("train.py", text(LINES).decode(), text(lines).decode())], name, "ada")
        return patch.commit

    mine, theirs = made("mine"), made("theirs")
    try:
        repository.combined(base, [(base, theirs), (base, mine)])
        conflict = False
    except ConflictError:
        conflict = True
    assert bool(repository.altered_alike(base, mine, [theirs], ["train.py"])[0]) is conflict


def test_places_between_lines_are_kept(repository: Repository) -> None:
    base = repository.tip()
    inserted = change(repository, base, ("line 10", "line 10\nnew"))
    assert hunks(repository.path, base, inserted, "train.py") == [Hunk(Span(10, 10), Span(10, 11))]
    assert _moved(Span(30, 30), hunks(repository.path, base, inserted, "train.py")) == Span(31, 31)
