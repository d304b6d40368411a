"""The same change where the lines around it differ: a diff as exact replacements, each of lines that occur once in the file."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from agent.diff import DiffFile, DiffHunk, parse_diff
from agent.proposal import Edit

CONTEXTS = ((0, 0), (1, 0), (0, 1), (1, 1), (2, 2), (3, 3))  # unchanged lines before and after, the fewest that make it unique


class NotFound(Exception):
    """The lines that a diff changes are not in the files, or in several places."""


def edits_of(diff: str, texts: Mapping[str, str]) -> tuple[Edit, ...]:
    """The diff as edits of these files (path to text). Raises NotFound."""
    edits: list[Edit] = []
    for file in parse_diff(diff):
        if file.kind == "added" and file.path not in texts:
            edits.append(Edit(file.path, "", "".join(f"{line.text}\n" for line in file.lines)))
        elif file.kind == "modified" and file.path in texts:
            edits += _edits_of_file(file, texts[file.path])
        else:
            raise NotFound(f"{file.path} is {file.kind} there, and cannot be here")
    return tuple(edits)


def _edits_of_file(file: DiffFile, text: str) -> Iterator[Edit]:
    for hunk in file.hunks:
        for before, old, new, after in _chunks(hunk):
            edit = _unique(file.path, text, before, old, new, after)
            text = text.replace(edit.old, edit.new)
            yield edit


def _chunks(hunk: DiffHunk) -> Iterator[tuple[Sequence[str], Sequence[str], Sequence[str], Sequence[str]]]:
    """Runs of changed lines: the unchanged lines before, what goes, what comes, the unchanged lines after."""
    runs = [(changed, list(lines)) for changed, lines in groupby(hunk.lines, lambda line: line.kind != "context")]
    for at, (changed, lines) in enumerate(runs):
        if changed:
            around = [[each.text for each in runs[i][1]] if 0 <= i < len(runs) else [] for i in (at - 1, at + 1)]
            old, new = ([line.text for line in lines if line.kind == kind] for kind in ("removed", "added"))
            yield around[0], old, new, around[1]


def _unique(path: str, text: str, before: Sequence[str], old: Sequence[str], new: Sequence[str], after: Sequence[str]) -> Edit:
    for above, below in CONTEXTS:
        head, tail = before[-above:] if above else [], after[:below]
        gone = "".join(f"{line}\n" for line in (*head, *old, *tail))
        if gone and text.count(gone) == 1:
            return Edit(path, gone, "".join(f"{line}\n" for line in (*head, *new, *tail)))
    raise NotFound(f"the lines that it changes in {path} are not there, or in several places")
