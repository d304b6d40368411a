"""Exact replacements: the form in which an agent states a change."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .errors import PatchError
from .line_ends import fitted_edit
from .paths import path_problem

Edit = tuple[str, str, str]  # path, old text, new text
MANY = 100  # places where a text fits: more are not counted, for each costs a comparison


def apply_edits(edits: Sequence[Edit], read: Callable[[str], str | None]) -> dict[str, str]:
    """The new text of every file that `edits` change, applied in order.

    `read` gives a file's text in the base, or None when there is no such file. The old text must occur exactly once, line
    ends aside, which are the file's; an empty old text makes a new file. Raises PatchError.
    """
    texts: dict[str, str] = {}
    for path, old, new in edits:
        if problem := path_problem(path):
            raise PatchError(f"The path {path!r} {problem}.")
        if not _is_utf8(new):
            raise PatchError(f"The new text for {path} is not UTF-8 text; only text files can be changed.")
        text = texts[path] if path in texts else read(path)
        texts[path] = _replaced(path, text, old, new)
    if not texts:
        raise PatchError("There are no edits: give at least one.")
    return texts


def _replaced(path: str, text: str | None, old: str, new: str) -> str:
    if not old:
        if text is not None:
            raise PatchError(f"{path} already exists: give the text to replace in it.")
        return new
    if text is None:
        raise PatchError(f"{path} does not exist: name a file of the base, or leave the old text empty to create one.")
    count = _occurrences(text, old)
    if count > 1:
        times = f"{count}" if count < MANY else f"at least {count}"
        raise PatchError(f"The text to replace occurs {times} times in {path}; include more lines around it.")
    if count == 0 and (fitted := fitted_edit(text, old, new)):
        old, new = fitted
    elif count == 0:
        raise PatchError(f"The text to replace does not occur in {path}{_near_miss(text, old)}")
    elif "\n" not in old and "\r" not in new and text.count("\r\n") == text.count("\n"):
        new = new.replace("\n", "\r\n")  # nothing in the edit says how lines end here: the file does
    if old == new:
        raise PatchError(f"An edit of {path} replaces a text by itself.")
    return text.replace(old, new)


def _is_utf8(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _occurrences(text: str, old: str) -> int:
    """How many places `old` fits, at most MANY, counting overlapping ones, which str.count leaves out."""
    count, at = 0, text.find(old)
    while at >= 0 and count < MANY:
        count, at = count + 1, text.find(old, at + 1)
    return count


def _near_miss(text: str, old: str) -> str:
    if " ".join(old.split()) in " ".join(text.split()):
        return " with this spacing: copy indentation and line breaks exactly."
    return ": copy it exactly from the base, indentation included."
