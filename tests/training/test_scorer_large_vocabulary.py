"""A vocabulary whose logits are too large to send: the score is the same, and so are the probes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from tests.scorer_samples import failed, scored, write_shard
from training.scorer import Score

VOCABULARY = 50_000
WINDOWS, LENGTH = 24, 16
LOOKUP = """
import sys, torch
import torch.nn.functional as F

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Parameter(torch.zeros(50_000, 4))
        self.head = torch.nn.Parameter(torch.zeros(4, 50_000))

    def forward(self, tokens):
        logits = self.embed[tokens] @ self.head
        BODY
        return logits

build_model = Model
SETUP
"""


def model(body: str = "pass", setup: str = "") -> str:
    return LOOKUP.replace("BODY", body.replace("\n", "\n        ")).replace("SETUP", setup)


RANDOM = np.random.default_rng(0)
EMBED = RANDOM.normal(size=(VOCABULARY, 4)).astype(np.float32)
HEAD = RANDOM.normal(size=(4, VOCABULARY)).astype(np.float32)
TEXT = RANDOM.integers(0, VOCABULARY, (WINDOWS, LENGTH + 1))


def score(tmp_path: Path, source: str) -> Score:
    shard = write_shard(tmp_path / "gate.bin", TEXT, VOCABULARY, text_bytes=5 * WINDOWS * LENGTH)
    return scored(tmp_path / "scratch", shard, source, safetensors.numpy.save({"embed": EMBED, "head": HEAD}))


def test_an_honest_model_gets_the_score_computed_by_hand_per_byte_of_its_text(tmp_path: Path) -> None:
    logits = (EMBED[TEXT[:, :-1]] @ HEAD).astype(np.float64)
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    nats = -np.take_along_axis(logits, TEXT[:, 1:, None], axis=-1)
    result = score(tmp_path, model())
    assert result.bits_per_byte == pytest.approx(nats.mean() / math.log(2) / 5, rel=1e-5)
    assert result.scored_bytes == 5 * WINDOWS * LENGTH
    assert failed(result) == {}


CHEATS = {
    "reads the next token": (
        "logits[:, :-1].scatter_add_(2, tokens[:, 1:, None], torch.full((*tokens[:, 1:].shape, 1), 9.0))",
        "",
        {"causality"},
    ),
    "favours the tokens that it is asked about": (
        "asked = sys._getframe(3).f_locals.get('tokens_chosen')\n"
        "if asked is not None and asked.shape[-1]:\n"
        "    logits.scatter_(2, asked, 30.0)",
        "",
        {"determinism", "state", "causality"},
    ),
    "states more probability than there is": (
        "pass",
        "honest = torch.Tensor.logsumexp\ntorch.Tensor.logsumexp = lambda *a, **k: honest(*a, **k) - 1",
        {"normalisation", "determinism", "state", "causality"},
    ),
}


@pytest.mark.parametrize("name", CHEATS)
def test_a_model_is_found_out_that(name: str, tmp_path: Path) -> None:
    body, setup, expected = CHEATS[name]
    result = score(tmp_path, model(body, setup))
    assert set(failed(result)) == expected, failed(result)
    assert result.bits_per_byte < 3.5  # and would have gained by it: an honest one has 3.6
