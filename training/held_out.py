"""Held-out text of a project's owner, as shards of tokens for the trusted scorer.

The text is cut into blocks at line ends, which go to the gate and to the hidden shard in turns; the owner's `encode` turns them
into tokens, in a sandbox, once, when the project is created; windows are cut from them. A run sees none of it: `visible` holds
made-up tokens. How many bytes of text a window stands for is its share of the tokens of its block.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.corpus import WINDOW, CorpusError
from training.encode import REFUSED
from training.process import Process, clean_environment
from training.sandbox import Confinement, Level, confined

ENCODE = Path(__file__).with_name("encode.py")
SHARDS = ("gate", "hidden")
FEWEST = 32  # windows of a shard
MADE_UP = 8  # windows that a run may see
BLOCK = 32  # times the window, in characters
LARGEST_FILE = 256 << 20  # bytes
SECONDS = 300.0  # for encoding all of it
MEMORY = 8 << 30  # bytes


@dataclass(frozen=True)
class Encoder:
    """The owner's side: the module of the tree that has `encode`, and what the scorer will call."""

    tree: Path
    module: str
    wanted: str  # load_model or build_model
    readable: tuple[Path, ...] = ()
    level: Level = Level.none


@dataclass(frozen=True)
class Cut:
    """How text becomes windows: tokens in one, how many of them in a shard, and how many tokens there are."""

    window: int
    windows: int
    vocabulary: int


def texts_of(place: Path) -> dict[str, str]:
    """Name to text of the held-out file, or of each file of a folder. Raises CorpusError."""
    files = sorted(path for path in place.iterdir() if path.is_file()) if place.is_dir() else [place]
    texts = {}
    for path in files:
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise CorpusError(f"{path} has more than {LARGEST_FILE >> 20} MiB; a few megabytes of held-out text are enough")
            texts[path.stem] = path.read_bytes().decode()
        except UnicodeDecodeError:
            raise CorpusError(f"{path} is not UTF-8 text; give the text itself, which encode() turns into tokens") from None
        except OSError as error:
            raise CorpusError(f"the held-out text {path} cannot be read: {error.strerror}") from error
    if not texts:
        raise CorpusError(f"there is no file in {place}")
    return texts


def build_held_out(folder: Path, texts: Mapping[str, str], encoder: Encoder, cut: Cut) -> str:
    """Write the shards of held-out text below `folder`, which must not exist; the hash of their content. Raises CorpusError."""
    blocks = [(name, block) for name, text in texts.items() for block in _chosen(list(_blocks(text, BLOCK * cut.window)), cut)]
    tokens = _encoded([block for _, block in blocks], encoder)
    if (largest := max((int(each.max(initial=0)) for each in tokens), default=0)) >= cut.vocabulary:
        raise CorpusError(f"encode() gave the token {largest}, and [scorer] vocabulary is {cut.vocabulary}")
    whole = hashlib.sha256()
    for place in ("held_out", "visible"):
        (folder / place).mkdir(parents=True)
    for number, shard in enumerate(SHARDS):
        mine = [(name, block, ids) for (name, block), ids in list(zip(blocks, tokens, strict=True))[number :: len(SHARDS)]]
        content = _write_shard(folder / "held_out", shard, mine, cut)
        whole.update(content)
    gate = "".join(block for _, block in blocks[:: len(SHARDS)]).encode()
    (folder / "held_out" / "gate.text").write_bytes(gate[: len(gate) // (WINDOW + 1) * (WINDOW + 1)])
    _write_made_up(folder / "visible", cut)
    (folder / "visible" / "data_hash").write_text(whole.hexdigest() + "\n")
    return whole.hexdigest()


def _blocks(text: str, size: int) -> Iterator[str]:
    """The text in pieces of about `size` characters, cut at line ends where there are any."""
    start = 0
    while start < len(text):
        end = start + size
        line = text.find("\n", end, end + size)
        end = line + 1 if line >= 0 else end
        yield text[start:end]
        start = end


def _chosen(blocks: Sequence[str], cut: Cut) -> list[str]:
    """As many blocks as are needed, spread over the whole text, an even number of them."""
    most = min(len(blocks), 2 * cut.windows)
    most -= most % 2 if most > 1 else 0
    return [blocks[number * len(blocks) // most] for number in range(most)]


def _encoded(texts: Sequence[str], encoder: Encoder) -> list[np.ndarray]:
    """The tokens of each text, by the owner's code. Raises CorpusError."""
    place = Path(tempfile.mkdtemp(prefix=".encoding-", dir=encoder.tree.parent))
    try:
        place.chmod(0o755)
        (place / "scratch").mkdir()
        given = place / "texts.json"
        given.write_text(json.dumps(list(texts)))
        given.chmod(0o644)
        out = place / "scratch" / "tokens"
        _run(encoder, given, out)
        return list(_read_tokens(out, len(texts)))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _run(encoder: Encoder, given: Path, out: Path) -> None:
    words = [str(ENCODE), str(encoder.tree), encoder.module, encoder.wanted, str(given), str(out)]
    confinement = Confinement(
        level=encoder.level,
        readable=(encoder.tree, given, ENCODE, *encoder.readable),
        writable=out.parent,
        device="cpu",
        memory_limit=MEMORY,
        processes=64,
        file_size=4 << 30,
        scratch_size=4 << 30,
    )
    command = confined([sys.executable, "-I", "-B", *words], confinement)
    with Process(command, cwd=out.parent, environment=clean_environment(out.parent), memory_limit=MEMORY) as process:
        process.wait(SECONDS)
        ended, last_lines = process.ended, process.log.text().strip().split("\n")
    if ended is None:
        raise CorpusError(f"encode() did not end within {SECONDS:.0f} s")
    if ended.exit_code:
        last = last_lines[-1] if last_lines else "it printed nothing"
        why = last if ended.exit_code == REFUSED else f"encoding the held-out text failed (exit code {ended.exit_code}): {last}"
        raise CorpusError(f"{why}. It is run with the interpreter of the workers, {sys.executable}.")


def _read_tokens(out: Path, count: int) -> Iterator[np.ndarray]:
    """What the owner's code wrote, which need not be what it should. Raises CorpusError."""
    numbers = np.frombuffer(out.read_bytes(), dtype="<u4")
    at = 0
    for _ in range(count):
        length = int(numbers[at]) if at < len(numbers) else -1
        if length < 0 or at + 1 + length > len(numbers):
            raise CorpusError("encoding the held-out text ended before its end")
        yield numbers[at + 1 : at + 1 + length]
        at += 1 + length


def _write_shard(folder: Path, shard: str, blocks: Sequence[tuple[str, str, np.ndarray]], cut: Cut) -> bytes:
    """Write one shard with its index; its content. Raises CorpusError where there is too little text."""
    row, kind = cut.window + 1, f"<u{width_of(cut.vocabulary)}"
    windows_by_file: dict[str, list[tuple[np.ndarray, float]]] = {}
    for name, text, tokens in blocks:
        price = len(text.encode()) / max(1, len(tokens))  # bytes of a token
        rows = tokens[: len(tokens) // row * row].reshape(-1, row)
        windows_by_file.setdefault(name, []).extend((each, price * cut.window) for each in rows)
    share = max(1, cut.windows // max(1, len(windows_by_file)))
    content, sources = b"", []
    for name, windows in windows_by_file.items():
        kept = [windows[number * len(windows) // share] for number in range(share)] if len(windows) > share else windows
        own = b"".join(tokens.astype(kind).tobytes() for tokens, _ in kept)
        if own:
            spent = {"text_bytes": max(1, round(sum(text_bytes for _, text_bytes in kept)))}
            sources.append({"name": name, "start": len(content), "bytes": len(own), **spent})
        content += own
    count = len(content) // (row * width_of(cut.vocabulary))
    if count < FEWEST:
        raise CorpusError(
            f"the held-out text gives {count} windows of {cut.window} tokens for the {shard} shard, and {FEWEST} are needed: "
            "give more text, or a smaller [scorer] window"
        )
    _write(folder, shard, content, sources, cut)
    return content + json.dumps(sources).encode()


def _write_made_up(folder: Path, cut: Cut) -> None:
    """Windows of random tokens, for trying the way to a score."""
    tokens = np.random.default_rng(0).integers(0, cut.vocabulary, (MADE_UP, cut.window + 1))
    content = tokens.astype(f"<u{width_of(cut.vocabulary)}").tobytes()
    sources = [{"name": "made up", "start": 0, "bytes": len(content), "text_bytes": MADE_UP * cut.window}]
    _write(folder, "watch", content, sources, cut)


def _write(folder: Path, shard: str, content: bytes, sources: Sequence[Mapping[str, object]], cut: Cut) -> None:
    header = {"window": cut.window, "vocabulary": cut.vocabulary, "token_bytes": width_of(cut.vocabulary)}
    (folder / f"{shard}.bin").write_bytes(content)
    (folder / f"{shard}.json").write_text(json.dumps({"format": 1, "shard": shard, **header, "sources": sources}))


def width_of(vocabulary: int) -> int:
    """Bytes of a token."""
    return 1 if vocabulary <= 1 << 8 else 2 if vocabulary <= 1 << 16 else 4
