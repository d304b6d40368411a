"""The proposer `claude`: a conversation with a model for each turn, which needs a key and costs money."""

from agent.proposal import Proposer
from research_app.loop.propose.registered import RegisteredProposer
from research_app.models import Author, Project, Turn


def make(turn: Turn) -> Proposer:
    from research_app.loop.propose.conversation.converse import ClaudeProposer

    return ClaudeProposer(turn)


def why_not(project: Project) -> str:
    from research_app.loop.propose.conversation.converse import unavailable

    return unavailable(project)


def busy() -> bool:
    from research_app.loop.propose.conversation.converse import talking

    return not talking.free


def has_key() -> bool:
    from research_app.loop.propose.conversation import converse

    return converse.has_key()


PROPOSER = RegisteredProposer("claude", "a model", Author.AGENT, make, why_not, busy, by_default=has_key, paid=True, order=3)
