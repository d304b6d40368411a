"""What an idea is: a change to the structure of training code, known from the literature, with its source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.tree import DoesNotApply, Source

Change = Callable[[Source, float], None]


@dataclass(frozen=True)
class Idea:
    """A transformation of the syntax tree. `dial` is its one number, where it has one: the first value is the literature's.

    `undoes` names the idea that it takes back, so that what landed is not undone at once.
    """

    name: str
    category: str
    claim: str  # what it changes and why it should help, as a sentence
    source: str  # authors, title, year
    change: Change
    dials: tuple[float, ...] = (0.0,)
    undoes: str = ""

    def applied(self, text: str, dial: float) -> str:
        """The text of a file with the idea in it. Raises DoesNotApply, with the reason."""
        source = Source(text)
        self.change(source, dial)
        new = source.result()
        if new == text:
            raise DoesNotApply("It would change nothing here.")
        Source(new)  # what does not parse is not proposed
        return new
