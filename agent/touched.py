"""Which constants a change touches, read off its diff alone: for finding candidates that turned the same knob."""

import re
from dataclasses import dataclass

from agent.diff import DiffFile, DiffHunk, parse_diff

# `NAME = …`, also annotated: any name at module level, in a class body capitals or an annotated field.
ASSIGNMENT = re.compile(r"(?P<indent>[ \t]*)(?P<name>[A-Za-z_]\w*)[ \t]*(?P<annotation>:[^=]+)?=(?!=)")
# Comments and strings: brackets in there close nothing. A string that is not closed goes on to the end of its line; looking
# for an end that is not there would take a time that grows with the square of the line.
NO_CODE = re.compile(r"#.*|(?P<long>\"\"\"|''')|\"(?:[^\"\\]|\\.)*+\"?|'(?:[^'\\]|\\.)*+'?")
NO_CONSTANT = re.compile(r"\s*(?:lambda\b|[A-Za-z_][\w.]*\s*\()")  # what is called is no literal


@dataclass
class _Side:
    """One side of a hunk while its lines pass: the constant whose brackets, or whose long string, are still open."""

    name: str = ""
    depth: int = 0
    quote: str = ""  # of the long string that is open

    def read(self, line: str) -> set[str]:
        """The constants that this line belongs to.

        A hunk may begin inside a string, whose end then looks like a beginning: what reads like an assignment counts there too.
        """
        assigned = _assigned(line)
        if self.quote:
            belongs = {self.name, assigned}
        elif self.depth > 0:
            belongs = {self.name}
        else:
            self.name, self.depth, belongs = assigned, 0, {assigned}
        self._pass(line)
        return belongs

    def _pass(self, line: str) -> None:
        """Follow brackets and long strings to the end of a line."""
        at, code = 0, []
        while True:
            if self.quote:
                end = line.find(self.quote, at)
                if end < 0:
                    break
                at, self.quote = end + len(self.quote), ""
            string = next((each for each in NO_CODE.finditer(line, at) if each["long"]), None)
            code.append(NO_CODE.sub("", line[at : string.start() if string else len(line)]))
            if string is None:
                break
            at, self.quote = string.end(), string["long"]
        bare = "".join(code)
        self.depth += sum(bare.count(bracket) for bracket in "([{") - sum(bare.count(bracket) for bracket in ")]}")


def touched_in(diff: str) -> tuple[str, ...]:
    """Names of the constants that a unified diff changes, adds or removes in Python files, sorted.

    A table over several lines counts where the diff shows the line on which it begins.
    """
    names = {name for file in parse_diff(diff) if is_python(file) for hunk in file.hunks for name in _changed(hunk)}
    return tuple(sorted(names - {""}))


def is_python(file: DiffFile) -> bool:
    """Whether a file is Python before or after the change."""
    return any(path is not None and path.endswith(".py") for path in (file.old_path, file.new_path))


def _changed(hunk: DiffHunk) -> set[str]:
    old, new = _Side(), _Side()
    changed_names: set[str] = set()
    for line in hunk.lines:
        for side, number in ((old, line.old), (new, line.new)):
            names = side.read(line.text) if number is not None else set()
            changed_names |= names if line.kind != "context" else set()
    return changed_names


def _assigned(line: str) -> str:
    match = ASSIGNMENT.match(line)
    if match is None or NO_CONSTANT.match(line, match.end()):
        return ""
    deep, name = bool(match["indent"]), match["name"]
    in_class = len(match["indent"].expandtabs(4)) <= 4 and (name.isupper() or match["annotation"])
    return name if not deep or in_class else ""
