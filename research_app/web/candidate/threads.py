"""Where threads stand in a comparison: on their own lines, moved along with their lines, or beside the file they were on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from research_app.models import PatchSet, Side, Thread
from research_app.web.diff.comparison import Comparison
from research_app.web.diff.diff import parse
from research_app.web.diff.lines import FileDiff, Line


@dataclass(frozen=True)
class Placed:
    """A thread with its place: `side` is the left ("old") or right ("new") of the comparison; `line` None: no line here."""

    thread: Thread
    side: str
    line: int | None
    outdated: bool  # its line is no longer there

    @property
    def version(self) -> str:
        """Changes with whatever a reader would see of it."""
        return version(len(self.thread.comments.all()), self.thread.resolved)


def version(comments: int, resolved: bool) -> str:
    return f"{comments}{'r' if resolved else 'o'}"


class Placing:
    """Places threads in one comparison. At most one git command for each older commit that threads were written on."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self._diffs: dict[tuple[str, str], Mapping[str, FileDiff]] = {}

    def place(self, threads: Iterable[Thread]) -> list[Placed]:
        """Threads of the right patch set and of earlier ones; later ones are about code that is not here yet."""
        right = self.comparison.right
        return [self._place(one) for one in threads if right is not None and one.patch_set.number <= right.number]

    def _place(self, thread: Thread) -> Placed:
        """Threads about the code itself go to the right, unless the left is exactly what they are about."""
        left, right = self.comparison.left, self.comparison.right
        assert right is not None
        was = commit_of(thread.patch_set, thread.side)
        if thread.side == Side.NEW and (left is None or thread.patch_set_id != left.pk or was == right.commit):
            side, now = "new", right.commit
        else:
            side, now = "old", self.comparison.before
        if thread.line is None:
            return Placed(thread, side, None, outdated=False)
        line = thread.line if was == now else self._moved(was, now, thread.path, thread.line)
        return Placed(thread, side, line, outdated=line is None)

    def _moved(self, was: str, now: str, path: str, line: int) -> int | None:
        if (was, now) not in self._diffs:
            files = parse(self.comparison.git_diff(was, now))
            self._diffs[was, now] = {file.path: file for file in files}
        if self.comparison.problem:
            return None
        file = self._diffs[was, now].get(path)
        return line if file is None else moved_line(file, line)


def commit_of(patch_set: PatchSet, side: str) -> str:
    return patch_set.commit if side == Side.NEW else patch_set.base_commit


def moved_line(file: FileDiff, line: int) -> int | None:
    """Where line `line` of the old file is in the new one; None where it was changed or removed."""
    shift = 0
    for hunk in file.hunks:
        if line < hunk.old:
            break
        if line < hunk.old + hunk.old_count:
            return next((each.new for each in hunk.lines if each.old == line and each.kind == "context"), None)
        shift = hunk.new + hunk.new_count - hunk.old - hunk.old_count
    return line + shift


def wanted_lines(placed: Iterable[Placed], files: Sequence[FileDiff], path: str) -> set[int]:
    """Lines of the new side that a gap must open for: those that somebody talks about."""
    shift = next((file for file in files if file.path == path), None)
    wanted = set()
    for one in placed:
        if one.thread.path != path or one.line is None:
            continue
        line = one.line if one.side == "new" or shift is None else moved_line(shift, one.line)
        wanted |= set() if line is None else {line}
    return wanted


def attach(placed: Iterable[Placed], files: Sequence[FileDiff]) -> list[Placed]:
    """Put threads on the lines and files that are shown. Those left over, whose file is not in this diff, are returned."""
    by_path = {file.path: file for file in files}
    lines: dict[str, dict[tuple[str, int | None], Line]] = {}
    left_over = []
    for one in placed:
        file = by_path.get(one.thread.path)
        if file is None:
            left_over.append(one)
            continue
        file.talk += 1
        file.open_talk += not one.thread.resolved
        if file.loaded:
            if file.path not in lines:
                lines[file.path] = _by_number(file)
            line = lines[file.path].get((one.side, one.line)) if one.line is not None else None
            _talk_at(line, one.side, file).append(one)
    return left_over


def _talk_at(line: Line | None, side: str, file: FileDiff) -> list[Placed]:
    """Where a thread is put: at its line, or at the file where it has none here."""
    if line is None:
        return file.threads
    return line.new_threads if side == "new" else line.old_threads


def _by_number(file: FileDiff) -> dict[tuple[str, int | None], Line]:
    """The lines that are shown of a file, by side and number."""
    lines_by_number: dict[tuple[str, int | None], Line] = {}
    for line in file.lines:
        lines_by_number.setdefault(("new", line.new), line)
        lines_by_number.setdefault(("old", line.old), line)
    return lines_by_number
