"""Repositories and commits that many tests make alike: git makes each of them once in a process, further tests get copies.

What is copied is what git wrote, byte for byte: a commit is dated like its base, so that git would make the same again.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from research_app.repository import Change, Limits, Repository
from research_app.repository.git import run_git
from research_app.repository.names import kept_ref

Edits = Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Template:
    """A bare repository that nothing changes, and its one commit."""

    path: Path
    tip: str
    tree: str


@dataclass(frozen=True)
class MadeChange:
    """A change that git made, with the files of all objects that it has beyond its base, by their paths."""

    change: Change
    objects: Mapping[str, bytes]


_known_bases: set[str] = set()
"""Commits that stand in many repositories: those of templates, and those made on them."""
_changes: dict[tuple[str, tuple[tuple[str, str, str], ...], str, str, Limits], MadeChange] = {}


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """The folder of this process's templates; it goes when the process ends."""
    return tempfile.TemporaryDirectory(prefix="signoff-templates-")


@cache
def template(branch: str, files: tuple[tuple[str, str], ...]) -> Template:
    """The repository whose first commit holds these files (path and text)."""
    path = Path(tempfile.mkdtemp(dir=_folder().name)) / "repository.git"
    repository = Repository.create(path, branch, {name: text.encode() for name, text in files}, "Begin")
    tip = repository.tip()
    _known_bases.add(tip)
    return Template(path, tip, repository.tree_of(tip))


def lay_out(path: Path, branch: str, files: Mapping[str, str]) -> Template:
    """Put a repository with one commit of these files at `path`; returns the template that it is a copy of."""
    made = template(branch, tuple(files.items()))
    shutil.copytree(made.path, path)
    return made


def commit_edits(repository: Repository, base: str, edits: Edits, message: str, author: str, limits: Limits) -> Change:
    """What `change_from_edits` makes of this: by git where it is new in this process, otherwise by its objects."""
    key = (base, tuple(edits), message, author, limits)
    if made := _changes.get(key):
        for name, content in made.objects.items():
            if not (file := repository.path / name).exists():
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(content)
        return made.change
    change = repository.change_from_edits(base, edits, message, author, limits)
    if base in _known_bases and (objects := _loose_objects(repository, change)):
        _changes[key] = MadeChange(change, objects)
        _known_bases.add(change.commit)
    return change


def _loose_objects(repository: Repository, change: Change) -> dict[str, bytes]:
    """The files of what a commit has and its base has not; empty where one of them is packed."""
    listed = run_git("rev-list", "--objects", change.commit, f"^{change.base}", repository=repository.path).stdout.decode()
    names = [f"objects/{line[:2]}/{line[2:40]}" for line in listed.splitlines()]
    if not all((repository.path / name).is_file() for name in names):
        return {}
    return {name: (repository.path / name).read_bytes() for name in names}


def keep(repository: Repository, name: str, commit: str) -> None:
    """Keep a commit as `Repository.keep` does, where the name is a new one without starting git."""
    ref = repository.path / kept_ref(name)
    if ref.exists() or (repository.path / "packed-refs").exists():
        repository.keep(name, commit)
        return
    ref.parent.mkdir(parents=True, exist_ok=True)
    ref.write_text(f"{commit}\n")
