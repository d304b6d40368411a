"""What detectors and probes saw, as pages show it: per run, together over a candidate's seeds, and on the lines of a diff."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from research_app.models import PatchSet, Run
from research_app.models.documents.finding import KeptFinding
from research_app.web.diff.lines import FileDiff, Line
from research_app.web.shared.curves import TITLES

LEVELS = {"invalid": ("bad", "!"), "warning": ("warn", "!"), "info": ("mute", "i")}  # the worst first
_RANK = {level: rank for rank, level in enumerate(LEVELS)}


@dataclass(frozen=True)
class Seen:
    """One finding, with every run that has it."""

    level: str
    detector: str
    sentence: str
    place: str
    runs: Sequence[Run]

    @property
    def tone(self) -> str:
        return LEVELS[self.level][0]

    @property
    def sign(self) -> str:
        return LEVELS[self.level][1]


@dataclass(frozen=True)
class Probed:
    """One probe of the scorer on one run."""

    name: str
    ok: bool
    reason: str


def findings_of(run: Run) -> list[KeptFinding]:
    """As they are stored with the run, the worst first; a failed probe is one of them. Empty for runs before there were any."""
    failed = [
        KeptFinding(detector=f"{probe.name} probe", level="invalid", sentence=probe.reason)
        for probe in probes_of(run)
        if not probe.ok
    ]
    return sorted([*failed, *(run.summary.findings or ())], key=lambda finding: _RANK[finding.level])


def probes_of(run: Run) -> list[Probed]:
    """Every probe that was made, failed ones first."""
    probes = [Probed(name, one.ok, one.reason) for name, one in run.summary.probes.items()]
    return sorted(probes, key=lambda probe: (probe.ok, probe.name))


def together(runs: Iterable[Run]) -> list[Seen]:
    """Findings of several runs: one entry per detector, level and curve, in the words of the first run that has it."""
    grouped: dict[tuple[str, str, str], tuple[KeptFinding, list[Run]]] = {}
    for run in runs:
        for finding in findings_of(run):
            key = (finding.level, finding.detector, finding.series or "")
            having = grouped.setdefault(key, (finding, []))[1]
            if run not in having:
                having.append(run)
    seen = [Seen(level, name, first.sentence, place_of(first), having) for (level, name, _), (first, having) in grouped.items()]
    return sorted(seen, key=lambda one: _RANK[one.level])


def place_of(finding: KeptFinding) -> str:
    """Where on the curve: `train loss, steps 120 to 180`."""
    series, start, end = finding.series, finding.step_from, finding.step_to
    if not series:
        return ""
    name = TITLES.get(series, (series.replace("_", " "), ""))[0].lower()
    if start is None:
        return name
    return f"{name}, step {start:,}" if end in (None, start) else f"{name}, steps {start:,} to {end:,}"


@dataclass(frozen=True)
class Mark:
    """What is marked on the panel of one series: a stretch of steps, with the run that it belongs to."""

    run: int
    step_from: int
    step_to: int
    level: str
    words: str


def marks_on(name: str, runs: Iterable[Run]) -> list[Mark]:
    """The marks on the panel of one series."""
    marks = []
    for run in runs:
        for finding in findings_of(run):
            if finding.series == name and finding.step_from is not None:
                end = finding.step_from if finding.step_to is None else finding.step_to
                marks.append(Mark(run.pk, finding.step_from, end, finding.level, f"seed {run.seed}: {finding.detector}"))
    return marks


@dataclass(frozen=True)
class Flag:
    """One risky edit. `anchored`: it stands below its line in the diff, with the id `flag-<number>`."""

    number: int
    level: str
    detector: str
    sentence: str
    path: str
    line: int | None
    anchored: bool

    @property
    def tone(self) -> str:
        return LEVELS[self.level][0]

    @property
    def sign(self) -> str:
        return LEVELS[self.level][1]


def flagged(patch_set: PatchSet | None, files: Sequence[FileDiff], against_base: bool = True) -> list[Flag]:
    """The risky edits of a patch set, the worst first, each put on its line of the diff where the diff shows that line."""
    stored = patch_set.risky_edits if patch_set else ()
    named = {stored_flag.path for stored_flag in stored}
    lines = {file.path: _by_number(file) for file in files if file.path in named}
    # Removed code is placed where it was, unless the left is not what it was counted in.
    sides = (
        [("added", "new"), ("removed", "old"), ("context", "new")] if against_base else [("added", "new"), ("context", "new")]
    )
    flags = []
    for number, stored_flag in enumerate(sorted(stored, key=lambda flag: _RANK[flag.level]), 1):
        path, at = stored_flag.path or "", stored_flag.line
        lines_there = (lines.get(path, {}).get((kind, side, at)) for kind, side in sides)
        line = next(filter(None, lines_there), None) if at else None
        is_visible = line is not None and stored_flag.level != "info"
        flag = Flag(number, stored_flag.level, stored_flag.detector, stored_flag.sentence, path, at, is_visible)
        if line is not None and is_visible:
            line.flags.append(flag)
        flags.append(flag)
    return flags


def _by_number(file: FileDiff) -> dict[tuple[str, str, int | None], Line]:
    """The lines of a file by kind, side and number."""
    lines_by_number: dict[tuple[str, str, int | None], Line] = {}
    for line in file.lines:
        lines_by_number.setdefault((line.kind, "new", line.new), line)
        lines_by_number.setdefault((line.kind, "old", line.old), line)
    return lines_by_number
