"""The evidence document: what evidence keeps beside its columns. See research_app/documents.py for how it is read.

What is optional here was missing in some version, or is missing where there is nothing to say. Frozen evidence is never written
again, so a field may be added, and none may be renamed or come to mean something else.
"""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import model_validator

from research_app.documents import Document, Figure, Part, Text, Truth, Whole
from research_app.evidence.noise import LeftOut
from research_app.evidence.states import GuardStatus, HealthState
from research_app.evidence.transfer import RungSaving


class LeftOutRecord(Part):
    """noise.LeftOut: a group of repeated runs that sigma does not rest on."""

    group: Text
    runs: Whole
    times: Figure

    @property
    def left_out(self) -> LeftOut:
        return LeftOut(self.group, self.runs, self.times)


class NoiseRecord(Part):
    """noise.Noise: sigma with its 95% interval, and the worst of the groups that it leaves out."""

    sigma: Figure | None = None
    low: Figure | None = None
    high: Figure | None = None
    degrees: Figure | None = None
    left_out: tuple[LeftOutRecord, ...] = ()
    groups_left_out: Whole = 0


class ArmRun(Part):
    """One run of an arm, as it was when it was compared."""

    run: Whole
    seed: Whole | None = None
    commit: Text = ""
    score: Figure | None = None
    hidden: Figure | None = None


class FindingRecord(Part):
    """health.Finding: a rule that failed, in a sentence."""

    rule: Text
    sentence: Text


class HealthRecord(Part):
    """health.Health: whether the arms may be compared, with every reason against it."""

    state: HealthState
    findings: tuple[FindingRecord, ...] = ()


class ContradictionRecord(Part):
    """training.claims.Contradiction: where the hypothesis and the measured facts disagree."""

    sentence: Text
    said: Text = ""
    measured: Text = ""


class GuardRecord(Part):
    """guards.GuardResult: one guard metric. Its figures are there unless the arms cannot be compared in it."""

    metric: Text
    baseline: Figure | None = None
    candidate: Figure | None = None
    change: Figure | None = None
    interval: tuple[Figure, Figure] | None = None
    margin: Figure
    status: GuardStatus
    note: Text = ""

    @model_validator(mode="after")
    def _has_what_its_status_rests_on(self) -> Self:
        if self.status != "not comparable" and None in (self.baseline, self.candidate, self.change):
            raise ValueError("a status without the figures that it was found from")
        return self


class EnvelopeRecord(Part):
    """envelope.Measured: one quantity of work beside the baseline's."""

    times: Figure
    quantity: Text = ""
    allowed: Figure | None = None
    sentence: Text = ""


class SourceRecord(Part):
    """guards.SourceResult: the score on one source of text."""

    source: Text
    baseline: Figure
    candidate: Figure
    effect: Figure
    interval: tuple[Figure, Figure]
    p_harm: Figure | None = None
    hurt: Truth
    status: GuardStatus
    margin: Figure | None = None

    @property
    def beyond_margin(self) -> bool:
        """Outside its margin, or measurably worse and by its estimate beyond it."""
        beyond = self.margin is not None and -self.effect > self.margin
        return self.status == "exceeded" or (self.hurt and beyond)


class SourcesRecord(Part):
    """guards.SourceReport: all sources, the most harmed first."""

    sentence: Text = ""
    hurt: tuple[Text, ...] = ()
    rows: tuple[SourceRecord, ...] = ()


class FailedGuardRecord(Part):
    """guards.FailedGuard: what the change makes worse than its margin allows."""

    sentence: Text
    name: Text = ""


class LookRecord(Part):
    """Where the evidence stood at one look of the sequential policy."""

    n: Figure | None = None
    z: Figure | None = None
    boundary: Figure | None = None
    effect: Figure | None = None


class ConfirmationRecord(Part):
    """policy.Confirmation: the comparison on fresh seeds, with the spread that its effect was shrunk by."""

    effect: Figure
    standard_error: Figure | None = None
    solid: Truth | None = None
    sigma: Figure | None = None
    degrees: Figure | None = None
    interval: tuple[Figure, Figure] | None = None
    shrunk_effect: Figure | None = None
    shrunk_interval: tuple[Figure, Figure] | None = None
    p_value: Figure | None = None
    p_harm: Figure | None = None
    same_sign: Truth | None = None
    tau: Figure | None = None
    n: Whole | None = None


class SavingsRecord(Part):
    """savings.Saving: the share of time saved at equal loss with its 95% interval, or in a sentence why there is none."""

    saved: Figure | None = None
    low: Figure | None = None
    high: Figure | None = None
    extrapolated: Truth = False
    sentence: Text = ""

    @property
    def with_interval(self) -> tuple[float, float, float] | None:
        """Saved, low and high; None where one of them is not there."""
        if self.saved is None or self.low is None or self.high is None:
            return None
        return self.saved, self.low, self.high


class NoOpRecord(Part):
    """What was seen of a change whose runs repeat the baseline's."""

    seeds: tuple[Whole, ...] = ()
    points: Whole = 0
    proven: Truth = False


class RungSavingRecord(Part):
    """transfer.RungSaving: the time saved that was measured on the rung below."""

    rung: Text
    compute: Figure
    saved: Figure
    standard_error: Figure

    @property
    def saving(self) -> RungSaving:
        return RungSaving(self.rung, self.compute, self.saved, self.standard_error)


class PredictedRecord(Part):
    """The saving that was predicted for a rung, with its 95% interval."""

    saved: Figure | None = None
    low: Figure | None = None
    high: Figure | None = None


class TransferRecord(Part):
    """Whether the gain of the rung below holds on this one. `passed` is None where that cannot be told."""

    passed: Truth | None = None
    sentence: Text = ""
    p_value: Figure | None = None
    p_harm: Figure | None = None
    degrees: Figure | None = None
    promised: Figure | None = None
    below: RungSavingRecord | None = None
    predicted: PredictedRecord | None = None
    compute: Figure | None = None


class EvidenceDocument(Document):
    """What evidence holds beside effect, interval and verdict, which are columns."""

    version: Literal[1] = 1
    # Of all evidence
    policy: Mapping[Text, Figure] = {}
    boundaries: tuple[Figure, ...] = ()
    noise: NoiseRecord | None = None
    scatter: LeftOutRecord | None = None
    baseline: tuple[ArmRun, ...] = ()
    candidate: tuple[ArmRun, ...] = ()
    data_hash: Text = ""
    health: HealthRecord | None = None
    contradictions: tuple[ContradictionRecord, ...] = ()
    guards: tuple[GuardRecord, ...] = ()
    envelope: tuple[EnvelopeRecord, ...] = ()
    sources: SourcesRecord | None = None
    failed_guards: tuple[FailedGuardRecord, ...] = ()
    tried: Whole | None = None
    # Of a look
    looks: tuple[LookRecord, ...] = ()
    runs_needed: Whole | None = None
    settle: Text = ""
    no_op: NoOpRecord | None = None
    # Of a confirmation
    confirmation: ConfirmationRecord | None = None
    savings: SavingsRecord | None = None
    # Of a rung
    transfer: TransferRecord | None = None
    # Of evidence that was frozen for the same two trees before, by its content hash
    taken_from: Text = ""

    @property
    def state(self) -> HealthState | None:
        """How healthy the comparison is; None where that was not recorded."""
        return self.health.state if self.health else None
