"""Tiny models for the scorer, honest and not, and a way to have one scored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.numpy

from training.sandbox import Level
from training.scorer import Score, Scorer
from training.series import CHECKPOINT, Outputs

BIGRAM = """
import hashlib, os, sys, torch
import torch.nn.functional as F

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Parameter(torch.zeros(VOCABULARY, VOCABULARY))
        self.seen = {}

    def forward(self, tokens):
        logits = self.table[tokens]
        BODY
        return logits

def build_model():
    return Model()
"""


def bigram(body: str = "pass", vocabulary: int = 256) -> str:
    """A model that looks up the logits after the last token, and then runs `body` on `tokens` and `logits`."""
    indented = body.strip().replace("\n", "\n        ")
    return BIGRAM.replace("BODY", indented).replace("VOCABULARY", str(vocabulary))


def bigram_checkpoint(seed: int = 0) -> bytes:
    table = np.random.default_rng(seed).normal(size=(256, 256)).astype(np.float32)
    return safetensors.numpy.save({"table": table})


def write_shard(path: Path, tokens: np.ndarray, vocabulary: int, text_bytes: int | None = None) -> Path:
    """A shard of uint32 tokens (N, window + 1) with one source."""
    tokens.astype("<u4").tofile(path)
    source = {"name": "text", "start": 0, "bytes": 4 * tokens.size}
    if text_bytes is not None:
        source["text_bytes"] = text_bytes
    index = {"window": tokens.shape[1] - 1, "vocabulary": vocabulary, "token_bytes": 4, "sources": [source]}
    path.with_suffix(".json").write_text(json.dumps(index))
    return path


def scored(
    scratch: Path,
    shard: Path,
    source: str,
    checkpoint: bytes,
    *,
    hidden: Path | None = None,
    seconds: float = 100,
    memory: int = 4 << 30,
    should_stop: Callable[[], str | None] = lambda: None,
    level: Level = Level.none,
) -> Score:
    """Have one model scored in a scratch folder of its own. Raises NoScore."""
    scratch.mkdir(exist_ok=True)
    (scratch / CHECKPOINT).unlink(missing_ok=True)
    (scratch / CHECKPOINT).write_bytes(checkpoint)
    files = {"train.py": source.encode()}
    with Outputs(scratch) as outputs, Scorer(files, scratch.parent, device="cpu", memory_limit=memory, level=level) as scorer:
        return scorer.score(outputs, shard, should_stop, seconds, hidden=hidden)


def failed(score: Score) -> dict[str, str]:
    """The probes that did not pass, with their reasons."""
    return {name: probe.reason for name, probe in score.probes.items() if not probe.ok}
