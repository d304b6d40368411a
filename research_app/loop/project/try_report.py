"""What trying a project comes to: two seeds and a repeat of the first, compared, each finding with what to do."""

import math
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from research_app.evidence.digits import number
from research_app.project_file.project_file import ProjectFile
from training import own_budget
from training.denied import denied
from training.matched import lines_of
from training.metric_source import writing
from training.spec import GIB, Outcome, Point, RunResult, Scored, SelfReported

SERIES_SHOWN = 6
LINES_SHOWN = 60
CLOCKS = ("seconds", "step_ms", "tokens_per_second", "mfu_percent", "train_ms", "memory_mb")
"""Series that differ between two runs of one seed as a matter of course."""


class Told(BaseModel):
    """A part of the report."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Missed(Told):
    """What a run was denied, and the key that opens it."""

    what: str
    key: str


class LogLine(Told):
    """A line of a run's log with the values that were read off it."""

    text: str
    values: dict[str, float] = {}


class TriedCurve(Told):
    """One series in short."""

    name: str
    points: int
    first: float
    last: float


class TriedRun(Told):
    """One of the runs."""

    words: str
    seed: int
    outcome: str
    reason: str
    score: float | None
    seconds: float
    steps: int | None
    spent: float | None
    device_memory: float | None = None  # bytes of its devices, as the driver told them
    curves: tuple[TriedCurve, ...]
    lines: tuple[LogLine, ...]
    missed: tuple[Missed, ...]
    level: str


class Check(Told):
    """One question with its answer. `good` None: it could not be asked, or is for information."""

    question: str
    good: bool | None
    answer: str
    mend: str = ""


class TryReport(Told):
    """All of it. `failed` says what stood in the way before anything ran."""

    runs: tuple[TriedRun, ...] = ()
    checks: tuple[Check, ...] = ()
    failed: str = ""

    @property
    def seconds(self) -> float:
        """What its runs took, on each of their devices."""
        return sum(run.seconds for run in self.runs)

    @property
    def good(self) -> bool:
        """Whether a project can be made of it."""
        return not self.failed and bool(self.checks) and all(check.good is not False for check in self.checks)


Series = Mapping[str, Sequence[tuple[int, float]]]


def series_of(points: Sequence[Point]) -> dict[str, list[tuple[int, float]]]:
    """Points by series."""
    series: dict[str, list[tuple[int, float]]] = {}
    for point in points:
        for name, value in point.values.items():
            series.setdefault(name, []).append((point.step, value))
    return series


def tried_run(
    words: str, seed: int, result: RunResult, series: Series, scoring: Scored | SelfReported, file: ProjectFile
) -> TriedRun:
    """One run for the report."""
    counts = file.budget.counts if file.budget.own else "seconds"
    curves = sorted(series.items(), key=lambda item: ("loss" not in item[0], item[0]))[:SERIES_SHOWN]
    printed = scoring if isinstance(scoring, SelfReported) else None
    missed = denied(result.log) if result.outcome != Outcome.completed else []
    steps = result.facts.get("steps")
    return TriedRun(
        words=words,
        seed=seed,
        outcome=str(result.outcome),
        reason=result.reason,
        score=result.score,
        seconds=result.train_seconds,
        steps=int(steps) if isinstance(steps, int | float) else None,
        device_memory=_number(result.facts.get("device_memory_bytes")),
        spent=own_budget.spent([(result.facts, result.train_seconds)], counts)[0],
        curves=tuple(TriedCurve(name=name, points=len(each), first=each[0][1], last=each[-1][1]) for name, each in curves),
        lines=tuple(LogLine(text=line.text, values=dict(line.values)) for line in lines_of(result.log, printed, LINES_SHOWN)),
        missed=tuple(Missed(what=each.what, key=each.key) for each in missed),
        level=str(result.sandbox_level),
    )


def report_on(file: ProjectFile, runs: Sequence[TriedRun], series: Sequence[Series], missing: Sequence[str] = ()) -> TryReport:
    """The checks of what was run so far: one run where that failed, else all three; first what of the repository is missing."""
    whole = "Do runs have all of the repository?"
    checks = [Check(question=whole, good=None, answer=" ".join(missing))] if missing else []
    first, metric = started(runs[0]), metric_of(file, runs[0])
    checks += [first, metric]
    if first.good and metric.good:
        checks.append(budget_check(file, runs))
    if file.limits.device_memory_gb:
        checks.append(device_memory_check(file, runs[0]))
    if len(runs) == 3:
        checks += [seed_check(file, runs, series), repeat_check(runs, series), noise_check(file, runs)]
    return TryReport(runs=tuple(runs), checks=tuple(checks))


def started(run: TriedRun) -> Check:
    question = "Did it start, and end well?"
    if run.outcome == Outcome.completed or (run.outcome == Outcome.no_score and not run.missed):
        return Check(
            question=question, good=True, answer=f"It ran for {number(run.seconds)} s in a sandbox of level {run.level}."
        )
    keys = "; ".join(f"{each.what}: {each.key}" for each in run.missed)
    mend = keys or MENDS.get(run.outcome, "Read its last lines below.")
    return Check(question=question, good=False, answer=run.reason, mend=mend)


MENDS: Mapping[str, str] = {
    Outcome.timed_out: "[limits] wall_seconds, or first_step_seconds where it compiles first",
    Outcome.out_of_memory: "[limits] host_memory_gb, or a smaller batch in [train] command",
    Outcome.not_finite: "Its loss is no number: look at its last lines, and at what this device can compute with.",
    Outcome.diverged: "Its loss ran away: look at its last lines, and at what this device can compute with.",
}


def metric_of(file: ProjectFile, run: TriedRun) -> Check:
    question = f"Is {file.metric.key} read?"
    if run.score is not None:
        where = "measured from outside" if file.metric.scored else f"as {file.metric.source} says it"
        curves = ", ".join(f"{each.name} ({each.points} points)" for each in run.curves) or "no curves"
        return Check(question=question, good=True, answer=f"{file.metric.key} = {number(run.score, 6)}, {where}; {curves}.")
    if run.outcome not in (Outcome.no_score, Outcome.completed):
        return Check(question=question, good=None, answer="It did not come so far.")
    matched = [line for line in run.lines if line.values]
    seen = f"{len(matched)} lines said something" if matched else "no line of its output said anything"
    mend = "[metric] file and key" if file.metric.source in writing() else "[metric] source and key, or a pattern of your own"
    return Check(question=question, good=False, answer=f"{run.reason} ({seen})", mend=mend)


def budget_check(file: ProjectFile, runs: Sequence[TriedRun]) -> Check:
    question, budget = "What does the budget come to?", file.budget
    known = [run.spent for run in runs if run.spent is not None]
    spent = ", ".join(number(each, 4) for each in known) or "unknown"
    if not budget.own:
        took = ", ".join(f"{number(run.seconds)} s" for run in runs)
        return Check(question=question, good=None, answer=f"Given {budget.words}; the runs took {took}.")
    answer = f"The code keeps it itself: {spent} {budget.counts}"
    if not budget.amount or not known:
        return Check(question=question, good=None, answer=f"{answer}.")
    over = max(known) / budget.amount - 1
    sentence = f"{answer}, of {number(budget.amount, 6)}"
    if abs(over) <= budget.tolerance:
        return Check(question=question, good=True, answer=f"{sentence}.")
    way = "over" if over > 0 else "under"
    mend = "Candidates are held to what the baseline's runs come to; [budget] amount may say what is meant."
    return Check(question=question, good=None, answer=f"{sentence}: {abs(over):.0%} {way}.", mend=mend)


def device_memory_check(file: ProjectFile, run: TriedRun) -> Check:
    question, limit = "Is device memory held to its limit?", file.limits.device_memory_gb or 0
    if run.device_memory is not None:
        return Check(question=question, good=True, answer=f"It held {number(run.device_memory / GIB)} of {number(limit)} GiB.")
    answer = (
        f"No: device_memory_gb = {number(limit)} cannot be held here, because no driver tells what the device holds (NVML)."
    )
    return Check(question=question, good=None, answer=answer)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def seed_check(file: ProjectFile, runs: Sequence[TriedRun], series: Sequence[Series]) -> Check:
    question, (first, second, _) = "Does the seed change the result?", runs
    if first.score is None or second.score is None:
        return Check(question=question, good=None, answer="One of the runs has no score.")
    if first.score != second.score:
        answer = f"Seed {first.seed}: {number(first.score, 6)}, seed {second.seed}: {number(second.score, 6)}."
        return Check(question=question, good=True, answer=answer)
    if _differs(series[0], series[1]):
        mend = "Print the metric with more digits: what differs less than its last digit cannot be compared."
        return Check(question=question, good=False, answer="The curves differ, and the metric is the same.", mend=mend)
    mend = (
        f'[seed] how = "{file.seed.how}" does not reach the code: see “argument” and “patch” in docs/reference/project-file.md'
    )
    answer = f"Both seeds gave {number(first.score, 6)} on the same curve: without noise no effect can be told from chance."
    return Check(question=question, good=False, answer=answer, mend=mend)


def repeat_check(runs: Sequence[TriedRun], series: Sequence[Series]) -> Check:
    question, (first, _, again) = "Is a repeat of one seed identical?", runs
    if first.score is None or again.score is None:
        return Check(question=question, good=None, answer="One of the runs has no score.")
    if first.score == again.score and not _differs(series[0], series[2]):
        return Check(question=question, good=True, answer="Yes, score and curves.")
    apart = number(abs(first.score - again.score), 3)
    answer = f"No: the scores are {apart} apart. The device or the clock does not repeat; that is part of the noise."
    return Check(question=question, good=None, answer=answer)


def noise_check(file: ProjectFile, runs: Sequence[TriedRun]) -> Check:
    question = "How large is the noise?"
    scores = [run.score for run in runs[:2] if run.score is not None]
    if len(scores) < 2:
        return Check(question=question, good=None, answer="Two scores are needed.")
    sigma = abs(scores[0] - scores[1]) / math.sqrt(2)
    wanted = max(file.baseline.runs, file.policy.calibration_runs)
    answer = f"About {number(sigma, 2)} from two seeds, which is hardly known; the baseline's {wanted} runs measure it."
    return Check(question=question, good=None, answer=answer)


def _differs(one: Series, other: Series) -> bool:
    """Whether the curves of two runs differ, in what is no clock."""
    names = (set(one) | set(other)) - set(CLOCKS)
    return any(list(one.get(name, [])) != list(other.get(name, [])) for name in names)
