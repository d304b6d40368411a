"""Duplicates: what was tried before in other words is refused before it costs a device anything, and names the earlier try."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from agent.constants import Value
from agent.resolved import Moved, moved_constants, resolved_hash
from research_app.models import BaselineVersion, Candidate, Evidence, PatchSet, Project, Verdict
from research_app.repository import Change, normalised_syntax_hash

SAME_VALUE = 0.08
"""Two values nearer to each other than this, relatively, are one value: the difference drowns in the noise between seeds."""
NEAR_VALUE = 0.25
"""Values nearer than this are compared by the slope that was measured between the baseline's value and the tried one."""
TOLD_APART = 0.5
"""Two values are worth telling apart where the slope may predict more between them than this, in standard deviations of the
score: the standard error of the longest comparison there is, eight runs against eight."""


@dataclass(frozen=True)
class Fingerprint:
    """What a change is known by. `resolved` is empty where it comes to what the baseline is; `moved` where more differs."""

    syntax: str
    resolved: str
    moved: Moved


def fingerprint_of(project: Project, base: BaselineVersion, change: Change) -> Fingerprint:
    """Read both trees and compare what they come to."""
    patterns, repository = project.file.edit.editable, project.repository
    before, after = repository.texts(base.commit, patterns), repository.texts(change.commit, patterns)
    beside = repository.texts(base.commit, project.file.edit.protected)  # a change leaves these as they are
    resolved = resolved_hash(after, beside)
    same = resolved == resolved_hash(before, beside)
    return Fingerprint(normalised_syntax_hash(after), "" if same else resolved, moved_constants(before, after))


def tried_before(base: BaselineVersion, fingerprint: Fingerprint, but: Candidate | None = None) -> tuple[Candidate, str] | None:
    """The earlier candidate on this baseline that the change repeats, and why it is the same, as a sentence."""
    earlier = PatchSet.objects.filter(base=base, rebased=False).select_related("candidate__evidence").defer("diff")
    if but is not None:
        earlier = earlier.exclude(candidate=but)
    earlier = earlier.exclude(candidate__aa=True).order_by("pk")
    if row := earlier.filter(syntax_hash=fingerprint.syntax).first():
        return row.candidate, f"The same code was tried before as {said_of(row.candidate)}"
    if fingerprint.resolved and (row := earlier.filter(resolved_hash=fingerprint.resolved).first()):
        return row.candidate, f"It comes to the same code, written differently, as {said_of(row.candidate)}"
    if fingerprint.moved:
        return _same_move(
            fingerprint.moved, (row for row in earlier.exclude(moved={}) if row.moves.keys() == fingerprint.moved.keys())
        )
    return None


def said_of(candidate: Candidate) -> str:
    """The earlier try in words: its name and its outcome."""
    return f"{candidate} ({candidate.get_stage_display()})."


def _same_move(moved: Moved, earlier: Iterable[PatchSet]) -> tuple[Candidate, str] | None:
    """An earlier try that moved the same constants to values that cannot be told from these."""
    for row in earlier:
        pairs = {name: (row.moves[name], to) for name, (_, to) in moved.items()}
        evidence = row.candidate.evidence
        if all(within_noise((start, end), to, evidence, len(moved)) for (start, end), to in pairs.values()):
            steps = ", ".join(f"{name.partition(':')[2]} {to!r} beside {end!r}" for name, ((_, end), to) in pairs.items())
            return row.candidate, f"Within noise of what was tried before ({steps}) as {said_of(row.candidate)}"
    return None


def within_noise(tried: tuple[Value, Value], value: Value, evidence: Evidence | None, moved: int = 1) -> bool:
    """Whether a value is one with a tried move (from, to): nearly the same number, or nearly the same measured effect.

    The effect between the two is read off the line from the baseline's value to the tried one, where one constant moved alone:
    off the steepest line that the interval of its effect allows.
    """
    start, end = tried
    memory = all(has_memory(each) for each in (start, end, value))
    between = distance(end, value, memory)
    if between < SAME_VALUE:
        return True
    if moved > 1 or between >= NEAR_VALUE or evidence is None or not evidence.sigma or evidence.interval is None:
        return False
    whole = distance(start, end, memory)
    if evidence.verdict == Verdict.INVALID or not whole or math.isinf(whole):
        return False
    return max(map(abs, evidence.interval)) / whole * between < TOLD_APART * evidence.sigma


def distance(one: Value, other: Value, memory: bool | None = None) -> float:
    """How far apart two values are, as the logarithm of their ratio; infinite where they differ and have none.

    Of averages and momenta it is the memory that counts as well, 1 / (1 − value): the larger of the two logarithms, for all
    values between 0 and 1 alike. `memory` says whether the constant is such a one, by all its values that are known; without
    it these two tell.
    """
    if type(one) is type(other) and one == other:
        return 0.0
    if isinstance(one, bool | str) or isinstance(other, bool | str) or one * other <= 0:
        return math.inf
    apart = abs(math.log(one / other))
    if memory is None:
        memory = has_memory(one) and has_memory(other)
    return max(apart, abs(math.log((1 - abs(one)) / (1 - abs(other))))) if memory else apart


def has_memory(value: Value) -> bool:
    """Whether this could be the weight of an average: a constant that is 1 or more somewhere is none."""
    return isinstance(value, float) and 0 < abs(value) < 1
