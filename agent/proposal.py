"""The contract between the loop and whoever proposes changes: context in, proposal out.

A proposer reads nothing but its `Context` and keeps nothing between calls, so any worker can make any proposal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from agent.launched import UNKNOWN, Launched
from agent.title import require_title
from research_app.evidence.digits import Gain

JSON: TypeAlias = bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"] | None

CATEGORIES = (
    "architecture",
    "optimiser",
    "schedule",
    "data",
    "initialisation",
    "regularisation",
    "systems",
    "simplification",
)
OUTCOMES = ("pending", "evaluated", "crashed", "invalid", "duplicate")
MODES = ("explore", "exploit", "combine", "simplify")
"""New ideas, refining what worked, joining near misses, and removing what is not needed."""


class NothingToPropose(Exception):
    """The proposer has no change left to offer; the message says why and what to do."""


@dataclass(frozen=True)
class Edit:
    """An exact replacement: `old` occurs exactly once in the file at `path`; `old == ""` creates the file."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Answered:
    """What an author says in one thread of a review, and whether the change does what was asked there."""

    thread: int
    text: str
    done: bool


@dataclass(frozen=True)
class Proposal:
    """One change to the baseline, with what its author expects of it.

    `details` is kept with the candidate and comes back as `Tried.details`: the proposer's own memory of what it did.
    `title` names the change in one short line; without one it is cut from the hypothesis. `answer` and `answers` are for
    reviewers who asked for changes; `kept`: nothing is changed, and they say why.

    Raises ValueError when the category is unknown, nothing is edited or the title is too long.
    """

    hypothesis: str
    category: str
    edits: tuple[Edit, ...]
    expected_effect: str
    details: Mapping[str, JSON] = field(default_factory=dict)
    title: str = ""
    answer: str = ""
    answers: tuple[Answered, ...] = ()
    kept: bool = False

    def __post_init__(self) -> None:
        require_title(self.title)
        if self.category not in CATEGORIES:
            raise ValueError(f"The category {self.category!r} is unknown; use one of: {', '.join(CATEGORIES)}.")
        if not self.edits:
            raise ValueError("A proposal must hold at least one edit.")
        if not self.hypothesis.strip():
            raise ValueError("A proposal must say in its hypothesis what it changes and why.")


@dataclass(frozen=True)
class Tried:
    """The outcome of an earlier candidate of the project, whoever proposed it.

    `outcome` is one of `OUTCOMES`: "pending" while it runs. `effect` is candidate against baseline in the metric's
    good direction, in units of the metric: positive is better; None while unknown or when health hides it. `low` and
    `high` are its 95% interval, rounded like the effect. `why` says in a sentence why it is at its stage.
    """

    candidate: int
    author: str
    stage: str
    outcome: str
    hypothesis: str
    effect: float | None
    details: Mapping[str, JSON] = field(default_factory=dict)
    category: str = ""
    low: float | None = None
    high: float | None = None
    why: str = ""
    title: str = ""
    no_op: bool = False  # its runs were those of the baseline, to the last digit

    @property
    def gain(self) -> str:
        """The effect as people read it too: `+0.0144 [+0.0072 … +0.0216]`, or `unknown`."""
        if self.effect is None:
            return "unknown"
        gain = Gain(self.effect, None, self.low, self.high)
        return f"{gain.text} [{gain.interval}]" if gain.interval else gain.text

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise ValueError(f"The outcome {self.outcome!r} is unknown; use one of: {', '.join(OUTCOMES)}.")


@dataclass(frozen=True)
class Context:
    """All that a proposer may know.

    `files` are the editable files at the baseline's tip (path: text); `program` is the researcher's program.md;
    `history` is in the order of the candidates' numbers; `sigma` is the standard deviation of the score over seeds of
    one tree, None before calibration; `attempt` differs for every proposal of the project and is the only source of
    randomness: the same context gives the same proposal. `others` says in one sentence each what other proposers are
    working on at this moment. `category` and `mode` (one of `MODES`) are what is wanted next; empty leaves the choice.
    `launched` is how a run is started, and which knobs the project file wants.
    """

    files: Mapping[str, str]
    program: str
    history: tuple[Tried, ...]
    sigma: float | None
    attempt: int
    others: tuple[str, ...] = ()
    category: str = ""
    mode: str = ""
    launched: Launched = UNKNOWN


class Proposer(Protocol):
    """Anything that makes proposals. `name` is what pages, events and `Tried.author` call it."""

    @property
    def name(self) -> str: ...

    def propose(self, context: Context) -> Proposal:
        """Raises NothingToPropose when there is no change left to offer."""
        ...
