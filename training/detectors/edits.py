"""Detectors of risky edits: what a change adds, removes or alters near seed, budget, data and evaluation.

Python files are compared by their syntax trees, others by their changed lines. Every finding names a line of the new file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from training.detectors.changed_code import TooMuch, changed_marks
from training.detectors.hidden import hidden_in
from training.detectors.marks import WORDS, Kind, Mark, kinds_of_words
from training.detectors.record import Finding, Level
from training.detectors.source import FileEdit, short
from training.matching import steps_between

MOST = 30  # findings per detector; a change that has more is read as a whole anyway
PROSE = frozenset({".md", ".rst", ".txt"})
DETECTORS: dict[Kind, tuple[str, str]] = {  # kind -> name of the detector, what it is about
    "seed": ("random-number edit", "the seed or the random numbers"),
    "budget": ("edit near the budget", "the budget or its clock"),
    "data": ("edit near the data", "the training data"),
    "evaluation": ("edit near the evaluation", "the evaluation"),
    "outside access": ("outside access", "files, processes, the network or the interpreter itself"),
    "replaced code": ("replaced code", "a function or setting of another module, which it replaces"),
}
MAY_GO: frozenset[Kind] = frozenset({"outside access", "replaced code"})  # removing these takes no safeguard away


def examine_changes(changes: Iterable[FileEdit], protected: Collection[str] = ()) -> tuple[Finding, ...]:
    """Findings of all changed files together, so that code moved from one file to another is no edit.

    `protected` holds the paths that candidates must not change: what they offer beyond what was used is a finding.
    """
    modules = [PurePosixPath(path).stem for path in protected if path.endswith(".py")]
    changes = list(changes)
    findings: list[Finding] = [finding for change in changes for finding in hidden_in(change)]
    before: list[tuple[FileEdit, Mark]] = []
    after: list[tuple[FileEdit, Mark]] = []
    for change in changes:
        if not change.path.endswith(".py"):
            findings += [finding for _, finding in _changed_words(change)]
            continue
        try:
            old, new = changed_marks(change.before or "", change.after or "", modules)
        except SyntaxError:
            findings += [finding for _, finding in _changed_words(change)]
        except TooMuch as much:
            sentence = f"{change.path}: {much}; its lines were looked at by their words alone."
            findings.append(Finding("change too large", "warning", sentence, path=change.path))
            findings += [finding for _, finding in _changed_words(change)]
        else:
            before += [(change, mark) for mark in old]
            after += [(change, mark) for mark in new]
    findings += [finding for _, finding in _compared(before, after)]
    return tuple(_limited(findings))


def _compared(
    before: Sequence[tuple[FileEdit, Mark]], after: Sequence[tuple[FileEdit, Mark]]
) -> Iterator[tuple[Kind, Finding]]:
    """What came, what went, and what stayed in a statement that changed."""
    gone = Counter((mark.kind, mark.key) for _, mark in before)
    statements = Counter((mark.kind, mark.statement) for _, mark in before)
    # Of several equal marks those on lines that stayed are the old ones.
    for change, mark in sorted(after, key=lambda pair: not pair[0].stayed(pair[1].line)):
        known = gone[mark.kind, mark.key] > 0
        gone[mark.kind, mark.key] -= known
        same = statements[mark.kind, mark.statement] > 0
        statements[mark.kind, mark.statement] -= same
        if not known:
            yield mark.kind, _finding(change, mark.kind, mark.level, "is new or changed", mark.line, change.new[mark.line - 1])
        elif not same and mark.kind not in MAY_GO:
            yield mark.kind, _finding(change, mark.kind, "info", "changed around it", mark.line, change.new[mark.line - 1])
    for change, mark in before:
        if gone[mark.kind, mark.key] > 0:
            gone[mark.kind, mark.key] -= 1
            if mark.kind not in MAY_GO:
                line, text = change.place_of(mark.line), change.old[mark.line - 1]
                yield mark.kind, _finding(change, mark.kind, mark.level, "was removed or changed", line, text)


def _changed_words(change: FileEdit) -> Iterator[tuple[Kind, Finding]]:
    """Lines of a file that is no Python, by the words in them."""
    if PurePosixPath(change.path).suffix in PROSE:
        return
    for tag, i, j, start, end in steps_between(change.old, change.new):
        if tag == "equal":
            continue
        lines = [(number + 1, change.new[number], "is new or changed") for number in range(start, end)]
        lines += [(change.place_of(i + 1), text, "was removed") for text in change.old[i:j] if end == start]
        for number, text, how in lines:
            for kind in dict.fromkeys(kind for kind, _ in kinds_of_words(text) if kind in WORDS):
                yield kind, _finding(change, kind, "warning", how, number, text)


def _finding(change: FileEdit, kind: Kind, level: Level, how: str, line: int, text: str) -> Finding:
    detector, about = DETECTORS[kind]
    number = change.shown(line)
    sentence = f"{change.path}, line {number}: `{short(text)}` {how}; it concerns {about}."
    return Finding(detector, level, sentence, path=change.path, line=number)


def _limited(findings: Iterable[Finding]) -> Iterator[Finding]:
    """One finding per detector and line, the worst; warnings first, then by file and line; at most MOST per detector."""
    worst: dict[tuple[str, str | None, int | None], Finding] = {}
    for finding in findings:
        place = (finding.detector, finding.path, finding.line)
        if place not in worst or (finding.level == "warning" and worst[place].level == "info"):
            worst[place] = finding
    counts: Counter[str] = Counter()
    for finding in sorted(worst.values(), key=_worst_first):
        counts[finding.detector] += 1
        if counts[finding.detector] <= MOST:
            yield finding
    for detector, count in counts.items():
        if count > MOST:
            yield Finding(detector, "warning", f"{count - MOST} more places like this are not listed; read the whole change.")


def _worst_first(finding: Finding) -> tuple[bool, str, int]:
    return finding.level != "warning", finding.path or "", finding.line or 0
