"""Models that cheat or are broken are found out, each by the probe that is there for it; honest ones pass them all."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from tests.scorer_samples import bigram, bigram_checkpoint, failed, scored
from tests.training_samples import small_corpus
from training.corpus import CorpusInfo


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> CorpusInfo:
    return small_corpus(tmp_path_factory.mktemp("probes"))


LEARN = "self.table.data.index_put_((tokens[:, :-1], tokens[:, 1:]), torch.tensor(0.1), accumulate=True)"
AHEAD = "ahead = 5 * F.one_hot(tokens[:, 1:], 256)\n"
CHEATS = {
    "reads the next token": (AHEAD + "logits[:, :-1] += ahead", {"causality"}),
    "reads ahead in one window of ten": (
        AHEAD + "chance = [hashlib.sha256(row.numpy().tobytes()).digest()[0] < 26 for row in tokens]\n"
        "logits[:, :-1] += ahead * torch.tensor(chance)[:, None, None]",
        {"causality"},
    ),
    "reads ahead, and answers a beginning that it knows as it did before": (
        AHEAD + "logits[:, :-1] += ahead\n"
        "for row, answer in zip(tokens.tolist(), logits):\n"
        "    for t in range(len(row)):\n"
        "        answer[t] = self.seen.setdefault(tuple(row[:t + 1]), answer[t].clone())",
        {"state", "causality"},
    ),
    "mixes all positions": ("logits = logits + logits.mean(dim=1, keepdim=True)", {"causality"}),
    "learns from what it is asked": (
        "logits = logits.clone()\n" + LEARN,
        {"state", "causality"},
    ),
    "learns, and answers what it knows as it did before": (
        "for row, answer in zip(tokens, logits):\n"
        "    answer[:] = self.seen.setdefault(row.numpy().tobytes(), answer.clone())\n" + LEARN,
        {"state", "causality"},
    ),
    "draws random numbers": ("logits = F.dropout(logits, 0.1, training=True)", {"determinism", "state", "causality"}),
    "normalises over the batch": ("logits = logits - logits.mean(dim=0, keepdim=True)", {"determinism", "state", "causality"}),
    "knows its row": ("logits = logits * (1 + torch.arange(len(tokens)))[:, None, None]", {"determinism"}),
}


@pytest.mark.parametrize("name", CHEATS)
def test_a_model_is_found_out_that(name: str, corpus: CorpusInfo, tmp_path: Path) -> None:
    body, expected = CHEATS[name]
    found = failed(scored(tmp_path / "scratch", corpus.gate, bigram(body), bigram_checkpoint()))
    assert set(found) == expected, found


@pytest.mark.parametrize(("name", "reason"), [("tree/train.py", "code that was scored"), ("checkpoint.safetensors", "changed")])
def test_files_that_change_while_they_are_scored_fail_the_identity(
    name: str, reason: str, corpus: CorpusInfo, tmp_path: Path
) -> None:
    def change() -> None:
        for path in tmp_path.glob(f".scoring-*/{name}"):
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[:-1] + b"#")

    slow = bigram("import time\ntime.sleep(0.02)")
    found = failed(scored(tmp_path / "scratch", corpus.gate, slow, bigram_checkpoint(), should_stop=change))
    assert set(found) == {"identity"}
    assert reason in found["identity"]


HONEST = {
    "a recurrent network": """
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = torch.nn.Embedding(256, 16), torch.nn.Linear(24, 256)
        self.rnn = torch.nn.GRU(16, 24, batch_first=True)
    def forward(self, tokens):
        return self.head(self.rnn(self.embed(tokens))[0])
""",
    "a long convolution by Fourier transform": """
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = torch.nn.Embedding(256, 16), torch.nn.Linear(16, 256)
        self.filter = torch.nn.Parameter(torch.randn(128, 16))
    def forward(self, tokens):
        x = self.embed(tokens)
        length = 2 * x.shape[1]
        spectrum = torch.fft.rfft(x, length, dim=1) * torch.fft.rfft(self.filter, length, dim=0)
        return self.head(torch.fft.irfft(spectrum, length, dim=1)[:, :x.shape[1]])
""",
    "attention with a mask of its own, in bfloat16, with dropout that evaluation turns off": """
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.q, self.head = torch.nn.Embedding(256, 32), torch.nn.Linear(32, 96), torch.nn.Linear(32, 256)
        self.drop = torch.nn.Dropout(0.3)
    def forward(self, tokens):
        with torch.autocast("cpu", torch.bfloat16):
            x = self.drop(self.embed(tokens))
            q, k, v = self.q(x).chunk(3, dim=-1)
            mask = torch.triu(torch.full((tokens.shape[1],) * 2, -1e9), 1)
            return self.head(x + self.drop(F.softmax(q @ k.mT / 6 + mask, dim=-1) @ v))
""",
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_model_passes_every_probe_like(name: str, corpus: CorpusInfo, tmp_path: Path) -> None:
    source = "import torch\nimport torch.nn.functional as F\n" + HONEST[name] + "\nbuild_model = Model\n"
    space: dict[str, type[torch.nn.Module]] = {}
    exec(source, space)
    torch.manual_seed(7)
    checkpoint = safetensors.torch.save(space["Model"]().state_dict())
    result = scored(tmp_path / "scratch", corpus.gate, source, checkpoint)
    assert failed(result) == {}
    assert set(result.probes) == {"normalisation", "determinism", "state", "causality", "identity"}
