"""Unified diffs from outside: read with git's own parser, and refused early with a sentence when they are unfit."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from pathlib import Path

from agent.diff import parse_diff, path_at

from .change import Limits
from .errors import PatchError
from .git import GitError, run_git
from .line_ends import Read, fitted
from .paths import path_of, path_problem

_UNDECODED = re.compile("[\udc80-\udcff]")  # how Python holds bytes that are not UTF-8


def apply_patch(repository: Path, index: Path, patch: str, limits: Limits, read: Read, usual: Callable[[str], str]) -> None:
    """Apply `patch` to the private index file `index`, without a work tree. Raises PatchError.

    `read` and `usual` tell of the base what line ends its files have (line_ends.py).
    """
    try:
        size = len(patch.encode())
    except UnicodeEncodeError:
        raise PatchError("The patch is not UTF-8 text.") from None
    if size > limits.max_patch_bytes:
        raise PatchError(f"The patch has {size:,} bytes; at most {limits.max_patch_bytes:,} are taken.")
    if "\0" in patch:
        raise PatchError(f"{_not_text(patch, patch.index(chr(0)))} It holds a NUL byte.")
    data = fitted(patch, read, usual).encode()
    if not data.endswith(b"\n"):
        data += b"\n"  # lost when a patch is pasted
    strip = "-p1" if all(file.prefixed for file in parse_diff(data.decode())) else "-p0"
    _check_headers(repository, data, strip, limits)
    try:
        run_git(
            "apply", "--cached", "--whitespace=nowarn", strip, "-",
            repository=repository, stdin=data, environment={"GIT_INDEX_FILE": str(index)},
        )  # fmt: skip
    except GitError as error:
        raise PatchError(_why_not(error.errors)) from None


def patch_text(data: bytes) -> str:
    """A patch as text that says just what its bytes say. Raises PatchError, naming the file, where they are not UTF-8."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise PatchError("The patch is UTF-16 text, as PowerShell's > writes it. Make it with: git diff --output=change.patch")
    text = data.decode("utf-8", "surrogateescape")
    for match in _UNDECODED.finditer(text):
        line = text[text.rfind("\n", 0, match.start()) + 1 :][:1]
        if line != "@":  # git cuts off what it names after the @@ at a byte
            raise PatchError(_not_text(text, match.start()))
    return _UNDECODED.sub("\ufffd", text)


def _not_text(patch: str, at: int) -> str:
    """The sentence about the file to which this place of a patch belongs."""
    path = path_at(patch, at).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") or "The patch"
    return f"{path} is not UTF-8 text; only text files can be changed."


def _check_headers(repository: Path, data: bytes, strip: str, limits: Limits) -> None:
    """Judge what the patch names before it is applied; what comes of it is checked on the resulting tree."""
    try:
        listing = run_git(
            "apply", "--numstat", "-z", "--whitespace=nowarn", strip, "-", repository=repository, stdin=data
        ).stdout
    except GitError as error:
        raise PatchError(_why_not(error.errors)) from None
    entries = [entry.split(b"\t", 2) for entry in listing.split(b"\0")[:-1]]
    if not entries:
        raise PatchError("The patch holds no change: give a unified diff, as `git diff` prints it.")
    if len(entries) > limits.max_files:
        raise PatchError(f"The patch names {len(entries)} files; at most {limits.max_files} are taken.")
    for added, _removed, name in entries:
        path = path_of(name)
        if problem := path_problem(path):
            raise PatchError(f"The path {path!r} {problem}.")
        if added == b"-":
            raise PatchError(f"{path} is not UTF-8 text; only text files can be changed. The patch of it is binary.")
    lines = sum(int(added) + int(removed) for added, removed, _path in entries)
    if lines > limits.max_changed_lines:
        raise PatchError(f"The patch changes {lines:,} lines; at most {limits.max_changed_lines:,} are taken.")


def _why_not(errors: str) -> str:
    """What git said, as a sentence for the patch's author."""
    if match := re.search(r"patch failed: (.+):(\d+)", errors):
        return (
            f"The patch does not apply to {match[1]} at line {match[2]}: the lines around the change differ "
            f"from the base. Make it anew on the base."
        )
    if match := re.search(r"error: (.+): does not exist in index", errors):
        return f"The patch changes {match[1]}, which the base does not have."
    if match := re.search(r"error: (.+): already exists in index", errors):
        return f"The patch creates {match[1]}, which the base already has."
    if match := re.search(r"invalid path '(.*)'", errors):
        return f"The path {match[1]!r} is not a plain path inside the project."
    if match := re.search(r"corrupt patch at line (\d+)", errors):
        return f"The patch is malformed at its line {match[1]}: a hunk's line counts do not match its lines."
    if "No valid patches" in errors or "unrecognized input" in errors:
        return "The patch holds no change: give a unified diff, as `git diff` prints it."
    first = (errors.split("\n")[0] or "git gave no reason").removeprefix("error: ").removeprefix("fatal: ")
    return f"The patch does not apply: {first}."
