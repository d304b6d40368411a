"""Held-out text of a project's owner: turned into sealed shards when the project is created, and kept from every run."""

import shutil
import tempfile
from pathlib import Path

from django.conf import settings

from research_app.project_file.project_file import ProjectFile
from research_app.repository import Repository
from training.corpus import WINDOW, CorpusError
from training.detectors import gate_overlap
from training.held_out import Cut, Encoder, build_held_out, texts_of
from training.launch import read_folders
from training.sandbox import Level, level_for

KNOWN = 0.1  # share of the gate windows that may stand in the repository, which runs read


def held_out_corpus(repository: Repository, source: str, file: ProjectFile) -> str:
    """Make the shards of a project's own held-out text, if they are not there yet; the hash of their content.

    Raises CorpusError: the text cannot be read, runs could read it, or the owner's `encode` does not do what it must.
    """
    _require_hidden(source, file)
    texts = texts_of(file.scorer.place)
    corpora = Path(settings.HOME) / "corpus"
    corpora.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=".held-out-", dir=corpora))
    try:
        place.chmod(0o755)
        repository.export(repository.tip(), place / "tree")
        scorer = file.scorer
        tree = place / "tree" / file.train.directory
        level = level_for(Level(file.sandbox.minimum))
        encoder = Encoder(tree, scorer.module, scorer.wanted, read_folders(file.launch()), level)
        data_hash = build_held_out(place / "corpus", texts, encoder, Cut(scorer.window, scorer.windows, scorer.vocabulary))
        _require_unknown(repository, place / "corpus" / "held_out" / "gate.text")
        if not (corpora / data_hash).exists():
            (place / "corpus").rename(corpora / data_hash)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return data_hash


def _require_hidden(source: str, file: ProjectFile) -> None:
    """Raises CorpusError where the held-out text lies in what runs may read."""
    held_out = file.scorer.place
    for key, names in (
        ("[train] read", file.train.read),
        ("[train] python", (file.train.python,)),
        ("the repository", (source,)),
    ):
        for name in filter(None, names):
            if held_out.is_relative_to(Path(name).expanduser().resolve()) and (
                name.startswith(("/", "~")) or key == "the repository"
            ):
                raise CorpusError(
                    f"the held-out text {held_out} lies in {name} ({key}), which runs may read: keep it elsewhere"
                )


def _require_unknown(repository: Repository, gate: Path) -> None:
    """Raises CorpusError where much of the text stands in files of the repository."""
    content = gate.read_bytes()
    if not content:
        return
    for path, text in repository.texts(repository.tip(), ["**"]).items():
        seen = gate_overlap([text.encode()], content, WINDOW + 1)
        if seen.shared > KNOWN * seen.windows:
            share = f"{100 * seen.shared / seen.windows:.0f}%"
            raise CorpusError(
                f"{share} of the held-out text stands in {path} of the repository, which runs read: hold out other text"
            )
