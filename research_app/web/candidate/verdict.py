"""The verdict card: what the frozen evidence says, health before effect. Pure over one row of evidence and its earlier look.

Old evidence may lack any of its numbers: what is missing is not shown, and nothing is made up for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from research_app.evidence import digits
from research_app.evidence.apart import places_apart
from research_app.evidence.digits import Gain, share
from research_app.evidence.evidence_document import (
    EvidenceDocument,
    FindingRecord,
    GuardRecord,
    LeftOutRecord,
    SavingsRecord,
    SourceRecord,
)
from research_app.loop.judge.guard_check import GUARD_FACTS
from research_app.models import Evidence, Project, Run, Verdict
from research_app.web.candidate.interim_looks import looks_chart
from research_app.web.shared import figures

PROBES, DETECTORS = "probe", "detectors"
CHECKS: Mapping[str, str] = {  # rule of evidence/health.py → what holds where it passed
    "too few runs": "a run of each arm ended well",
    "data": "same data",
    "budget": "same budget",
    "device": "same kind of device",
    "scorer": "same scorer",
    "failures": "runs fail no more often",
    "scores": "every score is a number",
    "zero variance": "seeds make a difference",
    PROBES: "probes of the model",
    "protected files": "protected files untouched",
    "overspent": "budget kept",
    "implausible": "gain is plausible",
    "risk flag": "no gain with a risky edit",
    "envelope": "work within the baseline's envelope",
    "costly": "no gain bought with much more work",
    DETECTORS: "no detector calls a run invalid",
}
STATUS = {
    "within": ("good", "✓", "within"),
    "uncertain": ("warn", "?", "not settled"),
    "exceeded": ("bad", "!", "exceeded"),
    "not comparable": ("mute", "–", "not comparable"),
}


@dataclass(frozen=True)
class Kept:
    """How many of some checks hold, with the tone of the worst."""

    held: int
    count: int
    tone: str

    @classmethod
    def over(cls, held: Sequence[bool], tones: Sequence[str]) -> "Kept":
        """`held` and `tones` of each check."""
        worst = next((tone for tone in ("bad", "warn") if tone in tones), "good" if all(held) else "mute")
        return cls(sum(held), len(held), worst)

    @property
    def sign(self) -> str:
        return {"good": "✓", "mute": "–"}.get(self.tone, "!")


@dataclass(frozen=True)
class Check:
    """One check of health: whether it passed, None where it was not made."""

    words: str
    passed: bool | None


@dataclass(frozen=True)
class Health:
    """Whether the arms may be compared, with every reason against it."""

    state: str  # "healthy", "quarantined" or "invalid"
    findings: Sequence[FindingRecord]
    checks: Sequence[Check]

    @property
    def not_made(self) -> int:
        return sum(check.passed is None for check in self.checks)

    @property
    def kept(self) -> Kept:
        """Of the checks that were made."""
        passed = [check.passed for check in self.checks if check.passed is not None]
        tone = "bad" if self.state == "invalid" else "warn"
        return Kept.over(passed, ["good" if each else tone for each in passed])

    @classmethod
    def of(cls, evidence: Evidence, runs: Sequence[Run]) -> "Health | None":
        """From evidence and the candidate's runs, which tell whether probes and detectors were at work. None: not recorded."""
        document = evidence.document
        if document.health is None:
            return None
        findings = document.health.findings
        failed = {finding.rule if finding.rule in CHECKS else DETECTORS for finding in findings}
        made = {
            PROBES: any(run.summary.probes for run in runs),
            DETECTORS: any(run.summary.findings is not None for run in runs),
            **dict.fromkeys(("envelope", "costly"), bool(document.envelope)),
        }
        checks = [
            Check(words, False if rule in failed else True if made.get(rule, True) else None) for rule, words in CHECKS.items()
        ]
        return cls(document.health.state, findings, checks)


@dataclass(frozen=True)
class Saving:
    """Time saved at equal loss, or in `why_not` why it cannot be said."""

    words: str = ""
    interval: str = ""
    tone: str = "mute"
    extrapolated: bool = False
    why_not: str = ""

    @classmethod
    def of(cls, kept: SavingsRecord | None) -> "Saving | None":
        """From what evidence keeps; None where nothing was worked out."""
        if kept is None:
            return None
        if kept.with_interval is None:
            return cls(why_not=kept.sentence)
        saved, low, high = kept.with_interval
        tone = "good" if low > 0 else "bad" if high < 0 else "mute"
        words = f"{figures.percent(abs(saved))} {'less' if saved >= 0 else 'more'} time"
        interval = " … ".join("below −999%" if bound < -9.99 else figures.percent(bound) for bound in (low, high))
        return cls(words, interval, tone, kept.extrapolated)


@dataclass(frozen=True)
class GuardRow:
    """One guard metric: what a gain must not cost."""

    words: str
    before: str
    after: str
    change: str
    interval: str
    margin: str
    tone: str
    sign: str
    status: str
    note: str = ""


@dataclass(frozen=True)
class SourceRow:
    """The score on one source of text, with its gain and the simultaneous interval of that."""

    name: str
    before: float
    after: float
    gain: Gain
    tone: str
    sign: str
    status: str


@dataclass(frozen=True)
class Card:
    """Everything on the verdict card beside the effect itself (effects.py)."""

    health: Health | None
    saving: Saving | None
    chart: SafeString
    arms: str
    sigma: str
    scatter: str
    tried: int | None
    settle: str
    old_policy: str
    confirmed: bool
    no_op: bool
    on_hidden_text: bool
    measured: str
    guards: Sequence[GuardRow]
    sources: Sequence[SourceRow]
    sources_sentence: str

    @property
    def guards_kept(self) -> Kept:
        """Guards within their margin."""
        return Kept.over([row.status == "within" for row in self.guards], [row.tone for row in self.guards])

    @property
    def sources_kept(self) -> Kept:
        """Sources of text that the change does no harm to, as far as is settled."""
        return Kept.over([row.tone in ("good", "mute") for row in self.sources], [row.tone for row in self.sources])


def card_of(evidence: Evidence, earlier: Evidence | None, project: Project, mine: Sequence[Run]) -> Card:
    """The card. `earlier` is the look that led to a confirmation, `mine` the runs of the patch set."""
    document = evidence.document
    confirmation, sources = document.confirmation, document.sources
    hides = evidence.verdict == Verdict.INVALID
    return Card(
        health=Health.of(evidence, mine),
        saving=Saving.of(document.savings),
        chart=looks_chart(document.looks, document.boundaries),
        arms=arms_in_words(evidence, earlier),
        sigma=sigma_in_words(evidence),
        scatter=scatter_in_words(document.scatter),
        tried=document.tried,
        settle=document.settle,
        old_policy=policy_note(evidence, project),
        confirmed=confirmation is not None,
        no_op=document.no_op is not None,
        on_hidden_text=any(run.hidden is not None for run in document.candidate),
        measured=digits.gain(confirmation.effect, confirmation.standard_error) if confirmation else "",
        guards=[] if hides else guard_rows(document),
        sources=[] if hides or sources is None else [source_row(row) for row in sources.rows],
        sources_sentence=sources.sentence if sources else "",
    )


def arms_in_words(evidence: Evidence, earlier: Evidence | None) -> str:
    """How many runs of each arm: `n = 3 + 5 against 8 + 5` where fresh seeds confirmed, `n = 3 against 8` otherwise."""
    counts = f"{evidence.candidate_n}", f"{evidence.baseline_n}"
    if earlier is not None:
        counts = f"{earlier.candidate_n} + {counts[0]}", f"{earlier.baseline_n} + {counts[1]}"
    return f"n = {counts[0]} against {counts[1]}"


def sigma_in_words(evidence: Evidence) -> str:
    """Sigma with what is known about it: `run-to-run noise σ 0.0071 (0.0047 … 0.015, 7 df)`."""
    if not evidence.sigma:
        return ""
    noise = evidence.document.noise
    words = f"run-to-run noise σ {digits.spread(evidence.sigma)}"
    if noise is None or noise.low is None or noise.high is None or noise.degrees is None:
        return words
    return f"{words} ({digits.spread(noise.low)} … {digits.spread(noise.high)}, {digits.number(noise.degrees)} df)"


def scatter_in_words(kept: LeftOutRecord | None) -> str:
    """That the candidate's own runs scatter otherwise than the noise says; empty where they do not."""
    if kept is None:
        return ""
    return f"{kept.left_out.sentence.partition(': ')[2]}: the noise that others are judged by leaves them out"


def policy_note(evidence: Evidence, project: Project) -> str:
    """What to know about evidence that another policy judged; empty where it is today's."""
    if evidence.policy_version == project.policy_version:
        return ""
    return f"Judged by policy version {evidence.policy_version}; the project uses version {project.policy_version} now."


def guard_rows(document: EvidenceDocument | None) -> list[GuardRow]:
    """The guards of some evidence."""
    return [guard_row(row) for row in (document.guards if document else ())]


def guard_row(row: GuardRecord) -> GuardRow:
    """One guard metric in words."""
    metric = row.metric
    fact, lower = GUARD_FACTS.get(metric, (metric, True))
    written = figures.size if fact.endswith("_bytes") else figures.quantity
    interval = row.interval
    tone, sign, status = STATUS[row.status]
    limit = row.margin if lower else -row.margin
    places = max(places_apart(100 * bound, 100 * limit, decimals=1, nothing=True) for bound in interval or (limit,))
    return GuardRow(
        words={"tokens_per_second": "tokens/s", "flops_per_token": "FLOPs per token"}.get(metric, metric.replace("_", " ")),
        before=written(row.baseline),
        after=written(row.candidate),
        change=figures.NOTHING if row.change is None else _share(row.change),
        interval=f"{_share(interval[0], places)} … {_share(interval[1], places)}" if interval else "",
        margin=_share(limit, places if places > 1 else 0),
        tone=tone,
        sign=sign,
        status=status,
        note=row.note,
    )


def source_row(row: SourceRecord) -> SourceRow:
    """One source of text: who gains, who pays."""
    if row.beyond_margin:
        tone, mark, status = "bad", "!", "beyond its margin"
    elif row.hurt:
        tone, mark, status = "bad", "!", "pays for the gain"
    elif row.interval[0] > 0:
        tone, mark, status = "good", "✓", "better"
    elif row.status == "within":
        tone, mark, status = "mute", "=", "no harm"
    else:
        tone, mark, status = "warn", "?", "not settled"
    gain = Gain(row.effect, None, *row.interval)
    return SourceRow(row.source, row.baseline, row.candidate, gain, tone, mark, status)


def _share(value: float, decimals: int = 1) -> str:
    """A relative change with its sign."""
    return share(value, decimals, signed=True)
