"""Unified diffs from outside: read with git's own parser, and refused early with a sentence when they are unfit."""

from __future__ import annotations

import re
from pathlib import Path

from .change import Limits
from .errors import PatchError
from .git import GitError, run_git
from .paths import path_problem

# The pairs of prefixes that git writes, by default and with diff.mnemonicPrefix.
_SIDES = [(pair[0] + "/", pair[1] + "/") for pair in ("ab", "ba", "iw", "wi", "ci", "ic", "cw", "wc", "ow", "wo")]


def apply_patch(repository: Path, index: Path, patch: str, limits: Limits) -> None:
    """Apply `patch` to the private index file `index`, without a work tree. Raises PatchError."""
    try:
        data = patch.encode()
    except UnicodeEncodeError:
        raise PatchError("The patch is not UTF-8 text.") from None
    if len(data) > limits.max_patch_bytes:
        raise PatchError(f"The patch has {len(data):,} bytes; at most {limits.max_patch_bytes:,} are taken.")
    if b"\0" in data:
        raise PatchError("The patch holds a NUL byte: it is not a text diff.")
    if not data.endswith(b"\n"):
        data += b"\n"  # lost when a patch is pasted
    strip = f"-p{_prefix_parts(patch)}"
    _check_headers(repository, data, strip, limits)
    try:
        run_git(
            "apply", "--cached", "--whitespace=nowarn", strip, "-",
            repository=repository, stdin=data, environment={"GIT_INDEX_FILE": str(index)},
        )  # fmt: skip
    except GitError as error:
        raise PatchError(_why_not(error.errors, patch)) from None


def _check_headers(repository: Path, data: bytes, strip: str, limits: Limits) -> None:
    """Judge what the patch names before it is applied; what comes of it is checked on the resulting tree."""
    try:
        listing = run_git(
            "apply", "--numstat", "-z", "--whitespace=nowarn", strip, "-", repository=repository, stdin=data
        ).stdout
    except GitError as error:
        raise PatchError(_why_not(error.errors, data.decode())) from None
    entries = [entry.split("\t", 2) for entry in listing.decode("utf-8", "backslashreplace").split("\0")[:-1]]
    if not entries:
        raise PatchError("The patch holds no change: give a unified diff, as `git diff` prints it.")
    if len(entries) > limits.max_files:
        raise PatchError(f"The patch names {len(entries)} files; at most {limits.max_files} are taken.")
    for added, _removed, path in entries:
        if problem := path_problem(path):
            raise PatchError(f"The path {path!r} {problem}.")
        if added == "-":
            raise PatchError(f"The patch of {path} is binary; only text files can be changed.")
    lines = sum(int(added) + int(removed) for added, removed, _path in entries)
    if lines > limits.max_changed_lines:
        raise PatchError(f"The patch changes {lines:,} lines; at most {limits.max_changed_lines:,} are taken.")


def _prefix_parts(patch: str) -> int:
    """1 when the patch's paths carry git's prefixes (a/train.py, b/train.py), 0 when they are plain."""
    header = re.search(r"^diff --git (?P<old>\S+) (?P<new>\S+)$", patch, re.MULTILINE)
    header = header or re.search(r'^--- "?(?P<old>[^\t\r\n]+).*\n\+\+\+ "?(?P<new>[^\t\r\n]+)', patch, re.MULTILINE)
    if header is None:
        return 1
    old, new = header["old"].lstrip('"'), header["new"].lstrip('"')
    for before, after in _SIDES:
        if (old.startswith(before) or old == "/dev/null") and (new.startswith(after) or new == "/dev/null"):
            return 1
    return 0


def _why_not(errors: str, patch: str) -> str:
    """What git said, as a sentence for the patch's author."""
    if match := re.search(r"patch failed: (.+):(\d+)", errors):
        hint = " The patch ends its lines with CRLF; check that the file does too." if "\r\n" in patch else ""
        return (
            f"The patch does not apply to {match[1]} at line {match[2]}: the lines around the change differ "
            f"from the base. Make it anew on the base.{hint}"
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
    first = next(iter(errors.splitlines()), "git gave no reason").removeprefix("error: ").removeprefix("fatal: ")
    return f"The patch does not apply: {first}."
