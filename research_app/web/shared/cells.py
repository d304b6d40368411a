"""Cells of a CSV: what goes into a spreadsheet stays what it is. Text of an agent is no formula there either."""

from datetime import UTC, datetime

FORMULAS = ("=", "+", "-", "@", "|", "＝", "＋", "－", "＠", "｜")  # a cell that begins so is run by some spreadsheet

Cell = str | int | float | bool | datetime | None


class Echo:
    """A file that gives each line back, for the writer of CSV."""

    def write(self, line: str) -> str:
        return line


def written(cell: Cell) -> str:
    """A cell: numbers with every digit, times in UTC, text that no spreadsheet runs."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, datetime):
        return cell.astimezone(UTC).isoformat(timespec="seconds")
    if isinstance(cell, int | float):
        return f"{cell:.17g}" if isinstance(cell, float) else str(cell)
    return harmless(cell)


def harmless(text: str) -> str:
    """With an apostrophe before what a spreadsheet would run as a formula, also behind spaces or control characters."""
    plain = "".join(letter for letter in text if letter in "\t\n" or letter.isprintable())
    return f"'{plain}" if plain.lstrip().startswith(FORMULAS) or plain.startswith(("\t", "\n")) else plain
