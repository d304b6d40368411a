"""Which constants a patch set moves and nothing else: {path:name: [from, to]}."""

from collections.abc import Mapping

from agent.constants import Value

Moves = Mapping[str, tuple[Value, Value]]


def moves_read(stored: object) -> Moves:
    """The whole moves of a stored object; none where one of them is damaged: a change that moved more is another change."""
    rows = stored if isinstance(stored, Mapping) else {}
    moves = {str(name): move for name, row in rows.items() if (move := _move(row)) is not None}
    return moves if len(moves) == len(rows) else {}


def _move(row: object) -> tuple[Value, Value] | None:
    if not isinstance(row, list | tuple) or len(row) != 2:
        return None
    before, after = row
    return (before, after) if isinstance(before, Value) and isinstance(after, Value) else None
