"""Sources with constants, and what the tests of the knobs proposer do with them."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agent.constants import Value, find_constants
from agent.proposal import Context, Proposal, Tried

GPT2 = '''"""Train a GPT."""
import math

LEARNING_RATE = 6e-4
MIN_LR_FRACTION = 0.1
WEIGHT_DECAY = 0.1
BETAS = (0.9, 0.95)
WARMUP_STEPS = 100
BATCH_SIZE = 2**6
N_LAYER, N_HEAD = 6, 6
N_EMBD = 384
DROPOUT = 0.0
BIAS = True
ACTIVATION = "gelu"
MIXTURE = {"code": 0.5, "prose": 0.3, "validation": 0.2}
SEED = 1337
EVAL_INTERVAL = 250


def act(x):
    if ACTIVATION == "gelu":
        return x * 0.5
    return max(x, 0.0) if ACTIVATION in ("relu", "relu2") else x


def lr_at(step):
    print(f"learning rate {LEARNING_RATE:.2e} at {step} of {WARMUP_STEPS}")
    return LEARNING_RATE * 0.5 * (1 + math.cos(step))
'''


def context(files: Mapping[str, str], history: Sequence[Tried] = (), attempt: int = 0) -> Context:
    return Context(files=files, program="", history=tuple(history), sigma=0.001, attempt=attempt)


def tried(
    candidate: int, proposal: Proposal, effect: float | None, outcome: str = "evaluated", stage: str = "dropped"
) -> Tried:
    return Tried(candidate, "knobs", stage, outcome, proposal.hypothesis, effect, proposal.details)


def pending(earlier: Tried) -> Tried:
    return replace(earlier, outcome="pending", stage="screening", effect=None)


def applied(files: Mapping[str, str], proposal: Proposal) -> dict[str, str]:
    """The files after the edits; every `old` must be in its file once, before the first edit and at its turn."""
    after = dict(files)
    for edit in proposal.edits:
        for text in (files[edit.path], after[edit.path]):
            first = text.find(edit.old)
            assert first >= 0, f"{edit.old!r} is not in {edit.path}"
            assert text.find(edit.old, first + 1) < 0, f"{edit.old!r} is in {edit.path} more than once"
        after[edit.path] = after[edit.path].replace(edit.old, edit.new)
        if edit.path.endswith(".py"):
            ast.parse(after[edit.path].removeprefix("\ufeff"))
    return after


def values(files: Mapping[str, str]) -> dict[str, Value]:
    """Name to value of every constant in the files."""
    return {
        constant.name: constant.value
        for path in files
        if path.endswith(".py")
        for constant in find_constants(path, files[path])
    }


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, Value]:
    """Name to new value of the constants that differ; the names must be the same in both."""
    old, new = values(before), values(after)
    assert old.keys() == new.keys()
    return {name: new[name] for name in new if (type(new[name]), new[name]) != (type(old[name]), old[name])}
