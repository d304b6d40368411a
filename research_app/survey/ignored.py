"""Data beside the code that git ignores: no run has it, unless the project file links it."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from research_app.survey.sources import Module, Sources

DATA = re.compile(
    r"\.(bin|npy|npz|pkl|pickle|parquet|arrow|h5|hdf5|mmap|idx|jsonl|csv|tsv|txt|model|vocab|tiktoken|json|zst|gz|tar)$",
    re.IGNORECASE,
)
NOT_DATA = re.compile(
    r"\.|(__pycache__|node_modules|venv|env|out|outputs?|logs?|wandb|mlruns|runs?|checkpoints?|ckpts?|results?|build|dist)\b|out-",
    re.IGNORECASE,
)
DEEPEST = 4  # folders
MOST_FOLDERS = 2000  # that are looked into
MOST_LINKS = 8


def ignored_data(sources: Sources, modules: Sequence[Module]) -> list[str]:
    """Folders of the repository that hold data which is not committed and which the code seems to read, outermost first."""
    if sources.folder is None:
        return []
    committed, named = frozenset(sources.files), texts_of(modules)
    places: list[str] = []
    for folder, files in folders_of(sources.folder):
        if any(folder == other or folder.startswith(f"{other}/") for other in places):
            continue
        new = [name for name in files if DATA.search(name) and f"{folder}/{name}" not in committed]
        if new and spoken_of(folder, new, named):
            places.append(folder)
    return places[:MOST_LINKS]


def folders_of(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Every folder of a person's tree that could hold data, by its path there, with the names of its plain files."""
    for number, (place, folders, files) in enumerate(os.walk(root)):
        if number >= MOST_FOLDERS:
            return
        relative = Path(place).relative_to(root)
        deep = len(relative.parts) >= DEEPEST
        folders[:] = (
            []
            if deep
            else sorted(name for name in folders if not NOT_DATA.match(name) and not os.path.islink(f"{place}/{name}"))
        )
        if relative.parts:
            yield str(relative), sorted(files)


def texts_of(modules: Sequence[Module]) -> set[str]:
    """Every short text that the code holds."""
    nodes = (node for module in modules for node in ast.walk(module.tree))
    return {
        node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 200
    }


def spoken_of(folder: str, files: Sequence[str], named: set[str]) -> bool:
    """Whether the code names the folder, or one of its files together with the folder that it stands in first."""
    if any(text.strip("./").startswith(folder) for text in named):
        return True
    return folder.partition("/")[0] in {text.strip("./") for text in named} and bool(named & set(files))
