"""What a change resolves to: measured facts of both arms side by side, and the constants whose value changed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agent.diff import DiffLine, parse_diff
from agent.touched import ASSIGNMENT, is_python
from research_app.evidence.averages import mean
from research_app.loop.judge.same_minutes import BENT, of_same_minutes
from research_app.models import PatchSet, Run
from research_app.web.shared import figures
from training.reported_by_run import said_by_run

MAX_VALUE = 40  # characters of a constant's text
FACTS = (  # key, words, how it is written
    ("parameters", "parameters", figures.quantity),
    ("layers", "layers", figures.quantity),
    ("width", "width", figures.quantity),
    ("heads", "heads", figures.quantity),
    ("flops_per_token", "FLOPs per token", figures.quantity),
    ("tokens", "tokens seen", figures.quantity),
    ("steps", "steps", figures.quantity),
    ("flops", "training FLOPs", figures.quantity),
    ("checkpoint_bytes", "checkpoint", figures.size),
    ("cpu_seconds", "processor time", figures.seconds),
    ("account", "account kept by", figures.quantity),
    ("peak_memory_bytes", "peak memory", figures.size),
    ("device_memory_bytes", "memory of its devices", figures.size),
    ("device_peak_memory_bytes", "peak device memory", figures.size),
    ("device_busy_seconds", "devices busy", figures.seconds),
    ("tokens_per_second", "tokens/s", figures.quantity),
    ("train_seconds", "training time", figures.seconds),
)


@dataclass(frozen=True)
class Fact:
    """One measured quantity in both arms: means over their runs."""

    words: str
    before: str
    after: str
    change: str
    same: bool
    note: str = ""
    self_reported: bool = False  # said by the runs themselves: nobody else knows it


def facts_table(reference: Sequence[Run], mine: Sequence[Run]) -> list[Fact]:
    """What a change resolves to: measured, not described. Only what both arms measured; speed, which the machine's load bends,
    over the runs of the same minutes alone (at most one query)."""
    scored = [[run for run in arm if run.score is not None] for arm in (reference, mine)]
    table, beside = [], of_same_minutes(scored[0], scored[1])
    for key, words, written in FACTS:
        arms = (beside.baseline, beside.candidate) if key in BENT and not beside.why_not else (reference, mine)
        before, after = mean_fact(arms[0], key), mean_fact(arms[1], key)
        if before is None or after is None:
            continue
        self_reported = any(said_by_run(run.summary.facts, key) for run in (*reference, *mine) if key in run.summary.facts)
        if key in BENT and beside.why_not:
            table.append(Fact(words, written(before), written(after), "not comparable", True, beside.why_not, self_reported))
            continue
        relative = (after - before) / before if before else 0.0
        same = abs(relative) < 0.0005
        change = "same" if same else figures.percent(relative, signed=True)
        table.append(Fact(words, written(before), written(after), change, same, self_reported=self_reported))
    return table


def mean_fact(runs: Sequence[Run], key: str) -> float | None:
    """Mean of a measured fact over the runs that completed; None where none of them has it as a number."""
    values = [
        run.train_seconds if key == "train_seconds" else run.summary.facts.get(key) for run in runs if run.score is not None
    ]
    return mean([number for value in values if (number := figures.as_number(value)) is not None])


@dataclass(frozen=True)
class Constant:
    """A constant of the code that a change sets: its text before and after, "" where it does not stand on one line."""

    name: str
    before: str
    after: str


def constants_of(patch_set: PatchSet | None) -> list[Constant]:
    """The constants that a change moves, read off its diff: nobody's word is taken for it. Those that it adds come last."""
    constants = constants_in(patch_set.diff, patch_set.touched.split()) if patch_set else []
    return sorted(constants, key=lambda constant: not constant.before)


def constants_in(diff: str, names: Iterable[str]) -> list[Constant]:
    """Where a diff moves some constants, in the order of their names. One pass over the diff."""
    values: dict[str, dict[str, str]] = {name: {"removed": "", "added": ""} for name in names}
    for line in changed_lines(diff) if values else ():
        match = ASSIGNMENT.match(line.text)
        if match and match["name"] in values and not values[match["name"]][line.kind]:
            value = line.text[match.end() :].split("  #")[0].strip()
            values[match["name"]][line.kind] = value if len(value) <= MAX_VALUE else f"{value[:MAX_VALUE]}…"
    return [Constant(name, sides["removed"], sides["added"]) for name, sides in values.items()]


def changed_lines(diff: str) -> Iterator[DiffLine]:
    """The lines that a diff adds to Python files, or removes."""
    for file in filter(is_python, parse_diff(diff)):
        yield from (line for line in file.lines if line.kind != "context")
