"""Which constants are found, and which values they may take."""

from __future__ import annotations

import pytest

from agent.constants import Value, find_constants
from agent.knobs import category_of, find_knobs
from agent.ladder import BadKnobComment, ladder
from agent.proposal import NothingToPropose
from tests.knobs_samples import GPT2


def ladders(source: str) -> dict[str, tuple[Value, ...]]:
    """Label to ladder of the constants in a source that are knobs."""
    return {c.label: steps for c in find_constants("train.py", source) if (steps := ladder(c))}


def test_constants_of_a_training_script_are_found() -> None:
    assert set(ladders(GPT2)) == {
        "LEARNING_RATE", "MIN_LR_FRACTION", "WEIGHT_DECAY", "BETAS[0]", "BETAS[1]", "WARMUP_STEPS", "BATCH_SIZE",
        "N_EMBD", "DROPOUT", "BIAS", "ACTIVATION", 'MIXTURE["code"]', 'MIXTURE["prose"]', 'MIXTURE["validation"]',
    }  # fmt: skip


def test_class_constants_and_field_defaults_are_found_but_enumerations_and_locals_are_not() -> None:
    source = (
        "from dataclasses import dataclass\nfrom enum import IntEnum\n"
        "@dataclass\nclass Config:\n    depth: int = 6\n    rate: float = 0.02\n    name: str = 'x'\n"
        "class Model:\n    WIDTH = 64\n    buffers = 4\n"
        "class Kind(IntEnum):\n    FIRST = 1\n"
        "def train(steps=5):\n    scale = 0.3\n"
    )
    assert set(ladders(source)) == {"Config.depth", "Config.rate", "Model.WIDTH"}


def test_counters_and_reassigned_names_are_not_constants() -> None:
    source = "best = 1e9\nstep = 1\nLR = 0.1\nLR = 0.2\ncalls = 2\nwhile step < 9:\n    step += 1\n    best = 0.5\n"
    source += "def f():\n    global calls\n    calls += 1\n"
    assert ladders(source) == {}


def test_what_would_change_the_measurement_or_the_budget_is_not_a_knob() -> None:
    source = "SEED = 1337\nEVAL_TOKENS = 4096\nLOG_EVERY = 10\nMAX_STEPS = 500\nTIME_BUDGET = 300\nVOCAB_SIZE = 256\n"
    source += "MASK = 0xFF\nIGNORE = -1\nAXIS = -1\n"
    assert ladders(source) == {}


def test_a_word_is_a_knob_only_with_the_alternatives_that_the_code_compares_it_with() -> None:
    source = 'A = "x"\nB = "sgd"\nC = "silu"\nTITLE = "run"\nTABLE = {"silu": abs, "relu": max}\nF = TABLE[C]\n'
    source += 'def f(config):\n    match config.B:\n        case "adam" | "lion":\n            return A != "y"\n'
    assert ladders(source) == {"A": ("x", "y"), "B": ("adam", "lion", "sgd"), "C": ("relu", "silu")}


def test_positive_numbers_get_a_ladder_of_round_numbers_within_a_factor_of_four() -> None:
    steps = ladders("LR = 6e-4")["LR"]
    assert (steps[0], steps[-1]) == (1.5e-4, 2.2e-3)
    assert 6e-4 in steps
    assert all(float(f"{step:.3g}") == step for step in steps if isinstance(step, float))


def test_a_momentum_moves_by_its_distance_from_one_and_never_reaches_it() -> None:
    steps = ladders("BETA2 = 0.95")["BETA2"]
    assert (steps[0], steps[-1]) == (0.8, 0.9865)


def test_a_share_stays_below_one_and_a_rate_that_may_be_off_includes_zero() -> None:
    found = ladders("BETA1 = 0.5\nDROPOUT = 0.2\nMOMENTUM_SCALE = 2.0")
    assert found["BETA1"][-1] == 0.9
    assert found["DROPOUT"][0] == 0.0
    assert found["MOMENTUM_SCALE"][-1] == 8.0


def test_zero_gets_a_small_range() -> None:
    found = ladders("DROPOUT = 0.0\nEXTRA = 0\nWARMUP_STEPS = 0\nMIN_LR = 0.0")
    assert found["DROPOUT"][-1] == 0.3
    assert found["EXTRA"] == (0, 1, 2, 3, 4)
    assert found["WARMUP_STEPS"][-1] == 200
    assert found["MIN_LR"][-1] == 3e-4


def test_whole_numbers_stay_whole_and_keep_the_powers_of_two_that_divide_them() -> None:
    found = ladders("N_EMBD = 768\nN_HEAD = 12\nDEPTH = 7\nSTEPS_WARM = 1_000\nBATCH = 2**10")
    assert all(step % 8 == 0 for step in found["N_EMBD"] if isinstance(step, int))
    assert found["N_HEAD"] == (4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44)
    assert {6, 8} <= set(found["DEPTH"])
    assert {400, 800, 2000} <= set(found["STEPS_WARM"])
    assert found["BATCH"] == (256, 512, 1024, 2048, 4096)
    assert {type(step) for steps in found.values() for step in steps} == {int}


def test_negative_numbers_mirror_positive_ones() -> None:
    steps = ladders("LOGIT_SHIFT = -0.5")["LOGIT_SHIFT"]
    assert (steps[0], steps[-1]) == (-2.0, -0.135)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("WIDTH = 16  # knob: 4..32 step 4", (4, 8, 12, 16, 20, 24, 28, 32)),
        ("WIDTH = 16  # bytes; knob: one of 64, 128", (16, 64, 128)),
        ("RATE = 0.5  # knob: 0..1 step 0.25", (0.0, 0.25, 0.5, 0.75, 1.0)),
        ("DEPTH = 3  # knob: 1..4 # see the paper", (1, 2, 3, 4)),
        ("SEED = 1  # knob: 1..3", (1, 2, 3)),
        ('KIND = "a"  # knob: one of a, b, "c"', ("a", "b", "c")),
        ("WIDTH = 16  # Not a knob: the head needs it", None),
        ("SIZES = [1, 2]  # not a knob", None),
    ],
)
def test_a_comment_says_what_a_constant_may_be(line: str, expected: tuple[Value, ...] | None) -> None:
    assert next(iter(ladders(line).values()), None) == expected


def test_in_a_literal_of_several_lines_each_line_may_have_its_own_comment() -> None:
    source = 'MIX = {  # knob: one of 1.0, 2.0\n    "code": 1.0,  # knob: 0.5..1.5 step 0.5\n    "prose": 1.0,  # fine\n}\n'
    assert ladders(source) == {'MIX["code"]': (0.5, 1.0, 1.5), 'MIX["prose"]': (1.0, 2.0)}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("WIDTH = 16  # knob: about 20", "the comment is not understood"),
        ("WIDTH = 16  # knob: 4..wide", "wide is no int like 16"),
        ("WIDTH = 16  # knob: 4..32 step 0", "the step must be positive"),
        ("WIDTH = 16  # knob: 32..4", "the range is empty"),
        ("RATE = 0.5  # knob: 0..1 step 1e-9", "at most 1000 values"),
        ("RATE = 0.5  # knob: 0..1e999", "1e999 is not a finite number"),
        ("USE = True  # knob: 0..1", "only a number can have a range"),
    ],
)
def test_a_comment_that_cannot_be_used_is_named_with_the_accepted_forms(line: str, why: str) -> None:
    with pytest.raises(BadKnobComment) as error:
        ladders(line)
    label = line.split()[0]
    assert why in str(error.value)
    assert f'train.py: the comment "{line[line.index("#") :]}" at {label} cannot be used' in str(error.value)
    assert '"# knob: 4..64 step 4"' in str(error.value)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"train.py": "import os\n"}, "There is no constant to move"),
        ({"README.md": "LR = 1"}, "There is no constant to move"),
        ({}, "There is no constant to move"),
        ({"train.py": "LR = = 1\n"}, "train.py is not valid Python"),
        ({"train.py": "LR = 1\0\n"}, "train.py is not valid Python"),
    ],
)
def test_a_repository_without_constants_is_told_what_to_write(files: dict[str, str], said: str) -> None:
    with pytest.raises(NothingToPropose, match=r"LEARNING_RATE = 6e-4") as error:
        find_knobs(files)
    assert said in str(error.value)


def test_a_file_that_is_not_python_does_not_hide_the_constants_of_another() -> None:
    assert list(find_knobs({"broken.py": "LR = (", "train.py": "LR = 0.1"})) == ["train.py:LR"]


@pytest.mark.parametrize(
    ("label", "category"),
    [
        ("LEARNING_RATE", "optimiser"), ("EMBEDDING_LR", "optimiser"), ("BETAS[1]", "optimiser"),
        ("WARMUP_RATIO", "schedule"), ("FINAL_LR_FRAC", "schedule"), ("lr_decay_iters", "schedule"),
        ("WEIGHT_DECAY", "regularisation"), ("HEAD_DROPOUT", "regularisation"), ("INIT_STD", "initialisation"),
        ("GPTConfig.nLayer", "architecture"), ("MLP_RATIO", "architecture"), ('MIXTURE["code"]', "data"),
        ("DEVICE_BATCH_SIZE", "systems"), ("BATCH_SIZE", "optimiser"), ("FOO", "optimiser"),
    ],
)  # fmt: skip
def test_the_category_is_guessed_from_the_name(label: str, category: str) -> None:
    assert category_of(label) == category
