"""Health before effect: whether two arms may be compared at all.

`check` looks only at facts about the runs, never at which arm is better, except for the plausibility bound. Each
failed rule is a Finding with a sentence for the verdict card. `invalid` hides the effect; `quarantined` waits for a
person to clear it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from scipy.stats import fisher_exact

from research_app.evidence.apart import places_apart
from research_app.evidence.digits import score, share
from research_app.evidence.errors import BadDesign
from research_app.evidence.states import HealthState
from research_app.wording import counted

Outcome = Literal["finished", "crashed", "nan"]
Rule = Literal[
    "too few runs",
    "data",
    "budget",
    "device",
    "scorer",
    "failures",
    "scores",
    "zero variance",
    "probe",
    "protected files",
    "overspent",
    "implausible",
    "risk flag",
    "envelope",
    "costly",
]

BUDGET_TOLERANCE = 0.02
BUDGET_SPREAD = 1.1  # times what the baseline exceeds it by: the detectors say the same (training/detectors/resources.py)
PLAUSIBLE_GAIN = 0.10
FAILURE_GAP = 0.10
FAILURE_ALPHA = 0.05


@dataclass(frozen=True)
class RunFacts:
    """What health needs to know of one run. `budget` and `spent` share a unit (seconds, tokens or FLOPs).

    `outcome` counts failures of the training itself: a run lost with its worker is run again, not passed in here.
    `score` is None unless the run finished.
    """

    data_hash: str
    budget: float
    spent: float
    device_kind: str
    scorer_hash: str
    outcome: Outcome
    score: float | None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.budget) and self.budget > 0):
            raise BadDesign(f"a run's budget is {self.budget}: give what it was allowed to spend, a positive number")


@dataclass(frozen=True)
class Finding:
    """One failed rule, in a sentence that says what was found."""

    rule: Rule
    sentence: str


@dataclass(frozen=True)
class Health:
    """The state of a comparison and every reason for it."""

    state: HealthState
    findings: tuple[Finding, ...]

    @property
    def hides_effect(self) -> bool:
        """Whether pages must withhold the effect."""
        return self.state == "invalid"


def check(
    baseline: Sequence[RunFacts],
    candidate: Sequence[RunFacts],
    probes: Mapping[str, bool] | None = None,
    protected_changed: Sequence[str] = (),
    risk_flags: Sequence[str] = (),
    lower_is_better: bool = True,
    plausible_gain: float = PLAUSIBLE_GAIN,
    cleared: bool = False,
    beyond: Sequence[str] = (),
    costly: Sequence[str] = (),
    own_tolerance: float | None = None,
) -> Health:
    """All health rules over the runs of both arms.

    `probes` says for each probe (causality, normalisation, determinism) whether it passed; `risk_flags` are sentences
    about risky edits; `plausible_gain` is the largest gain, as a share of the baseline's score, that is believed
    without a person; `cleared` says that a person has cleared the quarantine. `beyond` are sentences about what the candidate
    used beyond the envelope, `costly` about what it used within it, but so much that a person should judge a gain.
    `own_tolerance`: the code keeps its budget itself, and a candidate may miss it by so much more than the baseline does.
    """
    invalid = [
        *_too_few(baseline, candidate),
        *_differing_conditions(baseline, candidate),
        *_failure_rates(baseline, candidate),
        *_bad_scores(baseline, candidate),
        *(Finding("probe", f"the {name} probe failed") for name, passed in (probes or {}).items() if not passed),
        *(Finding("protected files", f"the protected file {path} was changed") for path in protected_changed),
        *_overspent(baseline, candidate, own_tolerance),
        *(Finding("envelope", sentence) for sentence in beyond),
    ]
    gain = _gain(baseline, candidate, lower_is_better)
    reasons = _quarantine_reasons(gain, risk_flags, plausible_gain)
    reasons += [Finding("costly", f"a gain comes with more work: {sentence}") for sentence in costly if gain and gain > 0]
    if invalid:
        return Health("invalid", (*invalid, *reasons))
    return Health("quarantined" if reasons and not cleared else "healthy", tuple(reasons))


def _too_few(baseline: Sequence[RunFacts], candidate: Sequence[RunFacts]) -> list[Finding]:
    return [
        Finding("too few runs", f"no run of the {arm} finished, {len(runs)} tried")
        for arm, runs in (("baseline", baseline), ("candidate", candidate))
        if not any(run.outcome == "finished" for run in runs)
    ]


def _differing_conditions(baseline: Sequence[RunFacts], candidate: Sequence[RunFacts]) -> list[Finding]:
    rules: tuple[tuple[Rule, str, str], ...] = (
        ("data", "data_hash", "data"),
        ("budget", "budget", "budget"),
        ("device", "device_kind", "kind of device"),
        ("scorer", "scorer_hash", "scorer"),
    )
    findings = []
    for rule, field, word in rules:
        sides = [sorted({str(getattr(run, field)) for run in runs}) for runs in (baseline, candidate)]
        if len({*sides[0], *sides[1]}) > 1:
            words = [", ".join(side) or "none" for side in sides]
            findings.append(Finding(rule, f"the runs do not share one {word}: baseline {words[0]}; candidate {words[1]}"))
    return findings


def _failure_rates(baseline: Sequence[RunFacts], candidate: Sequence[RunFacts]) -> list[Finding]:
    """Seeds that fail are missing from the mean, which flatters the arm that loses its bad seeds.

    A candidate may not fail more often than the baseline by FAILURE_GAP. A baseline that fails more often flatters only
    itself, so that needs Fisher's exact test to say the rates differ.
    """
    findings = []
    for outcome, word in (("crashed", "crashed"), ("nan", "ended in NaN")):
        a, b = (sum(run.outcome == outcome for run in runs) for runs in (baseline, candidate))
        if not baseline or not candidate or a == b == 0:
            continue
        gap = b / len(candidate) - a / len(baseline)
        p_value = fisher_exact([[a, len(baseline) - a], [b, len(candidate) - b]]).pvalue
        if gap > FAILURE_GAP or p_value < FAILURE_ALPHA:
            sentence = f"{b} of {len(candidate)} candidate runs {word}, {a} of {len(baseline)} baseline runs did"
            findings.append(Finding("failures", sentence))
    return findings


def _bad_scores(baseline: Sequence[RunFacts], candidate: Sequence[RunFacts]) -> list[Finding]:
    findings = []
    for arm, runs in (("baseline", baseline), ("candidate", candidate)):
        scores = [run.score for run in runs if run.outcome == "finished"]
        finite = [score for score in scores if score is not None and math.isfinite(score)]
        if len(finite) < len(scores):
            missing = len(scores) - len(finite)
            findings.append(
                Finding("scores", f"{counted(missing, f'finished {arm} run has', f'finished {arm} runs have')} no finite score")
            )
        if len(finite) > 1 and min(finite) == max(finite):
            sentence = f"all {len(finite)} {arm} runs scored exactly {score(finite[0])}: the seed does not reach the training"
            findings.append(Finding("zero variance", sentence))
    return findings


def _overspent(baseline: Sequence[RunFacts], candidate: Sequence[RunFacts], own_tolerance: float | None) -> list[Finding]:
    """A candidate may exceed the budget by BUDGET_TOLERANCE, or by what the baseline's own runs exceed it by.

    One that the code keeps itself, it may exceed by what the baseline's runs do and the tolerance on top.
    """
    usual = max((run.spent / run.budget - 1 for run in baseline), default=0.0)
    allowed = max(BUDGET_TOLERANCE, BUDGET_SPREAD * usual)
    if own_tolerance is not None:
        allowed = max(usual, 0.0) + own_tolerance
    over = [run.spent / run.budget - 1 for run in candidate if run.spent > run.budget * (1 + allowed)]
    if not over:
        return []
    whose = "the budget" if own_tolerance is None else "the budget that the code keeps itself"
    sentence = f"{len(over)} of {len(candidate)} candidate runs exceeded {whose}, by up to {share(max(over), 1)}"
    if own_tolerance is not None:
        theirs, more = share(max(usual, 0.0), 1), share(own_tolerance, 1)
        beside = f"; the baseline's runs do by up to {theirs}, and {more} more is tolerated"
    else:
        beside = f"; the baseline's runs do by up to {share(usual, 1)}" if usual > BUDGET_TOLERANCE else ""
    return [Finding("overspent", sentence + beside)]


def _gain(baseline: Sequence[RunFacts], candidate: Sequence[RunFacts], lower_is_better: bool) -> float | None:
    """The candidate's gain as a share of the baseline's score; None when an arm has no finite score."""
    means = []
    for runs in (baseline, candidate):
        scores = [run.score for run in runs if run.score is not None and math.isfinite(run.score)]
        if not scores:
            return None
        means.append(fmean(scores))
    difference = means[0] - means[1] if lower_is_better else means[1] - means[0]
    if difference == 0:
        return 0.0
    return difference / abs(means[0]) if means[0] else math.copysign(math.inf, difference)


def _quarantine_reasons(gain: float | None, risk_flags: Sequence[str], plausible_gain: float) -> list[Finding]:
    if gain is None or gain <= 0:
        return []
    reasons = [Finding("risk flag", f"a gain comes with a risky edit: {flag}") for flag in risk_flags]
    if gain > plausible_gain:
        places = places_apart(100 * gain, 100 * plausible_gain, decimals=1, nothing=True)
        limit = share(plausible_gain, places if places > 1 else 0)
        sentence = f"a gain of {share(gain, places)} is above the {limit} that is believed without a person"
        reasons.insert(0, Finding("implausible", sentence))
    return reasons
