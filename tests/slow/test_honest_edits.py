"""An honest candidate is never marked invalid: harmless edits of the default target are trained, scored and examined.

A few in every test run; `HONEST_EDITS=100 pytest tests/slow/test_honest_edits.py` for as many as one likes.
"""

from __future__ import annotations

import ast
import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.knobs import KnobsProposer
from agent.proposal import Context
from research_app.loop.train.points import columns
from tests.training_samples import Rig, small_corpus, small_target
from training.detectors import FileEdit, RunRecord, examine, examine_changes
from training.spec import Budget, Outcome

EDITS = int(os.environ.get("HONEST_EDITS", "3"))
BUDGET = Budget("train_flops", 3e8)

# What a colleague might do to train.py, each as replacements of text that stands there once.
REFACTORINGS: dict[str, Sequence[tuple[str, str]]] = {
    "attention by hand": [
        (
            "mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)",
            "future = torch.ones(t, t, dtype=torch.bool, device=x.device).triu(1)\n"
            "        weights = (q @ k.mT / math.sqrt(WIDTH // HEADS)).masked_fill(future, -torch.inf).softmax(dim=-1)\n"
            "        mixed = weights @ v",
        )
    ],
    "attention with a finite mask": [
        (
            "mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)",
            "mask = torch.full((t, t), -1e9, device=x.device).triu(1)\n"
            "        weights = (torch.einsum('bhsd,bhtd->bhst', q, k) / 4 + mask).softmax(dim=-1)\n"
            "        mixed = torch.einsum('bhst,bhtd->bhsd', weights, v)",
        )
    ],
    "the previous byte's embedding": [
        (
            "        for block in self.blocks:\n            x = block(x)",
            "        x = x + F.pad(self.token(tokens[:, :-1]), (0, 0, 1, 0))\n"
            "        for block in self.blocks:\n            x = block(x)",
        )
    ],
    "a running mean of the stream": [
        (
            "        return self.head(self.norm(x))",
            "        x = x + x.cumsum(dim=1) / (positions + 1)[:, None]\n        return self.head(self.norm(x))",
        )
    ],
    "a convolution over four bytes": [
        (
            "        self.norm = nn.LayerNorm(WIDTH)\n",
            "        self.norm = nn.LayerNorm(WIDTH)\n        self.near = nn.Conv1d(WIDTH, WIDTH, 4, groups=WIDTH)\n",
        ),
        (
            "        for block in self.blocks:\n            x = block(x)",
            "        x = x + self.near(F.pad(x.mT, (3, 0))).mT\n        for block in self.blocks:\n            x = block(x)",
        ),
    ],
    "root-mean-square norms": [
        ("self.norm1 = nn.LayerNorm(WIDTH)", "self.norm1 = nn.RMSNorm(WIDTH)"),
        ("self.norm2 = nn.LayerNorm(WIDTH)", "self.norm2 = nn.RMSNorm(WIDTH)"),
    ],
    "square of ReLU": [("F.gelu(self.mlp_in(self.norm2(x)))", "F.relu(self.mlp_in(self.norm2(x))).square()")],
    "an untied head": [("        self.head.weight = self.token.weight\n", "")],
    "capped logits": [("return self.head(self.norm(x))", "return 15 * torch.tanh(self.head(self.norm(x)) / 15)")],
    "a head in bfloat16": [
        (
            "return self.head(self.norm(x))",
            "with torch.autocast(tokens.device.type, torch.bfloat16):\n            return self.head(self.norm(x))",
        )
    ],
    "fixed positions": [
        (
            "        self.position = nn.Embedding(prepare.CONTEXT, WIDTH)\n",
            "        angles = torch.arange(prepare.CONTEXT)[:, None] / 100 ** (torch.arange(WIDTH) / WIDTH)\n"
            "        self.register_buffer('waves', angles.sin(), persistent=False)\n",
        ),
        ("self.position(positions)", "self.waves[positions]"),
    ],
    "dropout of the embedding": [
        (
            "        for block in self.blocks:\n            x = block(x)",
            "        x = F.dropout(x, 0.1, self.training)\n        for block in self.blocks:\n            x = block(x)",
        )
    ],
    "other names": [("class GPT(nn.Module)", "class ByteModel(nn.Module)"), ("return GPT()", "return ByteModel()")],
    "the schedule as a table": [
        ("    if progress < WARMUP:\n", "    warming_up = progress < WARMUP\n    if warming_up:\n"),
    ],
}


def refactored(text: str, chance: random.Random) -> tuple[str, str]:
    """The text after one to three refactorings that go together, sometimes without comments and formatting; and their names."""
    made = []
    for name in chance.sample(list(REFACTORINGS), chance.randint(1, 3)):
        if all(text.count(old) == 1 for old, _ in REFACTORINGS[name]):
            made.append(name)
            for old, new in REFACTORINGS[name]:
                text = text.replace(old, new)
    if chance.random() < 0.3:
        made.append("written anew")
        text = ast.unparse(ast.parse(text)) + "\n"
    return text, ", ".join(made)


def turned(text: str, attempt: int) -> tuple[str, str]:
    """The text after a move of the search over knobs, and its hypothesis."""
    proposal = KnobsProposer().propose(Context({"train.py": text}, "", (), None, attempt))
    for edit in proposal.edits:
        assert text.count(edit.old) == 1
        text = text.replace(edit.old, edit.new)
    return text, proposal.hypothesis


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    folder = tmp_path_factory.mktemp("honest")
    return Rig(folder, small_corpus(folder / "data"))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(EDITS))
def test_a_harmless_edit_passes_every_probe_and_no_detector_calls_it_invalid(number: int, rig: Rig) -> None:
    tree = small_target(rig.folder / f"tree-{number}")
    before = (tree / "train.py").read_text()
    after, what = turned(before, number) if number % 2 else refactored(before, random.Random(f"edit {number}"))
    assert after != before
    (tree / "train.py").write_text(after)

    result = rig.run(tree, seed=number + 1, budget=BUDGET)

    assert result.outcome is Outcome.completed, f"{what}: {result.reason}"
    assert {name: probe for name, probe in result.facts["probes"].items() if not probe["ok"]} == {}, what
    record = RunRecord(columns(rig.points), result.facts, result.score, result.train_seconds)
    findings = [*examine_changes([FileEdit("train.py", before, after)], ("prepare.py",)), *examine(record)]
    assert [finding.sentence for finding in findings if finding.level == "invalid"] == [], what


def test_every_refactoring_still_fits_the_default_target(tmp_path: Path) -> None:
    text = (small_target(tmp_path / "tree") / "train.py").read_text()
    for name, replacements in REFACTORINGS.items():
        assert all(text.count(old) == 1 for old, _ in replacements), name
