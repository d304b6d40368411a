"""What the default target counts as work beside PyTorch's own counter."""

import importlib
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.training_samples import TARGET

ROWS, LENGTH, WIDTH = 4, 256, 32
NUMBERS = ROWS * LENGTH * WIDTH


@pytest.fixture(scope="module")
def prepare() -> Iterator[Any]:
    sys.path.insert(0, str(TARGET))
    yield importlib.import_module("prepare")
    sys.path.remove(str(TARGET))
    sys.modules.pop("prepare", None)


def counted(prepare: Any, work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False, custom_mapping=prepare.ALSO_COUNTED) as counter:
        work()
    return int(counter.get_total_flops())


def test_a_fourier_transform_counts_by_its_own_length_and_not_by_the_last_axis(prepare: Any) -> None:
    x = torch.randn(ROWS, LENGTH, WIDTH)
    along = int(5 * NUMBERS * math.log2(LENGTH))
    assert counted(prepare, lambda: torch.fft.rfft(x, dim=1)) == along
    assert counted(prepare, lambda: torch.fft.fft(x, dim=1)) == along
    assert counted(prepare, lambda: torch.fft.rfft(x)) == int(5 * NUMBERS * math.log2(WIDTH))
    assert counted(prepare, lambda: torch.fft.rfft2(x)) == int(5 * NUMBERS * math.log2(LENGTH * WIDTH))


def test_the_way_back_from_half_a_spectrum_counts_like_the_way_there(prepare: Any) -> None:
    spectrum = torch.fft.rfft(torch.randn(ROWS, LENGTH, WIDTH), dim=1)
    assert counted(prepare, lambda: torch.fft.irfft(spectrum, LENGTH, dim=1)) == int(5 * NUMBERS * math.log2(LENGTH))


def test_the_gradient_of_a_transform_counts_too(prepare: Any) -> None:
    x = torch.randn(ROWS, LENGTH, WIDTH, requires_grad=True)
    there = counted(prepare, lambda: torch.fft.rfft(x, dim=1))
    assert counted(prepare, lambda: torch.fft.rfft(x, dim=1).abs().sum().backward()) >= 2 * there


def test_a_product_with_a_vector_counts(prepare: Any) -> None:
    matrix, vector = torch.randn(8, 16), torch.randn(16)
    assert counted(prepare, lambda: matrix @ vector) == 2 * 8 * 16
