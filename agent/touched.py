"""Which constants a change touches, read off its diff alone: for finding candidates that turned the same knob."""

import re
from dataclasses import dataclass

# `NAME = …`, also annotated: any name at module level, in a class body capitals or an annotated field.
ASSIGNMENT = re.compile(r"(?P<indent>[ \t]*)(?P<name>[A-Za-z_]\w*)[ \t]*(?P<annotation>:[^=]+)?=(?!=)")
NO_CODE = re.compile(r"#.*|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")  # brackets in there close nothing
NO_CONSTANT = re.compile(r"\s*(?:lambda\b|[A-Za-z_][\w.]*\s*\()")  # what is called is no literal


@dataclass
class _Side:
    """One side of a hunk while its lines pass: the constant whose brackets are still open."""

    name: str = ""
    depth: int = 0

    def read(self, line: str) -> str:
        """The constant that this line belongs to; empty for none."""
        if self.depth <= 0:
            self.name, self.depth = _assigned(line), 0
        belongs = self.name
        bare = NO_CODE.sub("", line)
        self.depth += sum(bare.count(bracket) for bracket in "([{") - sum(bare.count(bracket) for bracket in ")]}")
        return belongs


def touched_in(diff: str) -> tuple[str, ...]:
    """Names of the constants that a unified diff changes, adds or removes in Python files, sorted.

    A table over several lines counts where the diff shows the line on which it begins.
    """
    found: set[str] = set()
    old, new = _Side(), _Side()
    python = False
    for line in diff.splitlines():
        sign, text = line[:1], line[1:]
        if line.startswith(("--- ", "+++ ")):
            python = line.rstrip('"\t ').endswith(".py") or (python and line.endswith("/dev/null"))
        elif line.startswith("@@"):
            old, new = _Side(), _Side()
        elif python and sign in ("-", "+", " "):
            names = {side.read(text) for side, signs in ((old, "- "), (new, "+ ")) if sign in signs}
            found |= names if sign != " " else set()
    return tuple(sorted(found - {""}))


def _assigned(line: str) -> str:
    match = ASSIGNMENT.match(line)
    if match is None or NO_CONSTANT.match(line, match.end()):
        return ""
    deep, name = bool(match["indent"]), match["name"]
    in_class = len(match["indent"].expandtabs(4)) <= 4 and (name.isupper() or match["annotation"])
    return name if not deep or in_class else ""
