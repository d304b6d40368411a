"""The proposer `playbook`: structural ideas from the literature."""

from agent.proposal import Proposer
from research_app.loop.propose.registered import RegisteredProposer
from research_app.models import Author, Turn


def make(turn: Turn) -> Proposer:
    from agent.playbook import PlaybookProposer

    return PlaybookProposer()


PROPOSER = RegisteredProposer("playbook", "ideas from the literature", Author.SEARCH, make, by_default=lambda: True, order=1)
