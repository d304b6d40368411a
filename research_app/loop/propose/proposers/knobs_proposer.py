"""The proposer `knobs`: values of the code and its settings, searched with optuna."""

from agent.proposal import Proposer
from research_app.loop.propose.registered import RegisteredProposer
from research_app.models import Author, Turn


def make(turn: Turn) -> Proposer:
    from agent.knobs import KnobsProposer

    return KnobsProposer()


PROPOSER = RegisteredProposer("knobs", "values, searched", Author.SEARCH, make, by_default=lambda: True, order=2)
