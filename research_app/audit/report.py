"""What an audit found: faults with their kind and position, and what could not be checked."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

MOST = 200  # faults that are kept; all are counted


class Kind(StrEnum):
    """What kind of tampering a fault shows."""

    EVENT_ALTERED = "event altered"
    EVENT_DELETED = "event deleted"
    EVENTS_SWAPPED = "events swapped"
    LOG_TRUNCATED = "end of the log deleted"
    LOG_EMPTIED = "log emptied"
    LOG_REWRITTEN = "log rewritten"
    GUARD_MISSING = "append-only guard missing"
    CHECKPOINT_FORGED = "checkpoint forged"
    CHECKPOINT_MISSING = "checkpoint missing"
    ROW_ALTERED = "row altered"
    ROW_DELETED = "row deleted"
    ROW_FORGED = "row forged"
    EVIDENCE_ALTERED = "evidence altered"
    EVIDENCE_MOVED = "evidence of another candidate"
    VOTE_UNBOUND = "vote without what was seen"
    VOTE_RESTORED = "vote restored or voided by hand"
    STAGE_ALTERED = "stage altered"
    DIFF_ALTERED = "diff altered"
    COMMIT_BY_HAND = "commit by hand on the baseline"
    TRAILERS_FORGED = "forged trailers"
    BASELINE_ALTERED = "baseline altered"
    PROJECT_MIXED = "event of another project"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Fault:
    """One thing that is not what it was. `event`: the sequence of the event that it is about or that vouches for it."""

    kind: Kind
    where: str
    sentence: str
    event: int | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.kind}. {self.sentence}"


@dataclass
class Report:
    """All that an audit found so far."""

    faults: list[Fault] = field(default_factory=list)
    counts: Counter[Kind] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)  # how many of what
    unchecked: Counter[str] = field(default_factory=Counter)  # how many, by a sentence that says of what and why not
    progress: Callable[[str], None] = lambda line: None

    def fault(self, kind: Kind, where: str, sentence: str, event: int | None = None) -> None:
        """Note one fault."""
        self.counts[kind] += 1
        if len(self.faults) < MOST:
            self.faults.append(Fault(kind, where, sentence, event))

    def cannot(self, sentence: str, count: int = 1) -> None:
        """Note that something could not be checked; the same sentence is counted."""
        self.unchecked[sentence] += count

    @property
    def in_order(self) -> list[Fault]:
        """The faults in the order of the log; those that no event is known for come last."""
        return sorted(self.faults, key=lambda fault: (fault.event is None, fault.event or 0))

    @property
    def whole(self) -> bool:
        """True where nothing wrong was found."""
        return not self.counts
