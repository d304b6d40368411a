"""Which paths may enter a tree, and which of them a project lets a candidate change."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from .change import Change
from .errors import PatchError

MAX_PATH_BYTES = 400
MAX_NAME_BYTES = 200

_UNPRINTABLE = {"Cc": "a control character", "Cf": "an invisible format character", "Cs": "half a character"}
_UNPRINTABLE |= {"Zl": "a line separator", "Zp": "a paragraph separator", "Cn": "an unassigned character"}


def path_of(name: bytes) -> str:
    """A path as text, from git's bytes. Raises PatchError where they are not UTF-8."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise PatchError(f"The path '{name.decode('utf-8', 'backslashreplace')}' is not UTF-8; rename the file.") from None


def path_problem(path: str) -> str | None:
    """Say in words that continue "the path …" why `path` may not enter a tree, or None when it may.

    Stricter than git: whatever some file system or tool could read as something else is refused.
    """
    for character in path:
        if what := _UNPRINTABLE.get(unicodedata.category(character)):
            return f"holds {what} (U+{ord(character):04X})"
    if not path:
        return "is empty"
    if path.startswith(("/", "-")) or re.match(r"[A-Za-z]:", path):
        return "must be relative to the project's root and must not begin with '-'"
    if "\\" in path:
        return "holds a backslash; use '/' between folders"
    if wild := re.search(r"[*?]", path):
        return f"holds the wildcard {wild[0]!r}"
    if len(path.encode()) > MAX_PATH_BYTES:
        return f"is longer than {MAX_PATH_BYTES} bytes"
    return next(filter(None, map(_name_problem, path.split("/"))), None)


def _name_problem(name: str) -> str | None:
    if name in ("", ".", ".."):
        return f"holds the part {name!r}; name a file inside the project plainly"
    if name != name.strip() or name.endswith("."):
        return "has a part that begins or ends with a space, or ends with a dot"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"has a part that is longer than {MAX_NAME_BYTES} bytes"
    plain = unicodedata.normalize("NFKC", name).casefold()
    # DOS short names such as GIT~1 reach .git on some file systems.
    if plain.startswith((".git", ".mailmap")) or re.match(r"(gi|ma)[^~]*~[0-9]", plain):
        return "has a part that means something to git; such files cannot be changed here"
    return None


def matches(path: str, patterns: Iterable[str], *, protecting: bool = False) -> bool:
    """Whether one of the glob patterns covers `path`, which is matched from the project's root.

    `*` and `?` stay within one part of the path, `**` crosses folders. A plain folder covers all that is beneath it.
    When `protecting`, so does a folder that a wildcard matches, and upper and lower case are the same.
    """
    return any(_compiled(pattern, protecting).fullmatch(path) for pattern in patterns)


@lru_cache(maxsize=1024)
def _compiled(pattern: str, protecting: bool) -> re.Pattern[str]:
    pattern = pattern.removeprefix("./").rstrip("/")
    pieces = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.findall(r"\*\*/|\*\*|.", pattern, re.DOTALL)
    body = "".join(pieces.get(token) or re.escape(token) for token in tokens)
    names_a_folder = protecting or not set("*?") & set(pattern.rpartition("/")[2])
    beneath = "(?:/.*)?" if names_a_folder else ""
    return re.compile(body + beneath, re.DOTALL | (re.IGNORECASE if protecting else 0))


def check_paths(change: Change, editable: Sequence[str], protected: Sequence[str]) -> list[str]:
    """Say in plain sentences which files of `change` a candidate may not change; empty when all is well.

    Protected wins over editable, and covers a path that differs only in upper and lower case.
    """
    problems = []
    for path in (file.path for file in change.files):
        if matches(path, protected, protecting=True):
            problems.append(f"{path} is protected: a candidate of this project may not change it.")
        elif not matches(path, editable):
            allowed = ", ".join(editable) or "none"
            problems.append(f"{path} is not among the editable paths of this project ({allowed}).")
    return problems
