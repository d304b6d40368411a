"""The corpus: real text, no copies, whole files per shard, one hash, the same each time."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.training_samples import SOURCES, TARGET, small_corpus
from training import corpus as corpus_module
from training.corpus import DEFAULT_SOURCES, EVAL_SHARDS, WINDOW, CorpusError, build_corpus, open_corpus
from training.scorer import read_shard

REQUIREMENTS = Path(__file__).parents[2] / "requirements.txt"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus of installed packages, as a new project gets it."""
    return build_corpus(tmp_path_factory.mktemp("corpus") / "default").folder


def text_of(seed: int, lines: int = 60) -> str:
    letters = random.Random(seed)
    return "".join("".join(letters.choices("abcdefghij klmnop", k=50)) + "\n" for _ in range(lines))


def make_source(folder: Path, first: int = 0, files: int = 200) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        (folder / f"{number:03}.txt").write_text(text_of(first + number))
    return folder


def test_the_default_corpus_has_enough_text_from_enough_sources(installed: Path) -> None:
    corpus = open_corpus(installed)
    assert len(corpus.sources) >= 8
    assert corpus.shard_bytes["train"] >= 8_000_000
    assert min(source.train_bytes for source in corpus.sources) > 1_000_000
    assert len(corpus.data_hash) == 64
    assert (corpus.visible / "data_hash").read_text().strip() == corpus.data_hash


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_module, "DEFAULT_SOURCES", {"web": ("django", "no_such_package")})
    with pytest.raises(CorpusError, match=r"no_such_package is not installed; pip install -r requirements\.txt"):
        build_corpus(tmp_path / "corpus")


def test_every_source_is_pinned_and_none_is_needed_to_train() -> None:
    """So that two machines get the same corpus, and a sandbox can leave these packages out."""
    pinned = {re.split(r"[=\[ ]", line)[0].lower().replace("-", "_") for line in REQUIREMENTS.read_text().splitlines()}
    names = {"git": "gitpython", "_plotly_utils": "plotly"}
    packages = {package for source in DEFAULT_SOURCES.values() for package in source}
    assert {names.get(package, package) for package in packages} <= pinned
    code = "import sys; sys.path.insert(0, sys.argv[1]); import train, safetensors.torch, torch._dynamo; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(TARGET)], capture_output=True, text=True, check=True, timeout=120)
    assert not packages & {module.partition(".")[0] for module in done.stdout.split()}


def test_held_out_text_is_apart_from_what_a_run_can_read(installed: Path) -> None:
    assert {path.name for path in (installed / "visible").iterdir()} == {
        "train.bin", "train.json", "watch.bin", "watch.json", "data_hash",
    }  # fmt: skip
    train = (installed / "visible" / "train.bin").read_bytes()
    for shard in ("gate", "hidden"):
        windows = read_shard(installed / "held_out" / f"{shard}.bin").text[::10]
        assert sum(window.tobytes() in train for window in windows) <= 0.04 * len(windows)  # common phrases, not files
    gate, hidden = ((installed / "held_out" / f"{shard}.bin").read_bytes() for shard in ("gate", "hidden"))
    assert gate != hidden


def test_every_source_has_the_same_share_of_an_evaluation_shard(installed: Path) -> None:
    shard = read_shard(installed / "held_out" / "gate.bin")
    rows = EVAL_SHARDS["gate"] // len(shard.sources)
    assert {part.stop - part.start for part in shard.sources.values()} == {rows}
    assert shard.text.shape == (rows * len(shard.sources), WINDOW + 1)
    assert shard.text.dtype == np.uint8


def test_a_second_build_returns_what_is_there_without_touching_it(tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path)
    sources = {name: [tmp_path / "texts" / name] for name in SOURCES}
    before = {path: path.stat().st_mtime_ns for path in corpus.folder.rglob("*")}
    (tmp_path / "texts" / "verse" / "000.txt").write_text(text_of(5))
    assert build_corpus(corpus.folder, sources) == corpus
    assert {path: path.stat().st_mtime_ns for path in corpus.folder.rglob("*")} == before


def test_a_rebuild_follows_the_text_and_the_hash_follows_the_content(tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path)
    sources = {name: [tmp_path / "texts" / name] for name in SOURCES}
    assert build_corpus(corpus.folder, sources, rebuild=True).data_hash == corpus.data_hash
    (tmp_path / "texts" / "verse" / "000.txt").write_text(text_of(5))
    assert build_corpus(corpus.folder, sources, rebuild=True).data_hash != corpus.data_hash
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_hash_does_not_depend_on_where_the_text_lies(tmp_path: Path) -> None:
    hashes = {small_corpus(tmp_path / name).data_hash for name in ("one", "two")}
    assert len(hashes) == 1


def test_copies_and_near_copies_are_dropped(tmp_path: Path) -> None:
    folder = make_source(tmp_path / "text")
    plain = build_corpus(tmp_path / "plain", {"text": [folder]})
    for path in list(folder.glob("00*.txt")):
        (folder / f"copy-of-{path.name}").write_text(path.read_text())
        (folder / f"edited-{path.name}").write_text(path.read_text() + text_of(9000, lines=5))
    copied = build_corpus(tmp_path / "copied", {"text": [folder]})
    assert copied.sources[0].pieces == plain.sources[0].pieces


def test_a_long_file_is_cut_so_that_its_text_can_be_shared_out(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text(text_of(1, lines=60_000))
    corpus = build_corpus(tmp_path / "corpus", {"book": [path]})
    assert corpus.sources[0].pieces > 20
    assert corpus.shard_bytes["gate"] == EVAL_SHARDS["gate"] * (WINDOW + 1)


def test_binary_files_and_foreign_suffixes_are_left_out(tmp_path: Path) -> None:
    folder = make_source(tmp_path / "text")
    plain = build_corpus(tmp_path / "plain", {"text": [folder]})
    (folder / "latin.txt").write_bytes(b"caf\xe9 " * 500)
    (folder / "weights.bin").write_bytes(b"weights " * 500)
    (folder / "zeros.txt").write_bytes(b"some text\0more text " * 500)
    assert build_corpus(tmp_path / "more", {"text": [folder]}).data_hash == plain.data_hash


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({}, "no sources were named"),
        ({"gone": ["/nowhere/at/all"]}, "/nowhere/at/all is neither a file nor a folder"),
        ({"empty": ["."]}, "source 'empty' has 0 bytes of text"),
    ],
)
def test_unusable_sources_are_named(tmp_path: Path, sources: dict[str, list[str]], message: str) -> None:
    paths = {name: [tmp_path / path for path in listed] for name, listed in sources.items()}
    with pytest.raises(CorpusError, match=message):
        build_corpus(tmp_path / "corpus", paths)
    assert not (tmp_path / "corpus").exists()


def test_a_source_that_is_too_small_says_how_much_is_needed(tmp_path: Path) -> None:
    folder = make_source(tmp_path / "text", files=20)
    with pytest.raises(CorpusError, match=r"source 'text' has 61200 bytes .* at least 330240 are needed"):
        build_corpus(tmp_path / "corpus", {"text": [folder]})


def test_a_folder_with_another_corpus_is_not_overwritten(tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path)
    with pytest.raises(CorpusError, match="made from other sources"):
        build_corpus(corpus.folder, {"verse": [tmp_path / "texts" / "verse"]})
    assert open_corpus(corpus.folder) == corpus


def test_a_damaged_corpus_is_named(tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path)
    damaged = bytearray(corpus.gate.read_bytes())
    damaged[100] ^= 1
    corpus.gate.write_bytes(damaged)
    with pytest.raises(CorpusError, match=r"gate\.bin is missing or was changed"):
        open_corpus(corpus.folder)
    (corpus.folder / "corpus.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(CorpusError, match="format 99"):
        open_corpus(corpus.folder)
