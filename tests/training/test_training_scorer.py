"""The trusted scorer: the arithmetic is right, and every broken checkpoint or model ends as a named outcome."""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.training_samples import Rig, small_corpus
from training.runner import read_source
from training.sandbox import Level
from training.scorer import NoScore, Score, Scorer, bits_of, read_shard
from training.series import CHECKPOINT, Outputs
from training.spec import Outcome

TABLE = """
import torch

class Bigram(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Parameter(torch.zeros(256, 256))

    def forward(self, tokens):
        return self.table[tokens]

build_model = Bigram
"""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    folder = tmp_path_factory.mktemp("scorer")
    return Rig(folder, small_corpus(folder / "data"))


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def table_checkpoint(table: np.ndarray, name: str = "table") -> bytes:
    """A safetensors file with one float32 tensor."""
    raw = table.astype("<f4").tobytes()
    entry = {"dtype": "F32", "shape": list(table.shape), "data_offsets": [0, len(raw)]}
    header = json.dumps({name: entry}).encode()
    return struct.pack("<Q", len(header)) + header + raw


def bigram_table(text: np.ndarray) -> np.ndarray:
    counts = np.full((256, 256), 0.1)
    np.add.at(counts, (text[:, :-1].ravel(), text[:, 1:].ravel()), 1)
    return np.log(counts / counts.sum(axis=1, keepdims=True))


def score(
    rig: Rig, scratch: Path, source: str, checkpoint: bytes | None = None, *, seconds: float = 120, memory: int = 4 << 30,
    should_stop: Callable[[], str | None] = lambda: None,
) -> Score:  # fmt: skip
    if checkpoint is not None:
        (scratch / CHECKPOINT).write_bytes(checkpoint)
    files = {"train.py": source.encode()}
    with Outputs(scratch) as outputs, Scorer(files, scratch.parent, device="cpu", memory_limit=memory) as scorer:
        return scorer.score(outputs, rig.corpus.gate, should_stop, seconds)


def refusal(rig: Rig, scratch: Path, source: str = TABLE, checkpoint: bytes | None = None, **limits: float) -> NoScore:
    with pytest.raises(NoScore) as caught:
        score(rig, scratch, source, checkpoint, **limits)  # type: ignore[arg-type]
    return caught.value


def test_bits_are_minus_log2_of_the_softmax() -> None:
    logits = np.random.default_rng(0).normal(size=(2, 3, 256)).astype(np.float32) * 30
    targets = np.array([[0, 1, 255], [7, 7, 7]], dtype=np.uint8)
    exact = np.exp(logits.astype(np.float64)) / np.exp(logits.astype(np.float64)).sum(axis=-1, keepdims=True)
    expected = -np.log2(np.take_along_axis(exact, targets[..., None].astype(int), axis=-1)[..., 0])
    np.testing.assert_allclose(bits_of(logits, targets), expected, rtol=1e-5, atol=1e-5)
    assert bits_of(np.zeros((1, 1, 256), np.float32), np.zeros((1, 1), np.uint8))[0, 0] == pytest.approx(8)


def test_a_known_model_gets_the_score_computed_by_hand(rig: Rig, scratch: Path) -> None:
    gate = read_shard(rig.corpus.gate)
    table = bigram_table(read_shard(rig.corpus.hidden).text)
    by_hand = -table[gate.text[:, :-1], gate.text[:, 1:]] / math.log(2)
    result = score(rig, scratch, TABLE, table_checkpoint(table))
    assert result.bits_per_byte == pytest.approx(by_hand.mean(), rel=1e-5)
    assert result.by_source == pytest.approx({name: by_hand[rows].mean() for name, rows in gate.sources.items()}, rel=1e-5)
    assert result.scored_bytes == gate.text[:, 1:].size
    assert list(scratch.parent.glob(".scoring-*")) == []


def test_a_missing_checkpoint_has_no_score(rig: Rig, scratch: Path) -> None:
    error = refusal(rig, scratch)
    assert error.outcome is Outcome.no_score
    assert "without writing checkpoint.safetensors; call run.finish(model)" in str(error)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: b"", "its header is longer than the file"),
        (lambda whole: whole[:-4], "has 262225 bytes and should have 262229"),
        (lambda whole: whole + b"more", "has 262233 bytes and should have 262229"),
        (lambda whole: struct.pack("<Q", 1 << 62) + whole[8:], "its header is longer than the file"),
        (lambda whole: b"\x80\x04\x95pickle" + bytes(100), "no complete safetensors file"),
        (lambda whole: struct.pack("<Q", 4) + b"[[]]" + whole, "no complete safetensors file"),
        (lambda whole: struct.pack("<Q", 40_000) + b"[" * 40_000, "no complete safetensors file"),
    ],
    ids=["empty", "truncated", "too long", "huge header", "pickle", "other JSON", "deep JSON"],
)
def test_a_damaged_checkpoint_has_no_score(rig: Rig, scratch: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    error = refusal(rig, scratch, checkpoint=damage(table_checkpoint(np.zeros((256, 256)))))
    assert error.outcome is Outcome.no_score
    assert message in str(error)


def test_a_huge_checkpoint_is_refused_without_being_read(rig: Rig, scratch: Path) -> None:
    with (scratch / CHECKPOINT).open("wb") as file:
        file.truncate(1 << 40)  # a terabyte of nothing
    assert "bytes, more than the" in str(refusal(rig, scratch))


def as_link(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere)


def as_second_name(path: Path, elsewhere: Path) -> None:
    os.link(elsewhere, path)


def as_fifo(path: Path, elsewhere: Path) -> None:
    os.mkfifo(path)


def as_folder(path: Path, elsewhere: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [as_link, as_second_name, as_fifo, as_folder])
def test_a_checkpoint_that_is_no_plain_file_is_refused(rig: Rig, scratch: Path, make: Callable[[Path, Path], None]) -> None:
    elsewhere = scratch.parent / "elsewhere"
    elsewhere.write_bytes(table_checkpoint(np.zeros((256, 256))))
    make(scratch / CHECKPOINT, elsewhere)
    error = refusal(rig, scratch)
    assert error.outcome is Outcome.no_score
    assert str(error).startswith("the checkpoint was refused: checkpoint.safetensors")


GOOD = table_checkpoint(np.zeros((256, 256)))


@pytest.mark.parametrize(
    ("source", "checkpoint", "outcome", "message"),
    [
        ("", GOOD, Outcome.no_score, "build_model() failed: AttributeError"),
        (TABLE, table_checkpoint(np.zeros((256, 128))), Outcome.no_score, "does not fit the model: RuntimeError"),
        (TABLE, table_checkpoint(np.full((256, 256), np.nan)), Outcome.not_finite, "logits that are not finite"),
        (TABLE.replace("[tokens]", "[tokens][:, 1:]"), GOOD, Outcome.no_score, "logits of shape (32, 127, 256)"),
        (TABLE.replace("return", "raise OSError('no'); return"), GOOD, Outcome.no_score, "exit code 1): OSError: no"),
        (TABLE.replace("return", "import os; os._exit(0); return"), GOOD, Outcome.no_score, "stopped while it was scored"),
        (TABLE.replace("return", "bytearray(9 << 30); return"), GOOD, Outcome.out_of_memory, "ran out of memory"),
    ],
    ids=["no build_model", "other shape", "nan", "short answer", "raises", "exits", "memory"],
)
def test_a_model_that_cannot_be_scored_says_why(
    rig: Rig, scratch: Path, source: str, checkpoint: bytes, outcome: Outcome, message: str
) -> None:
    error = refusal(rig, scratch, source, checkpoint)
    assert (error.outcome, message in str(error)) == (outcome, True), str(error)


@pytest.mark.one_in(2)
def test_a_model_that_hangs_ends_scoring_in_bounded_time(rig: Rig, scratch: Path) -> None:
    source = TABLE.replace("return", "import time; time.sleep(600); return")
    started = time.monotonic()
    error = refusal(rig, scratch, source, GOOD, seconds=1.0)
    assert error.outcome is Outcome.no_score
    assert "scoring took longer than 1 s" in str(error)
    assert time.monotonic() - started < 60


def test_scoring_stops_when_asked_to(rig: Rig, scratch: Path) -> None:
    with pytest.raises(NoScore) as caught:
        score(rig, scratch, TABLE, GOOD, should_stop=lambda: "The candidate was withdrawn.")
    assert (caught.value.outcome, str(caught.value)) == (Outcome.cancelled, "The candidate was withdrawn.")


def test_the_code_that_was_judged_is_scored_not_what_the_run_made_of_it(rig: Rig) -> None:
    script = f"""{TABLE}
if __name__ == "__main__":
    import os
    from safetensors.torch import save_file
    save_file({{"table": torch.zeros(256, 256)}}, os.environ["SIGNOFF_OUT"] + "/{CHECKPOINT}")
    open("train.py", "w").write("raise SystemExit('the run changed this file')")
"""
    tree = rig.script(script, "rewrites-itself")
    result = rig.run(tree, level=Level.none)  # in a sandbox it could not even write there
    assert result.outcome is Outcome.completed, result.reason
    assert result.score == pytest.approx(8.0)


def test_only_python_files_of_the_tree_go_to_the_scorer(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "model.py").write_text("x = 1")
    (tmp_path / "notes.md").write_text("notes")
    (tmp_path / "outside.py").symlink_to("/etc/hostname")
    assert read_source(tmp_path) == {"package/model.py": b"x = 1"}


def test_a_scorer_that_is_never_asked_leaves_nothing_behind(scratch: Path) -> None:
    with Scorer({"train.py": b""}, scratch.parent, device="cpu", memory_limit=1 << 30) as scorer:
        home = scorer.home
        assert (home / "tree" / "train.py").exists()
    assert not home.exists()
    assert scorer.model.process.popen.poll() is not None
    shutil.rmtree(scratch)
