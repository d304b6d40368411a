"""The registry of proposers: what is known of each without its libraries, which take seconds to import."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.proposal import Proposer
from research_app.models import Author, Project, Turn
from training.registry import Registry


@dataclass(frozen=True)
class RegisteredProposer:
    """A proposer by its name. `make` imports what it needs and returns the one for a turn.

    `why_not` says why it cannot propose in a project now, although it may later; `busy`, that this process has as many at
    work as it may. `by_default`: whether a first project asks it; `paid`: it asks a service that costs money.
    """

    name: str
    words: str
    kind: Author
    make: Callable[[Turn], Proposer]
    why_not: Callable[[Project], str] = lambda project: ""
    busy: Callable[[], bool] = lambda: False
    by_default: Callable[[], bool] = lambda: False
    paid: bool = False
    order: int = 100


PROPOSERS = Registry("proposer", "research_app.loop.propose.proposers", "PROPOSER", RegisteredProposer)


def default_proposers(*, paid: bool) -> list[str]:
    """Who is asked where nobody says otherwise; those that cost money only where `paid` ones are wanted."""
    return [each.name for each in PROPOSERS.values() if each.by_default() and (paid or not each.paid)]
