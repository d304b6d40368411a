"""Titles: one short line that names a change in lists, headings, legends and commits. The hypothesis says the rest."""

from __future__ import annotations

import re

MOST = 72  # characters, as git likes a commit's subject
SHORTEST = 12  # characters of a clause that may stand alone
_ENDS = re.compile(r"[.:;!?…](?=\s)")


def require_title(title: str) -> None:
    """Raises ValueError, with what to do, for a title that is not one short line. An empty one is derived later."""
    if len(title) > MOST or len(title.splitlines()) > 1:
        raise ValueError(
            f"A title is one line of at most {MOST} characters, and this has {len(title)}: the hypothesis says more."
        )


def title_of(text: str) -> str:
    """A title out of a longer text: whole where it is short, else up to the last sentence or clause that fits, else a word."""
    line = " ".join(text.split())
    if len(line) <= MOST:
        return line.removesuffix(".") if line.count(".") == 1 else line
    ends = [match.start() for match in _ENDS.finditer(line[: MOST + 1]) if SHORTEST <= match.start() <= MOST]
    if ends:
        return line[: ends[-1]].rstrip()
    head = line[: MOST - 1]
    at_word = head.rsplit(" ", 1)[0] if " " in head[SHORTEST:] else head
    return f"{at_word.rstrip(' ,-–—')}…"
