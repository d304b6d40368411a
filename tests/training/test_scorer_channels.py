"""Nothing that the first process of a scoring saw comes through to the second, on any of two dozen channels between them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.scorer_channels import MODEL, names, word_of
from tests.scorer_channels import scoring as overheard
from tests.training_samples import small_corpus
from training.sandbox import Level, best_level

pytestmark = pytest.mark.one_in(2)  # each is long

SCORINGS = 3  # `python -m tests.scorer_channels` measures bits per scoring over many, as root and as an ordinary user
LEVELS = (Level.strong, Level.basic, Level.none)


@pytest.mark.parametrize("level", LEVELS)
def test_no_word_comes_through_on_any_channel(level: Level, tmp_path: Path) -> None:
    if not best_level(Level.none).at_least(level):
        pytest.skip("this machine has no such level")
    gate = small_corpus(tmp_path / "data").gate
    found = [overheard(tmp_path / "scratch", gate, level) for _ in range(SCORINGS)]
    assert len(names()) >= 20
    for number, name in enumerate(names()):
        words = [(said[number], heard[number]) for said, heard in found]
        assert any(said != heard for said, heard in words), f"{name}: {words}"


def test_the_model_says_what_the_test_expects_it_to_say() -> None:
    """The word is worked out twice, by the model and by the test; they must be the same arithmetic."""
    line = re.search(r"word = (int\(row.*)$", MODEL, re.MULTILINE)
    assert line is not None
    tokens = np.random.default_rng(1).integers(0, 256, (32, 128))
    for number in range(len(names())):
        assert eval(line[1], {"row": tokens[number], "number": number, "int": int}) == word_of(tokens, number)
