"""Whose turn it is in a round: who has something to propose, who rests, and who is out of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from agent.failure import FOR_A_PERSON, Failure
from research_app.loop.propose.registered import PROPOSERS
from research_app.models import BaselineVersion, Round, TurnState

RESTS_AFTER = 3  # turns in a row without a candidate, after which a proposer rests, longer each time
OUT_AFTER = 10  # failed turns in a row, after which a round goes on without it
FIRST_REST, LONGEST_REST = timedelta(minutes=1), timedelta(hours=1)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=15)
FRUITLESS = (TurnState.FAILED, TurnState.DECLINED)


def whose_turn(round_: Round, base: BaselineVersion) -> str | None:
    """The proposer with the fewest turns in this round, of those that have something to propose for this baseline now."""
    done = set(round_.turns.filter(base=base, state=TurnState.EMPTY).values_list("proposer", flat=True))
    done |= excluded(round_) | set(why_not(round_)) | busy(round_) | set(on_pause(round_))
    had = Counter(round_.turns.values_list("proposer", flat=True))
    left = [name for name in dict.fromkeys(round_.proposers) if name not in done]
    return min(left, key=lambda name: had[name]) if left else None


def why_not(round_: Round) -> dict[str, str]:
    """Proposers of a round that cannot propose now and may later, for want of a budget or a key: name → why."""
    gone = {name: "It is no proposer of this version." for name in round_.proposers if name not in PROPOSERS}
    reasons = gone | {name: PROPOSERS[name].why_not(round_.project) for name in round_.proposers if name not in gone}
    return {name: why for name, why in reasons.items() if why}


def busy(round_: Round) -> set[str]:
    """Proposers of a round of which this process has as many at work as it may: others go first."""
    return {name for name in round_.proposers if name in PROPOSERS and PROPOSERS[name].busy()}


@dataclass(frozen=True)
class EndedTurn:
    """How one turn of a proposer ended."""

    state: str
    failure: str
    at: datetime | None

    @property
    def failed(self) -> bool:
        """True for a failure of the proposer itself, and not of what a person must mend."""
        return self.state == TurnState.FAILED and self.failure not in FOR_A_PERSON


def excluded(round_: Round) -> set[str]:
    """Proposers whose last turns in this round all failed by their own fault."""
    rows = {name: last_turns(round_, name) for name in set(round_.proposers)}
    return {name for name, last in rows.items() if len(last) == OUT_AFTER and all(turn.failed for turn in last)}


def on_pause(round_: Round) -> dict[str, datetime | None]:
    """Proposers that are asked again later by themselves: name → when. None: once the conversation of a turn has gone on.

    A service that is in trouble is not asked for more until what it had begun goes on, and a proposer that found nothing
    several times in a row is asked less and less often.
    """
    waiting = set(round_.turns.waiting().values_list("proposer", flat=True))
    pauses: dict[str, datetime | None] = dict.fromkeys(waiting)
    for name in set(round_.proposers) - waiting:
        until = rests_until(last_turns(round_, name))
        if until and until > timezone.now():
            pauses[name] = until
    return pauses


def rests_until(last: Sequence[EndedTurn]) -> datetime | None:
    """When a proposer is asked again after its last turns, newest first; None where it does not rest."""
    fruitless = next((n for n, turn in enumerate(last) if turn.state not in FRUITLESS), len(last))
    if fruitless < RESTS_AFTER or last[0].at is None:
        return None
    return last[0].at + growing(FIRST_REST, LONGEST_REST, fruitless - RESTS_AFTER)


def growing(first: timedelta, longest: timedelta, times: int) -> timedelta:
    """A pause that doubles with every repetition."""
    return min(longest, first * float(2 ** min(times, 20)))


def last_turns(round_: Round, name: str) -> list[EndedTurn]:
    """How the last turns of a proposer in a round ended, newest first (one query).

    Left out are those that a person stopped, and those whose budget was spent on the way; a budget that never had room for a
    question counts.
    """
    ended = round_.turns.filter(proposer=name).exclude(state__in=(TurnState.WORKING, TurnState.WAITING)).order_by("-number")
    ended = ended.exclude(conversation__failure=Failure.STOPPED, state=TurnState.FAILED)
    ended = ended.exclude(conversation__failure=Failure.BUDGET_SPENT, conversation__requests__gt=0)
    rows = ended.values_list("state", "conversation__failure", "ended_at")[:OUT_AFTER]
    return [EndedTurn(state, failure or "", at) for state, failure, at in rows]


def state_after(failure: Failure) -> TurnState:
    """How a turn stands whose conversation ended without a change."""
    if failure.goes_on_by_itself:
        return TurnState.WAITING
    return TurnState.DECLINED if failure is Failure.GAVE_UP else TurnState.FAILED
