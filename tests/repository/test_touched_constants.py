"""Which constants a change touches, read off its diff: what the candidate list filters by."""

import pytest

from agent.touched import touched_in
from tests.factories import make_candidate, make_project


def diff(*lines: str, path: str = "train.py") -> str:
    return "\n".join([f"--- a/{path}", f"+++ b/{path}", "@@ -1,9 +1,9 @@", *lines, ""])


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        (["-WARMUP = 0.05", "+WARMUP = 0.02"], ("WARMUP",)),
        (["-lr: float = 3e-4", "+lr: float = 1e-4"], ("lr",)),
        (["+DEPTH = 4", "-WIDTH = 96"], ("DEPTH", "WIDTH")),
        ([" BETAS = (", "     0.9,", "-    0.95,", "+    0.99,", " )", "+x.y = 3"], ("BETAS",)),
        ([" @dataclass", " class Config:", "-    n_layer: int = 3", "+    n_layer: int = 4"], ("n_layer",)),
        ([" class Net:", "-    HEADS = 2", "+    HEADS = 4", "+    hidden = 3"], ("HEADS",)),
        (['-NAME = "a ( b"', '+NAME = "c"', "+def f():", "+    y = 2"], ("NAME",)),
        (["+net = Linear(3, 4)", "+act = lambda x: x", "+if a == 3:", "+    pass", "+total += 1"], ()),
        ([" WARMUP = 0.05", "-# a comment", "+# another"], ()),
    ],
)
def test_the_constants_whose_lines_change_are_named(lines: list[str], names: tuple[str, ...]) -> None:
    assert touched_in(diff(*lines)) == names


def test_files_that_are_not_python_name_no_constants() -> None:
    assert touched_in(diff("-WARMUP = 1", "+WARMUP = 2", path="notes.md")) == ()


def test_a_bracket_that_one_hunk_leaves_open_does_not_reach_into_the_next() -> None:
    assert touched_in(diff(" BETAS = (", "@@ -40 +40 @@", "-    0.9,", "+    0.8,")) == ()


@pytest.mark.django_db
def test_a_patch_set_keeps_what_it_touches_when_it_is_made() -> None:
    candidate = make_candidate(make_project())
    assert candidate.patch_set
    assert candidate.patch_set.touched == "\nWARMUP\n"
