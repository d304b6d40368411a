"""The picture of the rooms and of the imports between them, docs/explanation/rooms.svg: `python -m tests.rooms` draws it.

A square of figures: how many modules of the room on the left import something of the room above. The order is that of the
layers to which `make check` holds the imports ([tool.importlinter] in pyproject.toml): all figures stand above the diagonal, so
nothing imports upwards and there is no circle.
"""

import tomllib
from collections import Counter
from html import escape
from pathlib import Path

import grimp

from research_app.home import CODE

PICTURE = Path(CODE) / "docs" / "explanation" / "rooms.svg"
PACKAGES = ("research_app", "agent", "training")
LEFT, TOP, CELL = 150, 40, 46


def layers() -> list[list[str]]:
    """The rooms by row, the highest first, as the contract has them."""
    contracts = tomllib.loads((Path(CODE) / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [contract] = [each for each in contracts if each["type"] == "layers"]
    return [[room.strip() for room in row.replace("|", ":").split(":")] for row in contract["layers"]]


def imports() -> Counter[tuple[str, str]]:
    """How many modules of one room import something of another."""
    rooms = [room for row in layers() for room in row]
    graph = grimp.build_graph(*PACKAGES)
    found: Counter[tuple[str, str]] = Counter()
    for module in graph.modules:
        if here := room_of(module, rooms):
            there = {room_of(name, rooms) for name in graph.find_modules_directly_imported_by(module)}
            found.update((here, room) for room in there - {here, ""})
    return found


def room_of(module: str, rooms: list[str]) -> str:
    """The room that a module stands in; empty for what stands in none: settings, words, the command line."""
    return next((room for room in rooms if module == room or module.startswith(f"{room}.")), "")


def drawn() -> str:
    """The picture."""
    rooms, counts = [room for row in layers() for room in row], imports()
    size, most = len(rooms) * CELL, max(counts.values())
    parts = [f'<rect width="{LEFT + size + 10}" height="{TOP + size + 10}" fill="#fffdf8"/>']
    for number, room in enumerate(rooms):
        middle = TOP + number * CELL + CELL / 2
        name = escape(room.removeprefix("research_app."))
        parts.append(f'<text x="{LEFT - 12}" y="{middle + 5}" text-anchor="end">{name} {number + 1}</text>')
        parts.append(f'<text x="{LEFT + number * CELL + CELL / 2}" y="{TOP - 12}" text-anchor="middle">{number + 1}</text>')
        parts += [cell(number, column, counts[room, other], most) for column, other in enumerate(rooms)]
    box = f"0 0 {LEFT + size + 10} {TOP + size + 10}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" font-family="sans-serif" font-size="14" fill="#2b2721">'
    return "\n".join([head, *parts, "</svg>\n"])


def cell(row: int, column: int, count: int, most: int) -> str:
    """One square: darker where more modules import; the diagonal is the room itself."""
    x, y = LEFT + column * CELL, TOP + row * CELL
    shade = f'fill="#2f6db3" fill-opacity="{0.12 + 0.6 * count / most:.2f}"' if count else 'fill="#f3eee3"'
    if row == column:
        shade = 'fill="#d8cfbd"'
    square = f'<rect x="{x + 1}" y="{y + 1}" width="{CELL - 2}" height="{CELL - 2}" rx="4" {shade}/>'
    return square + (f'<text x="{x + CELL / 2}" y="{y + CELL / 2 + 5}" text-anchor="middle">{count}</text>' if count else "")


if __name__ == "__main__":
    PICTURE.write_text(drawn())
