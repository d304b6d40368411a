"""What a tree changes against its base, and whether that may come in: the gate that every change passes."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .change import FileChange, Limits
from .errors import PatchError
from .git import run_git
from .objects import read_blob
from .paths import path_of, path_problem

_KINDS: dict[str, Literal["added", "deleted"]] = {"A": "added", "D": "deleted"}  # any other status modifies
_MODES = {"100644", "100755"}
_ABSENT = "000000"
_STRANGE_MODES = {"120000": "a symbolic link", "160000": "a submodule"}


@dataclass(frozen=True)
class _Entry:
    """One line of `git diff-tree --raw`: modes as octal digits, blobs as full hashes."""

    file: FileChange
    old_mode: str
    new_mode: str
    old_blob: str
    new_blob: str


def admit(repository: Path, base: str, tree: str, limits: Limits) -> tuple[FileChange, ...]:
    """The files in which `tree` differs from the commit or tree `base`.

    Raises PatchError when it changes nothing, more than `limits` allow, or anything but regular UTF-8 text files.
    """
    entries = _changed(repository, base, tree)
    files = tuple(entry.file for entry in entries)
    if not files:
        raise PatchError("The change leaves every file of the base as it is.")
    if len(files) > limits.max_files:
        raise PatchError(f"The change touches {len(files)} files; at most {limits.max_files} are taken.")
    for entry in entries:
        _check_entry(entry)
    lines = sum(file.added + file.removed for file in files)
    if lines > limits.max_changed_lines:
        raise PatchError(f"The change has {lines:,} changed lines; at most {limits.max_changed_lines:,} are taken.")
    for entry in entries:
        old = _text(repository, entry.file.path, entry.old_mode, entry.old_blob, limits)
        new = _text(repository, entry.file.path, entry.new_mode, entry.new_blob, limits)
        if problem := _hidden_problem(old, new):
            raise PatchError(f"{entry.file.path} {problem}.")
    return files


def _changed(repository: Path, base: str, tree: str) -> list[_Entry]:
    output = run_git(
        "diff-tree", "-r", "-z", "--raw", "--numstat", "--no-abbrev",
        "--text", "--no-renames", "--no-ext-diff", "--no-textconv", "--end-of-options", base, tree,
        repository=repository,
    ).stdout  # fmt: skip
    # First a header and a path for each file, then, in the same order, the numbers of lines for each.
    fields = output.decode("utf-8", "surrogateescape").split("\0")[:-1]
    count = len(fields) // 3
    headers, paths, numbers = fields[: 2 * count : 2], fields[1 : 2 * count : 2], fields[2 * count :]
    entries = []
    for header, path, counts in zip(headers, paths, numbers, strict=True):
        old_mode, new_mode, old_blob, new_blob, status = header[1:].split(" ")
        added, removed, _path = counts.split("\t", 2)
        path_of(path.encode("utf-8", "surrogateescape"))
        if problem := path_problem(path):
            raise PatchError(f"The path {path!r} {problem}.")
        if added == "-":  # git saw a NUL byte
            raise PatchError(f"{path} is not UTF-8 text; only text files can be changed.")
        file = FileChange(path, _KINDS.get(status[0], "modified"), int(added), int(removed))
        entries.append(_Entry(file, old_mode, new_mode, old_blob, new_blob))
    return entries


def _check_entry(entry: _Entry) -> None:
    path = entry.file.path
    for mode in (entry.new_mode, entry.old_mode):
        if mode not in _MODES and mode != _ABSENT:
            kind = _STRANGE_MODES.get(mode, "not a regular file")
            raise PatchError(f"{path} is {kind}; only regular files can be changed.")
    if _ABSENT not in (entry.old_mode, entry.new_mode) and entry.old_mode != entry.new_mode:
        raise PatchError(f"The change alters the mode of {path} from {entry.old_mode} to {entry.new_mode}; leave it.")


def _text(repository: Path, path: str, mode: str, blob: str, limits: Limits) -> str:
    if mode == _ABSENT:
        return ""
    size, data = read_blob(repository, blob, limits.max_file_bytes)
    if size > limits.max_file_bytes:
        raise PatchError(f"{path} has {size:,} bytes; files of at most {limits.max_file_bytes:,} can be changed.")
    return text_of(path, data)


def text_of(path: str, data: bytes) -> str:
    """The text of a file. Raises PatchError where it is none."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise PatchError(f"{path} is not UTF-8 text; only text files can be changed.")
    return text


def _hidden_problem(old: str, new: str) -> str | None:
    """Whether `new` brings in characters that make it read otherwise than it runs, such as a text-direction override.

    What the base already holds may stay.
    """
    before, after = Counter(old.replace("\r\n", "\n")), Counter(new.replace("\r\n", "\n"))
    for character in after:
        if after[character] > before[character] and _hides(character):
            line = new[: new.index(character)].count("\n") + 1
            name = unicodedata.name(character, "a control character").lower()
            return f"would hold a character that hides what code does (U+{ord(character):04X}, {name}, near line {line})"
    return None


def _hides(character: str) -> bool:
    if character in "\t\n\f\ufeff\u200d\u00ad":  # a byte-order mark, emoji joiners and soft hyphens reorder nothing
        return False
    return unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp")
