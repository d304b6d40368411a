"""What a run's result says of its scoring: verdicts, hashes, and the hidden score in its own place only."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.training_samples import Rig, small_corpus
from training.series import CHECKPOINT
from training.spec import Outcome, Scored

SCRIPT = f"""
import torch

class Bigram(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Parameter(2 * torch.linspace(-9e3, 9e3, 65536).reshape(256, 256).sin())

    def forward(self, tokens):
        return self.table[tokens]

build_model = Bigram
if __name__ == "__main__":
    import json, os
    from safetensors.torch import save_file
    save_file({{"table": Bigram().table.data}}, os.environ["SIGNOFF_OUT"] + "/{CHECKPOINT}")
    facts = {{"probes": "all fine", "code_hash": "mine", "scored_bytes": 7, "steps": 3}}
    with open(os.environ["SIGNOFF_OUT"] + "/series.jsonl", "w") as series:
        series.write(json.dumps({{"step": 2, "train_loss": 1.5}}) + "\\n" + json.dumps({{"facts": facts}}) + "\\n")
"""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    folder = tmp_path_factory.mktemp("results")
    return Rig(folder, small_corpus(folder / "data"))


def test_a_result_holds_the_verdicts_the_hashes_and_the_hidden_score_apart(rig: Rig) -> None:
    tree = rig.script(SCRIPT, "both-shards")
    spec = rig.spec(tree, scoring=Scored(rig.corpus.gate, hidden=rig.corpus.hidden))
    result = rig.run(tree, scoring=spec.scoring)
    assert result.outcome is Outcome.completed, result.reason
    probes = json.loads(json.dumps(result.facts))["probes"]
    assert set(probes) == {"normalisation", "determinism", "state", "causality", "identity"}
    assert all(probe["ok"] and probe["reason"] and probe["tolerance"] >= 0 for probe in probes.values())
    code = hashlib.sha256(f"train.py\0{hashlib.sha256(SCRIPT.encode()).hexdigest()}\n".encode()).hexdigest()
    assert (result.facts["code_hash"], result.facts["steps"]) == (code, 3)
    assert result.hidden_score is not None
    assert set(result.hidden_score_by_source) == set(result.score_by_source)
    assert result.hidden_score != result.score
    shown = f"{result!r} {result.reason} {result.log} {result.facts}"
    assert f"{result.hidden_score:.6f}"[:-1] not in shown


def test_a_run_that_could_not_be_scored_has_no_verdicts_of_its_own_making(rig: Rig) -> None:
    result = rig.run(rig.script(SCRIPT.replace("save_file({", "print({"), "no-checkpoint"))
    assert result.outcome is Outcome.no_score
    assert not {"probes", "code_hash", "scored_bytes"} & set(result.facts)
    assert (result.hidden_score, result.facts["steps"]) == (None, 3)


def test_the_checkpoint_hash_is_that_of_the_file_the_run_wrote(rig: Rig) -> None:
    spec = rig.spec(rig.script(SCRIPT, "hash"))
    result = rig.run(spec.tree, scratch=spec.scratch)
    assert result.facts["checkpoint_hash"] == hashlib.sha256(Path(spec.scratch, CHECKPOINT).read_bytes()).hexdigest()
    assert result.hidden_score is None
