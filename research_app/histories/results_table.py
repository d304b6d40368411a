"""Read a results table as karpathy/autoresearch's loop writes it: tab-separated, a header, one experiment a line.

The cells are anybody's text in any encoding. What cannot be understood is refused with its line and what to do about it.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from research_app.plain_text import without_refused
from training.spec import LARGEST_SCORE

MOST_BYTES = 32 << 20
MOST_ROWS = 20_000
MOST_TEXT = 10_000  # characters of a cell that are kept
MOST_PROBLEMS = 10  # in one message

# What each column is called elsewhere.
NAMES: Mapping[str, Sequence[str]] = {
    "commit": ("commit", "commit_hash", "hash", "sha"),
    "status": ("status", "outcome", "decision"),
    "description": ("description", "desc", "change", "idea", "experiment", "hypothesis", "notes", "message"),
    "at": ("timestamp", "datetime", "date", "time", "created_at"),
    "author": ("author", "agent"),
}
SCORES = ("val_bpb", "val_loss", "score", "metric")  # columns that hold the score where nobody says which
STATUSES = {
    "baseline": "baseline",
    **dict.fromkeys(("keep", "kept", "accept", "accepted"), "keep"),
    **dict.fromkeys(("discard", "discarded", "reject", "rejected", "revert", "reverted"), "discard"),
    **dict.fromkeys(("crash", "crashed", "fail", "failed", "error", "timeout", "oom"), "crash"),
}
NONE = ("", "-", "–", "none", "null", "n/a", "na", "nan", "inf", "+inf", "-inf")
NUMBER = re.compile(r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]{1,4})?")
COMMIT = re.compile(r"[0-9a-fA-F]{4,64}")


class TableRefused(ValueError):
    """The file cannot be imported; the message names lines and what to do."""


@dataclass(frozen=True)
class TableRow:
    """One experiment. `reported` is None where it has no score: it crashed, diverged or printed nothing."""

    number: int
    line: int
    outcome: str
    reported: float | None
    commit: str
    description: str
    author: str
    at: datetime | None
    extra: Mapping[str, str]


@dataclass(frozen=True)
class ResultsTable:
    """A whole table: the column of its score, its rows, and the hash of the file."""

    metric: str
    rows: Sequence[TableRow]
    digest: str


def read_table(data: bytes, name: str, metric: str = "", preferred: Sequence[str] = ()) -> ResultsTable:
    """The table in a file of that name. `metric` names the column of the score; without it the preferred names are looked for.

    Raises TableRefused.
    """
    if len(data) > MOST_BYTES:
        raise TableRefused(f"{name} has {len(data):,} bytes; at most {MOST_BYTES:,} are read. Import a part of it.")
    lines = lines_of(data)
    if not lines:
        raise TableRefused(f"{name} is empty: it needs a header such as commit, val_bpb, memory_gb, status, description.")
    head_at, header = lines[0]
    columns = Columns.of(header, f"{name}, line {head_at}", metric, preferred)
    body = [(at, line) for at, line in lines[1:] if line != header]  # tables that were joined repeat it
    if not body:
        raise TableRefused(f"{name} has a header and no experiment yet.")
    if len(body) > MOST_ROWS:
        raise TableRefused(f"{name} has {len(body):,} rows; at most {MOST_ROWS:,} are imported. Split it.")
    rows, problems = [], []
    for number, (at, line) in enumerate(body, 1):
        try:
            rows.append(columns.row(number, at, line))
        except ValueError as problem:
            problems.append(f"{name}, line {at}: {problem}")
    if problems:
        more = len(problems) - MOST_PROBLEMS
        raise TableRefused("\n".join(problems[:MOST_PROBLEMS] + ([f"… and {more} more lines like these."] if more > 0 else [])))
    return ResultsTable(columns.metric, with_baseline(rows), hashlib.sha256(data).hexdigest())


def lines_of(data: bytes) -> list[tuple[int, str]]:
    """Lines that hold something, with their numbers. UTF-8, or UTF-16 with its mark; other bytes stand as escapes."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", "backslashreplace")
    else:
        text = data.decode("utf-8-sig", "backslashreplace")
    text = text.replace("\r\n", "\n")
    lines = text.split("\n" if "\n" in text else "\r")
    return [(number, without_refused(line)) for number, line in enumerate(lines, 1) if line.strip()]


@dataclass(frozen=True)
class Columns:
    """Which cell of a line is what."""

    names: Sequence[str]
    metric: str
    places: Mapping[str, int]
    score: int

    @classmethod
    def of(cls, header: str, where: str, metric: str, preferred: Sequence[str]) -> "Columns":
        """Read the header. Raises TableRefused."""
        if "\t" not in header:
            kind = "commas" if "," in header else "no tab"
            raise TableRefused(
                f"{where}: the header has {kind}; columns are separated by tabs. "
                "It should read: commit⇥val_bpb⇥memory_gb⇥status⇥description."
            )
        names = [cell.strip() for cell in header.split("\t")]
        known = [name.lower() for name in names]
        if twice := next((name for name in known if name and known.count(name) > 1), ""):
            raise TableRefused(f"{where}: two columns are called {twice}. Rename one of them.")
        places = {
            what: known.index(name) for what, also in NAMES.items() if (name := next((n for n in also if n in known), ""))
        }
        if "status" not in places:
            raise TableRefused(
                f"{where}: no column says the outcome of an experiment; there are {', '.join(names)}. "
                "Name one of them status, with keep, discard, crash or baseline in every row."
            )
        wanted = [metric] if metric else [*preferred, *SCORES]
        score = next((known.index(name.lower()) for name in wanted if name.lower() in known), None)
        if score is None:
            what = f"called {metric}" if metric else "with the score is known by its name"
            raise TableRefused(f"{where}: no column {what}; there are {', '.join(names)}. Name it with --score COLUMN.")
        return cls(names, names[score], places, score)

    def row(self, number: int, at: int, line: str) -> TableRow:
        """One line. Raises ValueError with a sentence."""
        cells = self.cells(line)
        texts = {what: cut(cells[place].strip()) for what, place in self.places.items()}
        outcome = STATUSES.get(texts["status"].lower())
        if outcome is None:
            raise ValueError(f"the status is {shortened(texts['status'])}. Write keep, discard, crash or baseline.")
        reported = score_of(cells[self.score].strip(), self.names[self.score], outcome)
        used = {*self.places.values(), self.score}
        extra = {cut(name): cut(cell) for i, (name, cell) in enumerate(zip(self.names, cells, strict=True)) if i not in used}
        commit = texts.get("commit", "")
        return TableRow(
            number, at, outcome, reported, commit[:64], texts.get("description", ""), texts.get("author", "")[:200],
            moment(texts.get("at", "")), extra,
        )  # fmt: skip

    def cells(self, line: str) -> list[str]:
        """As many cells as the header has: a description in the last column may hold tabs, or be missing. Raises ValueError."""
        cells, wanted = line.split("\t"), len(self.names)
        talks = self.places.get("description") == wanted - 1
        if len(cells) > wanted and talks:
            cells = [*cells[: wanted - 1], "\t".join(cells[wanted - 1 :])]
        if len(cells) == wanted - 1 and talks:
            cells.append("")
        if len(cells) != wanted:
            raise ValueError(
                f"it has {len(cells)} cells where the header has {wanted} ({', '.join(self.names)}). "
                "Put one tab between two cells, and none inside one."
            )
        return cells


def score_of(text: str, column: str, outcome: str) -> float | None:
    """A reported score; None where it crashed or diverged. Raises ValueError with a sentence."""
    if text.lower() in NONE:
        if outcome in ("keep", "baseline"):
            raise ValueError(
                f"{column} is {shortened(text)} for a {outcome}. Write the score it was kept for, or another status."
            )
        return None
    if not NUMBER.fullmatch(text):
        comma = "with a decimal point" if re.fullmatch(r"[+-]?[0-9]+,[0-9]+", text) else "as a plain number, such as 0.9979"
        raise ValueError(f"{column} is {shortened(text)}. Write it {comma}.")
    value = float(text)
    if outcome == "crash" or not math.isfinite(value) or abs(value) > LARGEST_SCORE:
        return None
    # A discarded run that printed nothing stands as zero in these tables.
    return None if outcome == "discard" and value == 0 else value


def with_baseline(rows: list[TableRow]) -> list[TableRow]:
    """The same rows; those that say that they are the baseline are called so, whatever their status."""
    return [TableRow(**{**row.__dict__, "outcome": "baseline"}) if is_baseline(row) else row for row in rows]


def is_baseline(row: TableRow) -> bool:
    if row.outcome == "crash" or row.reported is None:
        return False
    words = row.description.strip().lower()
    named = "baseline" in (row.commit.lower(), words)
    return row.outcome == "baseline" or named or (row.number == 1 and words.startswith("baseline"))


def moment(text: str) -> datetime | None:
    """A time as ISO 8601 or in seconds since 1970; None for what is neither."""
    try:
        if NUMBER.fullmatch(text):
            return datetime.fromtimestamp(float(text), UTC)
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def cut(text: str) -> str:
    """A cell, or its beginning with how much is left out."""
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]} … and {len(text) - MOST_TEXT:,} more characters"


def shortened(text: str) -> str:
    """A cell in a sentence."""
    return "empty" if not text else f"“{text if len(text) <= 60 else text[:60] + '…'}”"
