"""Layers, width and heads are read off a training script, through its constants and the arithmetic of its functions."""

import pytest

from agent.shape import shape_of
from tests.factories import TRAIN_PY

ROUNDED_UP = """
from dataclasses import dataclass

@dataclass
class GPTConfig:
    n_layer: int = 12
    n_head: int = 6
    n_embd: int = 768

ASPECT_RATIO = 64  # model_dim = depth * ASPECT_RATIO
HEAD_DIM = 128
DEPTH = 8

def build_model_config(depth):
    base_dim = depth * ASPECT_RATIO
    model_dim = ((base_dim + HEAD_DIM - 1) // HEAD_DIM) * HEAD_DIM
    num_heads = model_dim // HEAD_DIM
    return GPTConfig(n_layer=depth, n_head=num_heads, n_embd=model_dim)

config = build_model_config(DEPTH)
"""


def test_a_width_that_a_function_rounds_up_is_what_is_built() -> None:
    assert shape_of(ROUNDED_UP) == {"layers": 8, "width": 512, "heads": 4}
    changed = ROUNDED_UP.replace("DEPTH = 8", "DEPTH = 9").replace("ASPECT_RATIO = 64 ", "ASPECT_RATIO = 57 ")
    assert shape_of(changed) == {"layers": 9, "width": 640, "heads": 5}


def test_plain_constants_are_read() -> None:
    assert shape_of(TRAIN_PY) == {"layers": 3, "width": 96}


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("n_layer = 6\nn_head = 6\nn_embd = 384\n", {"layers": 6, "width": 384, "heads": 6}),
        ("DEPTH: int = 2 * 3\nmodel(d_model=max(64, 2**7))\n", {"layers": 6, "width": 128}),
        ("WIDTH = 96\nif big:\n    WIDTH = 128\n    model(width=WIDTH)\n", {"width": 96}),  # its condition is not known
        ("n_embd = 96\nn_embd = 128\n", {}),  # two values
        ("model(n_embd=64)\nmodel(n_embd=128)\n", {}),
        ("n_embd = 9.5\n", {}),
        ("n_embd = unknown * 3\n", {}),
        ("n_embd = 10**40 * 10**40\nn_layer = 1 // 0\n", {}),
        ("def f(depth):\n    n_layer = depth\nf(unknown)\nf()\n", {}),
        ("def f(n):\n    f(n)\nf(1)\n", {}),
        ("not python at all (", {}),
        ("(" * 5000, {}),
        ("", {}),
    ],
)
def test_what_is_not_sure_is_not_said(text: str, shape: dict[str, int]) -> None:
    assert shape_of(text) == shape
