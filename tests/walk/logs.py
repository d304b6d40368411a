"""What the processes wrote: tracebacks, errors and warnings that nothing explains."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

TROUBLE = re.compile(
    r"Traceback \(most recent call last\)|\b(?:WARNING|ERROR|CRITICAL)\b|\w*Warning: "
    r"|\bdied \d times|was ended by|could not be started"
)
EXPLAINED: Sequence[tuple[str, str]] = (
    # what a line says, and why it is no trouble
    (r"WARNING django\.request: (Not Found|Forbidden|Unauthorized|Conflict|Unprocess)", "the walk looks at answers itself"),
    (r"WARNING django\.request: (Bad Request|Gone|Method Not Allowed)", "the walk looks at answers itself"),
    (r"WARNING django\.security\.csrf", "the walk looks at answers itself"),
    (r"superuser privileges|SecurityWarning|uid=0|euid=0|User information: uid", "tests run as root"),
    (r"Memory overcommit must be enabled", "a setting of the machine, which Valkey asks of everybody"),
    (r"ERROR django\.request: Service Unavailable: /healthz", "it says that something is wrong, as it should"),
)


@dataclass(frozen=True)
class Line:
    """One line of a log that tells of trouble, with what follows it."""

    log: str
    text: str
    following: str = ""

    @property
    def kind(self) -> str:
        """What is alike of lines that say the same."""
        return re.sub(r"\d+", "#", self.text)[:200]


def troubles(folder: Path, printed: str, explained: Iterable[str] = ()) -> list[Line]:
    """Every line of every log, and of what `up` printed, that tells of trouble and that nothing explains.

    `explained`: patterns of what a story brought about on purpose.
    """
    known = re.compile("|".join([*(pattern for pattern, _ in EXPLAINED), *explained]))
    found = []
    texts = {path.name: path.read_text(errors="replace") for path in sorted(folder.glob("*.log*"))} | {"up": printed}
    for name, text in texts.items():
        lines = text.splitlines()
        for number, line in enumerate(lines):
            if TROUBLE.search(line) and not known.search(" ".join(lines[max(0, number - 1) : number + 1])):
                found.append(Line(name, line.strip(), "\n".join(lines[number + 1 : number + 40])))
    return found
