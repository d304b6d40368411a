"""The register of ends: what each test makes happen, and what the pages and the inbox must say of it."""

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from research_app.home import CODE
from tests.ends.world import World

DOCUMENT = Path(CODE) / "docs" / "reference" / "ends.md"
BEGIN, FINISH = "<!-- the table: python -m tests.ends -->\n", "<!-- the end of the table -->\n"
CHAPTERS = {
    "tests.ends.test_runs": "The run's own end",
    "tests.ends.test_scored": "Its model, when it is scored",
    "tests.ends.test_workers": "Its worker, and people",
    "tests.ends.test_steps": "A step of Signoff's own",
    "tests.ends.test_candidates": "A step of a candidate, a baseline, a queue",
    "tests.ends.test_verdicts": "A verdict, and what people decide",
    "tests.ends.test_later": "After the gates, and beside the loop",
}
NOT = "–"


@dataclass(frozen=True)
class End:
    """One way to end. In `page` and `inbox` an ellipsis stands for what differs from case to case."""

    number: int
    way: str
    made: str
    page: str
    inbox: str
    again: str

    @property
    def row(self) -> str:
        """As a line of the table."""
        cells = (str(self.number), self.way, self.made, f"“{self.page}”", self.inbox, self.again)
        return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


ENDS: dict[str, list[End]] = {}
Happening = Callable[..., str]


def end(way: str, made: str, page: str, *, inbox: str = NOT, again: str = "no") -> Callable[[Happening], Happening]:
    """Register a test that makes an end happen and returns the address of the page that tells of it.

    What the page and the inbox say is checked; where `inbox` is a dash, nothing there may ask for attention.
    """

    def register(happens: Happening) -> Happening:
        ENDS.setdefault(happens.__module__, []).append(End(0, way, made, page, inbox, again))

        @pytest.mark.django_db(transaction=True)
        @functools.wraps(happens)
        def test(world: World, **more: object) -> None:
            address = happens(world, **more) if more else happens(world)
            assert says(world.page(address), page), f"{address} says: {world.page(address)}"
            if inbox == NOT:
                assert world.attention() == "", "nobody is asked for what needs nobody"
            else:
                assert says(world.attention(), inbox), f"the inbox says: {world.attention()}"

        test.__signature__ = inspect.signature(happens)  # type: ignore[attr-defined]
        return test  # type: ignore[return-value]

    return register


def says(text: str, sentence: str) -> bool:
    """Whether a text has a sentence; an ellipsis stands for anything."""
    return re.search(".*?".join(re.escape(part.strip()) for part in sentence.split("…")), text) is not None


def rows() -> str:
    """The whole table, chapter by chapter, numbered through."""
    found, number = [], 0
    for module, title in CHAPTERS.items():
        import_module(module)
        found += [
            f"\n**{title}**\n",
            "| # | What happens | How the test makes it happen | The page says | The inbox says | Tried again |",
        ]
        found.append("|---|---|---|---|---|---|")
        for each in ENDS[module]:
            number += 1
            found.append(End(number, each.way, each.made, each.page, each.inbox, each.again).row)
    return "\n".join(found) + "\n\n"


def written() -> str:
    """The document with the table as the tests have it."""
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    return before + BEGIN + rows() + FINISH + rest.split(FINISH)[1]
