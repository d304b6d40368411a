"""The text a project trains on and is judged by, cut into shards once and identified by a content hash.

    folder/visible/train.bin    all training text, source after source
    folder/visible/watch.bin    a few windows for the validation curve, which the run itself may read
    folder/held_out/gate.bin    windows for the score; only the trusted scorer reads them
    folder/held_out/hidden.bin  windows for confirmation; only the trusted scorer reads them

Each `.bin` has a `.json` index beside it. Text is bytes (UTF-8), so the vocabulary is 256. A file goes to one shard as a
whole, so no shard holds text of another. The evaluation shards hold the same number of windows of every source.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FORMAT = 1
WINDOW = 128  # bytes of context in one scored sequence; a stored window has one byte more, the last target
EVAL_SHARDS = {"gate": 512, "hidden": 512, "watch": 48}  # windows in all, shared evenly between the sources
EVAL_TEXT = 6  # an evaluation shard draws its windows from this many times as much text, so that they are spread out,
EVAL_SHARE = 0.05  # but in a small source from no more than this share of it, unless the windows themselves need more
EVAL_MOST = 0.2  # no evaluation shard may take more than this share of a source
SOURCE_LIMIT = 3_000_000  # bytes of training text per source
PIECE = 128 * 1024  # a longer file is cut at line ends into pieces of about this many bytes
SEEN_SHARE = 0.5  # a piece is a near-copy when more than this share of its lines is already in the corpus
SHORT_LINE = 12  # characters; shorter lines say nothing about copying
SUFFIXES = frozenset({".py", ".txt", ".md", ".rst", ".tex", ".html", ".c", ".h", ".cpp", ".js", ".ts", ".rs", ".go"})

# Installed packages by domain, all of them pinned in requirements.txt. Not one is imported when the default target trains
# (torch, numpy, safetensors and what these import), so the training sandbox need not mount them.
DEFAULT_SOURCES: Mapping[str, tuple[str, ...]] = {
    "web": ("django", "uvicorn", "whitenoise", "django_htmx", "asgiref"),
    "database": ("sqlalchemy", "alembic", "psycopg"),
    "queues": ("celery", "kombu", "billiard", "amqp", "vine"),
    "stores": ("redis",),
    "science": ("scipy",),
    "search": ("optuna",),
    "validation": ("pydantic",),
    "highlighting": ("pygments",),
    "charts": ("plotly", "_plotly_utils"),
    "tables": ("narwhals",),
    "terminal": ("prompt_toolkit", "click", "mako", "git", "gitdb"),
}


class CorpusError(Exception):
    """The corpus cannot be built or read; the message says why and what to do."""


@dataclass(frozen=True)
class Source:
    """One domain of text."""

    name: str
    pieces: int
    train_bytes: int


@dataclass(frozen=True)
class CorpusInfo:
    """A finished corpus."""

    folder: Path
    data_hash: str  # hex, over every shard and index
    sources: tuple[Source, ...]
    shard_bytes: Mapping[str, int]

    @property
    def visible(self) -> Path:
        return self.folder / "visible"

    @property
    def held_out(self) -> Path:
        return self.folder / "held_out"

    @property
    def gate(self) -> Path:
        return self.held_out / "gate.bin"

    @property
    def hidden(self) -> Path:
        return self.held_out / "hidden.bin"


def build_corpus(folder: Path, sources: Mapping[str, Sequence[Path]] | None = None, *, rebuild: bool = False) -> CorpusInfo:
    """Build the corpus in `folder`, or return the one that is there.

    `sources` maps a name to files and folders of text; without it, the Python sources of installed packages are used.
    A finished corpus stays as it is, even when packages were upgraded since, because scores are only comparable on the
    same text; `rebuild=True` replaces it. Raises CorpusError.
    """
    recipe = _recipe(sources)
    if not rebuild and (folder / "corpus.json").exists():
        return _reopen(folder, recipe)
    if sources is None:
        texts = {
            name: [file for package in packages for file in _package_files(package)]
            for name, packages in DEFAULT_SOURCES.items()
        }
    else:
        texts = {name: list(_text_files(paths)) for name, paths in sources.items()}
    pieces = _without_copies(texts)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write(fresh, pieces, recipe)
        _put_in_place(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return open_corpus(folder)


def open_corpus(folder: Path) -> CorpusInfo:
    """Read a finished corpus and check every shard against its hash. Raises CorpusError."""
    try:
        record = json.loads((folder / "corpus.json").read_text())
    except (OSError, ValueError) as error:
        raise CorpusError(f"there is no readable corpus in {folder}: {error}. Build it again with rebuild=True.") from error
    if record["format"] != FORMAT:
        raise CorpusError(f"the corpus in {folder} has format {record['format']}; build it again with rebuild=True")
    for name, digest in record["files"].items():
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise CorpusError(f"{path} is missing or was changed; build the corpus again with rebuild=True")
    return CorpusInfo(
        folder=folder,
        data_hash=record["data_hash"],
        sources=tuple(Source(**source) for source in record["sources"]),
        shard_bytes=record["shard_bytes"],
    )


def _recipe(sources: Mapping[str, Sequence[Path]] | None) -> dict[str, list[str]]:
    if sources is None:
        return {name: list(packages) for name, packages in DEFAULT_SOURCES.items()}
    if not sources:
        raise CorpusError("no sources were named; name at least one, with its files or folders")
    return {name: [str(path) for path in paths] for name, paths in sources.items()}


def _reopen(folder: Path, recipe: Mapping[str, list[str]]) -> CorpusInfo:
    info = open_corpus(folder)
    if json.loads((folder / "corpus.json").read_text())["recipe"] != recipe:
        raise CorpusError(f"{folder} holds a corpus made from other sources; use another folder, or rebuild=True")
    return info


def _package_files(package: str) -> Iterator[Path]:
    """The Python files of an installed package, without its tests, in an order that does not depend on the machine."""
    spec = importlib.machinery.PathFinder.find_spec(package)  # whatever is loaded under that name
    if spec is None or not spec.submodule_search_locations:
        raise CorpusError(f"the package {package} is not installed; pip install -r requirements.txt, or name a folder of text")
    for root in map(Path, spec.submodule_search_locations):
        for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).parts):
            if not {"tests", "test", "_vendor", "locale"} & set(path.relative_to(root).parts):
                yield path


def _text_files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from (file for file in sorted(path.rglob("*")) if file.suffix in SUFFIXES and file.is_file())
        elif path.is_file():
            yield path
        else:
            raise CorpusError(f"{path} is neither a file nor a folder")


def _without_copies(texts: Mapping[str, Sequence[Path]]) -> dict[str, list[bytes]]:
    """Pieces of text per source, at most SOURCE_LIMIT bytes of each, without copies and near-copies of earlier ones."""
    seen: set[bytes] = set()
    pieces: dict[str, list[bytes]] = {}
    for name, files in texts.items():
        candidates = sorted(((_digest(piece), piece) for path in files for piece in _pieces(path)), key=lambda pair: pair[0])
        kept: list[bytes] = []
        size = 0
        for _, piece in candidates:
            lines = {line for line in map(bytes.strip, piece.split(b"\n")) if len(line) >= SHORT_LINE}
            if not lines or len(lines & seen) > SEEN_SHARE * len(lines):
                continue
            seen |= lines
            kept.append(piece)
            size += len(piece)
            if size >= SOURCE_LIMIT:
                break
        pieces[name] = kept
    return pieces


def _pieces(path: Path) -> Iterator[bytes]:
    """The text of a file, cut at line ends when it is long; nothing when it is not UTF-8 text."""
    text = path.read_bytes()
    try:
        text.decode()
    except UnicodeDecodeError:
        return
    while len(text) > PIECE:
        cut = text.find(b"\n", PIECE) + 1 or len(text)
        yield text[:cut]
        text = text[cut:]
    if text.strip() and b"\0" not in text:
        yield text


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _deal(pieces: Mapping[str, list[bytes]]) -> dict[str, dict[str, bytes]]:
    """Share the pieces of every source between the shards: shard -> source -> text.

    The pieces come in the order of their digests, so the deal is arbitrary but fixed.
    """
    rest = {name: list(kept) for name, kept in pieces.items()}
    windows = {shard: max(1, number // len(rest)) for shard, number in EVAL_SHARDS.items()}  # of each source
    taken = {
        shard: {name: _take_text(name, kept, sum(map(len, pieces[name])), number * (WINDOW + 1)) for name, kept in rest.items()}
        for shard, number in windows.items()
    }
    trained = set().union(*(_lines(piece) for kept in rest.values() for piece in kept))
    shards = {
        shard: {name: _windows(name, text, number, trained) for name, text in taken[shard].items()}
        for shard, number in windows.items()
    }
    return {"train": {name: b"".join(piece + b"\0" for piece in kept) for name, kept in rest.items()}, **shards}


def _write(folder: Path, pieces: Mapping[str, list[bytes]], recipe: Mapping[str, list[str]]) -> None:
    """Write every shard with its index, and the record of the whole."""
    shards = _deal(pieces)
    files: dict[str, str] = {}
    for shard, texts in shards.items():
        home = "held_out" if shard in ("gate", "hidden") else "visible"
        index = {"format": FORMAT, "shard": shard, "window": WINDOW, "sources": _spans(texts)}
        for name, content in ((f"{shard}.bin", b"".join(texts.values())), (f"{shard}.json", json.dumps(index).encode())):
            (folder / home).mkdir(exist_ok=True)
            (folder / home / name).write_bytes(content)
            files[f"{home}/{name}"] = _digest(content)
    data_hash = _digest(json.dumps(sorted(files.items())).encode())
    (folder / "visible" / "data_hash").write_text(data_hash + "\n")
    record = {
        "format": FORMAT,
        "data_hash": data_hash,
        "files": files,
        "recipe": recipe,
        "sources": [
            {"name": name, "pieces": len(pieces[name]), "train_bytes": len(text)} for name, text in shards["train"].items()
        ],
        "shard_bytes": {shard: sum(map(len, texts.values())) for shard, texts in shards.items()},
    }
    (folder / "corpus.json").write_text(json.dumps(record, indent=1))


def _take_text(name: str, pieces: list[bytes], size: int, needed: int) -> bytes:
    """Take pieces from the front of `pieces` for an evaluation shard that needs that many bytes of a source of `size` bytes."""
    if needed > EVAL_MOST * size:
        raise CorpusError(
            f"source {name!r} has {size} bytes of text without copies; at least {needed / EVAL_MOST:.0f} are needed. "
            "Give it more text, or join it with another source."
        )
    text = b""
    while len(text) < max(needed, min(EVAL_TEXT * needed, EVAL_SHARE * size)) and len(pieces) > 1:
        text += pieces.pop(0)
    return text


def _windows(name: str, text: bytes, count: int, seen: set[bytes]) -> bytes:
    """Cut `count` spread-out windows of WINDOW + 1 bytes from `text`, none of which consists of lines in `seen` alone."""
    length = WINDOW + 1
    fresh = []
    for start in range(0, len(text) - length + 1, length):
        line_start = text.rfind(b"\n", 0, start) + 1
        lines = _lines(text[line_start : text.find(b"\n", start + length)])
        if not lines or lines - seen:
            fresh.append(text[start : start + length])
    if len(fresh) < count:
        raise CorpusError(
            f"source {name!r} repeats itself: only {len(fresh)} of {count} windows say something new; give it more text"
        )
    return b"".join(fresh[position * len(fresh) // count] for position in range(count))


def _lines(text: bytes) -> set[bytes]:
    """The distinct lines long enough to tell whether text was copied."""
    return {line for line in map(bytes.strip, text.split(b"\n")) if len(line) >= SHORT_LINE}


def _spans(texts: Mapping[str, bytes]) -> list[dict[str, str | int]]:
    spans: list[dict[str, str | int]] = []
    start = 0
    for name, text in texts.items():
        spans.append({"name": name, "start": start, "bytes": len(text)})
        start += len(text)
    return spans


def _put_in_place(fresh: Path, folder: Path) -> None:
    """Move a finished corpus to its place. A corpus that was there is moved away first, so no mixture of two can be seen."""
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
        os.rename(folder, old / "corpus")
        os.rename(fresh, folder)
        shutil.rmtree(old)
    else:
        os.rename(fresh, folder)
    os.chmod(folder, 0o755)
