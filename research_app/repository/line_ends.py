"""Line ends: a change takes on those of the file that it is for, so that a way that loses them brings the same bytes.

A form's text field holds line feeds alone and sends CRLF for each; editors and mailers convert whole patches. A patch that
fits to the byte stays as it is. Where it fits but for carriage returns, what it keeps and removes is taken from the file
itself, and an added line ends as the line that it replaces, or the one before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from agent.diff import DiffFile, DiffHunk, lines_of, parse_diff

Read = Callable[[str], str | None]
BOM = "\ufeff"
CRLF_ENDS, LF_ENDS = "\r", ""  # what stands before the line feed


def fitted(patch: str, read: Read, usual: Callable[[str], str]) -> str:
    """The patch with the line ends of the files that it is for; unchanged where it fits as it is, or not at all.

    `read` gives a file's text in the base, None where there is none; `usual` what ends the lines of files like the one at a
    path: a new file gets it where the patch itself lost its line ends.
    """
    lines = patch.removeprefix(BOM).split("\n")
    lost = set()
    for file in parse_diff("\n".join(lines)):
        if lines[file.first].endswith("\r"):  # git never ends a header so: the patch was converted as a whole
            lost.add(file.first)
            lines[file.first : file.stop] = [line.removesuffix("\r") for line in lines[file.first : file.stop]]
    for file in parse_diff("\n".join(lines)):
        base = read(file.old_path) if file.old_path is not None and file.hunks else None
        if base is not None:
            end = usual_end(base) if "\n" in base else usual(file.path)
            for at, text in _fitted_to(_Base(lines_of(base), end), file, file.first in lost):
                lines[at] = text
        elif file.first in lost and file.old_path is None and usual(file.path) == CRLF_ENDS:
            for line in file.lines:
                lines[line.at] += CRLF_ENDS if line.newline and not line.text.endswith("\r") else ""
    return "\n".join(lines)


def fitted_edit(text: str, old: str, new: str) -> tuple[str, str] | None:
    """An edit (old, new) with the file's line ends at the one place where it fits but for them; None where there is none."""
    plain, wanted = text.replace("\r\n", "\n"), old.replace("\r\n", "\n")
    at = plain.find(wanted)
    if at < 0 or plain.find(wanted, at + 1) >= 0:
        return None
    before, within = plain.count("\n", 0, at), wanted.count("\n")
    lines = lines_of(text)
    start = sum(map(len, lines[:before])) + at - (plain.rfind("\n", 0, at) + 1)
    ends = [_end_of(line.removesuffix("\n")) for line in lines[before : before + within]]
    exact = _ended(wanted, ends, LF_ENDS)
    last = ends[-1] if ends else usual_end(text)
    return (exact, _ended(new.replace("\r\n", "\n"), ends, last)) if text.startswith(exact, start) else None


def usual_end(text: str) -> str:
    """What ends most lines of a text."""
    crlf = text.count("\r\n")
    return CRLF_ENDS if 2 * crlf > text.count("\n") else LF_ENDS


def _ended(text: str, ends: Sequence[str], last: str) -> str:
    """A text of line feeds with these ends, one after the other, and then the last again and again."""
    lines = text.split("\n")
    kept = [*ends, *[last] * len(lines)]
    return "".join(f"{line}{end}\n" for line, end in zip(lines[:-1], kept, strict=False)) + lines[-1]


def _end_of(line: str) -> str:
    return CRLF_ENDS if line.endswith("\r") else LF_ENDS


@dataclass(frozen=True)
class _Search:
    """Finds lines among lines: each different one is a character, so that looking for lines is looking for a text."""

    lines: Sequence[str]

    @cached_property
    def _codes(self) -> dict[str, str]:
        return {line: chr(code) for code, line in enumerate(dict.fromkeys(self.lines))}

    @cached_property
    def _coded(self) -> str:
        return "".join(map(self._codes.__getitem__, self.lines))

    def place_of(self, wanted: Sequence[str], stated: int, at_end: bool) -> int | None:
        """Where these lines stand, nearest to where they are said to be; as git, ahead before behind."""
        if not all(line in self._codes for line in wanted):
            return None
        coded = "".join(map(self._codes.__getitem__, wanted))
        last = len(self.lines) - len(wanted)
        if at_end and last >= 0 and self._coded.startswith(coded, last):
            return last
        stated = min(max(0, stated), len(self.lines))
        places = [self._coded.find(coded, stated), self._coded.rfind(coded, 0, stated + len(wanted))]
        return min((place for place in places if place >= 0), key=lambda place: abs(place - stated), default=None)


@dataclass(frozen=True)
class _Base:
    """A file of the base, by its lines."""

    ended: Sequence[str]  # each with its line feed, where it has one
    usual: str  # what ends a line that has none beside it

    @cached_property
    def lines(self) -> list[str]:
        return [line.removesuffix("\n") for line in self.ended]

    @cached_property
    def _exact(self) -> _Search:
        return _Search(self.lines)

    @cached_property
    def _loose(self) -> _Search:
        return _Search([_bare(line) for line in self.lines])

    def place_of(self, hunk: DiffHunk, lost: bool) -> int | None:
        """Where a hunk fits but for line ends; None where it fits nowhere, or as it is and its line ends were not lost."""
        old = [line.text for line in hunk.lines if line.old is not None]
        at_end = hunk.lines[-1].kind != "context"  # no line follows: git takes it for the end of the file
        if not old or (not lost and self._exact.place_of(old, hunk.old - 1, at_end) is not None):
            return None
        return self._loose.place_of(list(map(_bare, old)), hunk.old - 1, at_end)

    def end_at(self, index: int) -> str | None:
        """What ends a line; None where there is no such line, or where it is not ended."""
        if 0 <= index < len(self.ended) and self.ended[index].endswith("\n"):
            return _end_of(self.lines[index])
        return None


def _bare(line: str) -> str:
    return line.removesuffix("\r").removeprefix(BOM)


def _fitted_to(base: _Base, file: DiffFile, lost: bool) -> Iterator[tuple[int, str]]:
    """(index among the patch's lines, what stands there instead), for hunks that fit but for line ends."""
    for hunk in file.hunks:
        if not hunk.lines or (place := base.place_of(hunk, lost)) is None:
            continue
        old = [line for line in hunk.lines if line.old is not None]
        for line, text in zip(old, base.lines[place : place + len(old)], strict=True):
            yield line.at, f"{'-' if line.kind == 'removed' else ' '}{text}"
        yield from _added(base, hunk, place, place == 0 and base.lines[0].startswith(BOM) > old[0].text.startswith(BOM))


def _added(base: _Base, hunk: DiffHunk, place: int, lost_mark: bool) -> Iterator[tuple[int, str]]:
    """The added lines of a hunk, each ended as the line that it replaces, or else as one beside it."""
    at, removed = place, 0  # the next line of the base; how many of those just before it were removed, and not yet replaced
    for line in hunk.lines:
        if line.kind == "added":
            beside = [base.end_at(at - removed) if removed else None, base.end_at(at - 1), base.end_at(at), base.usual]
            end = next(each for each in beside if each is not None) if line.newline else ""
            first = BOM if lost_mark and line.new == hunk.new else ""
            yield line.at, f"+{first}{line.text.removesuffix(CRLF_ENDS)}{end}"
            removed = max(0, removed - 1)
        else:
            at, removed = at + 1, removed + 1 if line.kind == "removed" else 0
