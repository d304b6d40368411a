"""The envelope: what a candidate's runs may use beside the baseline's, by figures that no run states itself.

Both arms spend the same counted budget. So processor time (on a GPU device time and energy), memory and, where time is the
budget, the time of the whole command may differ by what code costs, and no more: work that nobody counted shows here, wherever
and however it was done. Widths come from measured spread (docs/reference/detectors.md). Beyond them evidence is invalid; a
person may widen the envelope of one candidate. Below, but costly, a gain is in quarantine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from research_app.evidence.digits import number

RUN_WIDTH = 1.8  # times the baseline's, of one run
ARM_WIDTH = 1.6  # of the mean of several runs, on which the machine's load averages out
QUARANTINE_WIDTH = 1.25  # of that mean: a gain that costs so much more is for a person to judge
QUARANTINE_WIDTH_OF_FEW = 1.4  # the same of one run or two, whose load nothing averages out
MOST_DRAWS = 1.5  # times as wide at most, where a smaller model or smaller batches made more steps: each has its own cost
MOST_DRAWS_IN_QUARANTINE = 1.2  # the same for quarantine: whoever draws in pieces to be allowed more gains little by it
CPU_SLACK = 0.5  # seconds: what starting Python and reading its libraries varies by
KNOWN_SLACK = 0.2  # the same, where what the start took is known and subtracted
OTHER_MINUTES = 1.25  # times as wide, where no run of the baseline was measured in the same minutes
ENOUGH = 3  # runs of an arm
MEMORY_WIDTH, MEMORY_SLACK = 1.5, 128 << 20  # times, and bytes that are nothing beside what PyTorch takes
WALL_SHARE, WALL_SLACK = 0.05, 2.0  # of a budget of time, and seconds: what a command may take longer in all


@dataclass(frozen=True)
class Spent:
    """What one run used, as measured outside. None: not measured on its machine. `share`: of its budget, what this attempt
    spent, by count."""

    cpu_seconds: float | None
    device_seconds: float | None
    energy: float | None  # joules
    memory: float | None  # bytes
    wall_seconds: float | None
    share: float = 1.0
    draws: float | None = None  # requests for text
    tokens: float | None = None  # what these requests brought
    parameters: float | None = None  # by the checkpoint's header
    startup: float | None = None  # of `cpu_seconds`, what went before the first text was drawn


@dataclass(frozen=True)
class TimeBudget:
    """A budget of time: seconds, and the share of it that a command may take longer in all. `spread`: times the baseline's
    median that the longest of its own runs took, where nobody but the code holds them to the budget."""

    seconds: float
    share: float = WALL_SHARE
    spread: float = 1.0


@dataclass(frozen=True)
class Measured:
    """One quantity beside the baseline's. `times` the baseline's; beyond `allowed` the arms cannot be compared."""

    quantity: str
    times: float
    allowed: float
    quarantined_from: float  # from here on a gain needs a person
    sentence: str

    @property
    def beyond(self) -> bool:
        return self.times > self.allowed


CPU = "processor time"


@dataclass(frozen=True)
class Quantity:
    """A figure that is compared, in the words of a sentence; `widths` of a single run, of several, and of quarantine."""

    words: str
    of: Callable[[Spent], float | None]
    written: Callable[[float], str]
    widths: tuple[float, float, float] = (RUN_WIDTH, ARM_WIDTH, QUARANTINE_WIDTH)
    per_work: bool = True
    slack: float = 0.0


def _seconds(value: float) -> str:
    return f"{number(value)} s"


QUANTITIES = (
    Quantity(CPU, lambda run: run.cpu_seconds, _seconds, slack=CPU_SLACK),
    Quantity("device time", lambda run: run.device_seconds, _seconds),
    Quantity("energy of the device", lambda run: run.energy, lambda value: f"{number(value)} J"),
    Quantity(
        "peak memory", lambda run: run.memory, lambda value: f"{value / 2**20:,.0f} MiB",
        widths=(MEMORY_WIDTH, MEMORY_WIDTH, math.inf), per_work=False, slack=MEMORY_SLACK,
    ),
)  # fmt: skip


def envelope(
    baseline: Sequence[Spent],
    candidate: Sequence[Spent],
    *,
    same_minutes: bool,
    widened: float = 1.0,
    time: TimeBudget | None = None,
) -> list[Measured]:
    """Every quantity that both arms have, beside what is allowed.

    `same_minutes`: the baseline's runs ran beside the candidate's, under the same load. `widened`: times the baseline's that a
    person allowed for this candidate. `time`: where that is the budget.
    """
    quantities = [_measured(each, baseline, candidate, same_minutes, widened) for each in QUANTITIES]
    if time is not None:
        usual = [run.wall_seconds for run in baseline if run.wall_seconds is not None]
        unused = max(0.0, time.seconds - median(usual)) if usual else 0.0  # whoever spends less time leaves it to others
        slack, widths = WALL_SLACK + time.share * time.seconds + unused, (time.spread, time.spread, math.inf)
        wall = Quantity("time of the whole command", lambda run: run.wall_seconds, _seconds, widths, False, slack)
        quantities.append(_measured(wall, baseline, candidate, same_minutes, widened))
    return [each for each in quantities if each is not None]


def _measured(
    quantity: Quantity, baseline: Sequence[Spent], candidate: Sequence[Spent], same_minutes: bool, widened: float
) -> Measured | None:
    before = _usual_startup(baseline) if quantity.words == CPU else 0.0
    theirs, mine = (_values(quantity, arm, before) for arm in (baseline, candidate))
    if not theirs or not mine:
        return None
    usual, several = median(theirs), len(mine) >= ENOUGH
    looser = 1.0 if same_minutes or not quantity.per_work else OTHER_MINUTES
    extra = (KNOWN_SLACK if before else quantity.slack) / usual
    smaller = _more_draws(baseline, candidate) if quantity.per_work else 1.0
    single, mean = (max(width * looser * smaller + extra, widened) for width in quantity.widths[:2])
    width = quantity.widths[2] if several else quantity.widths[2] * QUARANTINE_WIDTH_OF_FEW / QUARANTINE_WIDTH
    quarantined_from = max(width * looser * min(smaller, MOST_DRAWS_IN_QUARANTINE) + extra, widened)
    times, allowed, whose = max(mine) / usual, single, "in one run"
    if several and times <= single:
        times, allowed, whose = fmean(mine) / usual, mean, f"on the mean of {len(mine)} runs"
    since = " from the first text on" if before else ""
    beside = "of the same minutes" if same_minutes else "of other minutes"
    used, theirs_used = quantity.written(times * usual), quantity.written(usual)
    sentence = (
        f"{quantity.words}{since} {whose} is {used}, {times:.2f} times the {theirs_used} of the baseline's runs {beside}; "
        f"{allowed:.2f} times are allowed"
    )
    return Measured(quantity.words, times, allowed, quarantined_from, sentence)


def _usual_startup(baseline: Sequence[Spent]) -> float:
    """Seconds before the first draw in the baseline's runs: what a candidate does there beyond them counts as its work."""
    known = [run.startup for run in baseline if run.startup is not None]
    return median(known) if len(known) == len(baseline) and known else 0.0


def _more_draws(baseline: Sequence[Spent], candidate: Sequence[Spent]) -> float:
    """How many times as many steps the candidate made for the same counted work, as far as their size explains it: with as many
    tokens a draw and as many parameters as the baseline, more of them are work that was not counted."""
    more = _times(candidate, baseline, lambda run: run.draws / run.share if run.draws and run.share > 0 else None)
    shorter = _times(baseline, candidate, lambda run: run.tokens / run.draws if run.tokens and run.draws else None)
    smaller = _times(baseline, candidate, lambda run: run.parameters)
    return max(1.0, min(MOST_DRAWS, more, max(shorter, smaller)))


def _times(above: Sequence[Spent], below: Sequence[Spent], figure: Callable[[Spent], float | None]) -> float:
    """The ratio of the medians of two arms; 1 where one has no such figure."""
    ours, others = ([value for run in arm if (value := figure(run))] for arm in (above, below))
    return median(ours) / median(others) if ours and others else 1.0


def _values(quantity: Quantity, runs: Sequence[Spent], before: float) -> list[float]:
    """What each run used beyond `before`, per whole budget of counted work."""
    values = [(quantity.of(run), run.share if quantity.per_work else 1.0) for run in runs]
    return [(value - before) / share for value, share in values if value is not None and value > before and share > 0]
