"""Which lines two texts have in common: right for any two, and never slower than their size allows."""

import random
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.matching import steps_between

LINES = st.lists(st.sampled_from(["", "a", "b", "c", "x = 1"]), max_size=40)


def rebuilt(before: Sequence[str], after: Sequence[str]) -> list[str]:
    made: list[str] = []
    at = 0
    for tag, i, j, k, m in steps_between(before, after):
        assert i == at
        assert tag == ("insert" if i == j else "delete" if k == m else "equal" if before[i:j] == after[k:m] else "replace")
        made += before[i:j] if tag == "equal" else after[k:m]
        at = j
    assert at == len(before)
    return made


@given(LINES, LINES)
def test_the_steps_lead_from_one_text_to_the_other(before: list[str], after: list[str]) -> None:
    assert rebuilt(before, after) == after


def test_a_few_edits_in_a_long_file_are_found_exactly() -> None:
    drawn = random.Random(3)
    before = [drawn.choice(["", "    return x", f"line {n}", f"x = {n % 50}"]) for n in range(20_000)]
    after = list(before)
    for at in (19_000, 10_000, 5_000, 200):
        after[at : at + 2] = [f"new {at}"]
    changed = [step for step in steps_between(before, after) if step[0] != "equal"]
    assert sum(j - i for _, i, j, _, _ in changed) <= 12
    assert rebuilt(before, after) == after


HOSTILE = {
    "all alike": lambda n: (["x"] * n, ["x"] * (n - 7) + ["y"] * 7),
    "a hundred lines again and again": lambda n: ([str(i % 100) for i in range(n)], [str(i * 7 % 100) for i in range(n)]),
    "turned round": lambda n: ([str(i) for i in range(n)], [str(i) for i in reversed(range(n))]),
    "nothing in common": lambda n: ([f"a{i % 9}" for i in range(n)], [f"b{i % 9}" for i in range(n)]),
    "one anchor at a time": lambda n: (
        [str(abs(i)) for i in range(-n // 2, n // 2)],
        [str(abs(i)) for i in range(n // 2, -n // 2, -1)],
    ),
    "shuffled": lambda n: ([str(i) for i in range(n)], random.Random(1).sample([str(i) for i in range(n)], n)),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_pair_of_texts_takes_longer_than_its_size_allows(kind: str) -> None:
    before, after = HOSTILE[kind](50_000)
    begin = time.process_time()
    assert rebuilt(before, after) == after
    assert time.process_time() - begin < 4  # difflib: minutes
