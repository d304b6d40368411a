"""The ways in which a conversation can end without a proposal. Each has a name, and each name is a fact that pages count."""

from __future__ import annotations

from enum import StrEnum


class Failure(StrEnum):
    """Why a conversation brought no proposal, in words for people."""

    NO_KEY = "no_key"  # there is no key, or the key was refused
    BAD_REQUEST = "bad_request"  # the service says that the request is wrong: an unknown model, too long a prompt
    RATE_LIMITED = "rate_limited"  # the service asks to wait longer than we may
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"  # the conversation's own deadline, however slowly the answer trickles in
    BROKEN_STREAM = "broken_stream"  # the answer ended in the middle, more than once in a row
    REFUSED = "refused"  # the model declined
    TRUNCATED = "truncated"  # the answer was longer than it may be, more than once in a row
    MALFORMED_CALL = "malformed_call"  # calls of tools that are no valid JSON or not as the tool takes them
    NO_CALL = "no_call"  # the model talks and calls no tool
    TOO_MANY_TURNS = "too_many_turns"
    CONTEXT_FULL = "context_full"
    GAVE_UP = "gave_up"  # the model says that it has nothing to propose
    BUDGET_SPENT = "budget_spent"
    STOPPED = "stopped"  # by a person
    OUT_OF_DATE = "out_of_date"  # what it was asked about was decided otherwise meanwhile

    @property
    def words(self) -> str:
        """As a page says it."""
        return WORDS.get(self, self.value.replace("_", " "))

    @property
    def passes(self) -> bool:
        """Whether the service's trouble is expected to end by itself."""
        return self in PASSING

    @property
    def goes_on_by_itself(self) -> bool:
        """Whether the conversation is taken up again after a pause, without a person's click."""
        return self in PASSING or self is Failure.NO_KEY

    @property
    def resumable(self) -> bool:
        """Whether the same conversation can go on once what stopped it is gone: nothing of it is lost."""
        return self in RESUMABLE


WORDS = {
    Failure.NO_KEY: "no valid key",
    Failure.MALFORMED_CALL: "malformed tool calls",
    Failure.NO_CALL: "no tool called",
    Failure.CONTEXT_FULL: "context full",
    Failure.OUT_OF_DATE: "out of date",
    Failure.GAVE_UP: "nothing worth a run",
}
PASSING = frozenset(
    {
        Failure.RATE_LIMITED,
        Failure.OVERLOADED,
        Failure.SERVER_ERROR,
        Failure.UNREACHABLE,
        Failure.TIMED_OUT,
        Failure.BROKEN_STREAM,
    }
)
FOR_A_PERSON = frozenset({Failure.NO_KEY, Failure.BAD_REQUEST, Failure.BUDGET_SPENT})
"""What stays as it is until a person mends it."""
RESUMABLE = PASSING | {Failure.NO_KEY, Failure.BUDGET_SPENT, Failure.STOPPED}


class ConversationFailed(Exception):
    """A conversation ended without a proposal; the message says why and what to do.

    `wait`: seconds for which the service asked to be left alone.
    """

    def __init__(self, failure: Failure, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.failure = failure
        self.wait = wait
