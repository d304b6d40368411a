"""What was tried before in other words is found by its tree, by what it comes to, or by a constant moved to the same place."""

from __future__ import annotations

import itertools
import math
import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.resolved import moved_constants, resolved_hash
from research_app.loop.check.duplicates import distance, within_noise
from research_app.repository import normalised_syntax_hash
from tests.training_samples import TARGET

TRAIN = (TARGET / "train.py").read_text()


def resolved(text: str) -> str:
    return resolved_hash({"train.py": text})


SAME = {
    "arithmetic that is done": ("LEARNING_RATE = 8e-3", "LEARNING_RATE = 4e-3 * 2"),
    "a constant of its own": ("GRAD_CLIP = 1.0", "CLIPPED_AT = 1.0\nGRAD_CLIP = CLIPPED_AT"),
    "a value in the place of a constant": ("model.parameters(), GRAD_CLIP)", "model.parameters(), 1.0)"),
    "a local variable of another name": ("cosine", "wave"),
    "a docstring and a comment": ('"""AdamW; matrices decay', '"""Adam with decay. # AdamW; matrices decay'),
    "keywords in another order": ("betas=(BETA1, BETA2), fused=True", "fused=True, betas=(BETA1, BETA2)"),
}
OTHER = {
    "another value": ("LEARNING_RATE = 8e-3", "LEARNING_RATE = 4e-3"),
    "another operation": ("F.gelu(", "F.relu("),
    "an argument of another name": ("def attend(self, x: torch.Tensor)", "def attend(self, z: torch.Tensor)"),
    "a constant that changes on the way": ("GRAD_CLIP = 1.0", "GRAD_CLIP = 1.0\nGRAD_CLIP = 2.0"),
    "an order of statements": ("        loss.backward()\n", ""),
}


@pytest.mark.parametrize("what", SAME)
def test_code_that_comes_to_the_same_has_the_same_resolved_hash(what: str) -> None:
    old, new = SAME[what]
    assert old in TRAIN
    assert resolved(TRAIN.replace(old, new)) == resolved(TRAIN)


@pytest.mark.parametrize("what", OTHER)
def test_code_that_does_something_else_has_another_resolved_hash(what: str) -> None:
    old, new = OTHER[what]
    assert old in TRAIN
    assert resolved(TRAIN.replace(old, new)) != resolved(TRAIN)


def test_a_name_that_is_also_a_variable_or_changed_through_global_is_not_taken_for_a_constant() -> None:
    shadowed = "A = 1\ndef f(A):\n    return A\n"
    assert resolved(shadowed) != resolved(shadowed.replace("A = 1", "A = 2"))
    state = "A = 1\ndef f():\n    global A\n    A = 3\n\ndef g():\n    return A\n"
    assert resolved(state) != resolved(state.replace("A = 1", "A = 2"))


def test_a_constant_that_another_file_may_read_counts_where_it_is_set() -> None:
    files = {"config.py": "WIDTH = 64\nDEPTH = 2\n", "train.py": "from config import WIDTH\nprint(WIDTH)\n"}
    wider = files | {"config.py": "WIDTH = 96\nDEPTH = 2\n"}
    assert resolved_hash(files) != resolved_hash(wider)
    assert resolved_hash(files) == resolved_hash(files | {"config.py": "WIDTH = 60 + 4\nDEPTH = 3\n"})  # nobody reads DEPTH
    beside = {"prepare.py": "import config\nprint(config.DEPTH)\n"}
    assert resolved_hash(files, beside) != resolved_hash(files | {"config.py": "WIDTH = 64\nDEPTH = 3\n"}, beside)


def test_sums_that_cannot_be_done_are_left_as_they_are() -> None:
    for text in ("A = 1 / 0\n", "A = 2 ** 10**9\n", "A = 'x' * 3\n", "A = 1 << 3\n", "def f(:\n"):
        assert resolved(text) == resolved(text)
    assert resolved("x = f(2 ** 3)\n") == resolved("x = f(8)\n")


def test_moved_constants_are_told_and_anything_else_is_structure() -> None:
    files = {"train.py": TRAIN}
    both = TRAIN.replace("LEARNING_RATE = 8e-3", "LEARNING_RATE = 1e-2").replace("HEADS = 2 ", "HEADS = 4 ")
    assert moved_constants(files, {"train.py": both}) == {
        "train.py:HEADS": (2, 4), "train.py:LEARNING_RATE": (0.008, 0.01),
    }  # fmt: skip
    assert moved_constants(files, files) == {}
    structural = both.replace("F.gelu(", "F.relu(")
    assert moved_constants(files, {"train.py": structural}) == {}
    assert moved_constants(files, {"train.py": both, "other.py": "A = 1\n"}) == {}
    assert moved_constants(files, {"train.py": TRAIN.replace("LAYERS = 2", "DEPTH = 2")}) == {}
    assert moved_constants(files, {"train.py": "def f(:\n"}) == {}


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        (0.008, 0.016, math.log(2)), (8, 8, 0.0), (0.9, 0.95, math.log(2)), (0.99, 0.9, math.log(10)), (True, False, math.inf),
        ("gelu", "relu", math.inf), ("gelu", "gelu", 0.0), (0.0, 0.1, math.inf), (0, 0, 0.0), (-1.0, 1.0, math.inf),
        (-2.0, -1.0, math.log(2)), (True, 1, math.inf), (0.7, 0.95, math.log(6)),
        (0.85, 0.7, math.log(2)), (0.95, 1.05, math.log(1.05 / 0.95)),
    ],
)  # fmt: skip
def test_values_are_as_far_apart_as_their_ratio_or_their_memory(one: Any, other: Any, apart: float) -> None:
    assert distance(one, other) == pytest.approx(apart)


def evidence(effect: float, verdict: str = "drop", error: float = 0.01) -> Any:
    return SimpleNamespace(sigma=0.01, verdict=verdict, interval=(effect - error, effect + error))


def test_a_nearly_equal_value_is_the_same_try() -> None:
    assert within_noise((0.01, 0.02), 0.0205, None)
    assert not within_noise((0.01, 0.02), 0.023, None)
    assert not within_noise((True, False), True, None)


def test_where_the_slope_was_measured_it_says_whether_a_neighbour_is_worth_a_run() -> None:
    flat, steep = evidence(0.001), evidence(0.06)
    assert within_noise((0.01, 0.02), 0.023, flat), "doubling did nothing, so 15% more will not either"
    assert not within_noise((0.01, 0.02), 0.023, steep)
    assert not within_noise((0.01, 0.02), 0.03, flat), "far enough away to be a try of its own"
    assert not within_noise((0.01, 0.02), 0.023, flat, moved=2), "the slope is not that of one constant"
    assert not within_noise((0.01, 0.02), 0.023, evidence(0.001, "invalid"))
    assert not within_noise((0.01, 0.02), 0.023, evidence(0.001, error=0.1)), (
        "one noisy run does not say that the slope is flat"
    )


def test_a_value_between_two_others_is_nearer_to_either_than_these_are_to_each_other() -> None:
    """0.85 and 0.7 are no nearer to each other than 0.85 and 0.8, wherever a line may be drawn."""
    values = [0.01, 0.1, 0.5, 0.7, 0.79, 0.8, 0.81, 0.85, 0.9, 0.99, 0.999]
    for low, middle, high in itertools.combinations(values, 3):
        assert max(distance(low, middle), distance(middle, high)) <= distance(low, high)
    assert not within_noise((0.9, 0.85), 0.7, evidence(0.0, error=0.001))


def test_a_constant_that_was_1_or_more_somewhere_is_no_average() -> None:
    assert within_noise((1.5, 0.97), 0.99, None), "a scale: 2% apart"
    assert not within_noise((0.95, 0.97), 0.99, None), "an average: one remembers three times as long"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(a=st.floats(1e-6, 1e6), b=st.floats(1e-6, 1e6), c=st.floats(1e-6, 1e6))
def test_the_distance_is_symmetric_and_zero_for_equal_values(a: float, b: float, c: float) -> None:
    assert distance(a, b) == pytest.approx(distance(b, a))
    assert distance(a, a) == 0.0
    if all(value < 1 for value in (a, b, c)) or all(value >= 1 for value in (a, b, c)):
        assert distance(a, c) <= distance(a, b) + distance(b, c) + 1e-9


@pytest.mark.slow
def test_a_repository_of_many_files_is_parsed_once_and_a_large_file_counts_by_every_byte() -> None:
    """A change of one of 300 files costs what that file costs; nothing costs more than its size allows."""
    files = {f"lib/{i}.py": f"LR = {i}\n" + "def f(x):\n    return x * LR + 1\n\n\n" * 100 for i in range(300)}
    first = resolved_hash(files), normalised_syntax_hash(files)
    begin = time.process_time()
    assert (resolved_hash(files), normalised_syntax_hash(files)) == first
    changed = {**files, "lib/7.py": files["lib/7.py"].replace("+ 1", "+ 2", 1)}
    assert resolved_hash(changed) != first[0] and normalised_syntax_hash(changed) != first[1]
    assert time.process_time() - begin < 1.5
    large = {"lib/large.py": "a=1\n" * 200_000}
    begin = time.process_time()
    assert resolved_hash(large) != resolved_hash({"lib/large.py": large["lib/large.py"] + "# more\n"})
    normalised_syntax_hash(large), moved_constants(large, {"lib/large.py": "a=2\n" * 200_000})
    assert time.process_time() - begin < 1.5


def test_a_file_that_was_seen_beside_others_is_resolved_anew_beside_one_that_reads_its_constant() -> None:
    one = {"a.py": "LR = 0.1\nprint(LR)\n"}
    alone, read = resolved_hash(one), resolved_hash(one, {"b.py": "from a import LR\n"})
    other = {"a.py": "print(0.1)\n"}
    assert alone == resolved_hash(other) and read != resolved_hash(other, {"b.py": "from a import LR\n"})
