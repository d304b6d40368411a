"""Scale up: train a candidate and its baseline on larger rungs, one after the other, and say whether the gain transfers.

On each rung both arms get the same fresh seeds, and the baseline is trained at a few other budgets once, so that the gain can
be read as time saved, which can be compared between rungs. A rung is passed when the gain there is significant and saves at
least half of what the rung below promised; the first rung that is not ends the scale-up. See research_app/evidence/transfer.py.
"""

import math
from collections.abc import Container, Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from research_app.access import may_operate
from research_app.evidence.difference import Direction, t_quantile
from research_app.evidence.errors import EvidenceError
from research_app.evidence.evidence_document import PredictedRecord, RungSavingRecord, SavingsRecord, TransferRecord
from research_app.evidence.noise import Noise, prior_spread
from research_app.evidence.transfer import Forecast, Prediction, RungSaving, judge_rung, predict, shrunken_saving
from research_app.loop.attention.attention import ask, attempt, out_of_attempts
from research_app.loop.judge.arms import Arms
from research_app.loop.judge.build_evidence import begin, frozen, savings
from research_app.loop.judge.diverged import mark_diverged, settle_baseline
from research_app.loop.review.votes import void_votes
from research_app.loop.runs import CURVE_SEED, cancel, request_run, requeue
from research_app.models import (
    BaselineVersion,
    Candidate,
    Event,
    Evidence,
    Lease,
    Message,
    Project,
    Purpose,
    Run,
    ScaleUp,
    ScaleUpState,
    Stage,
    State,
    Verdict,
)
from research_app.models.candidate import Cause
from research_app.models.event_kinds import EventKind
from research_app.models.run import is_usable
from research_app.project_file.ladder import SMALLEST, Rung
from training.spec import Outcome

LEAST_TAU = 0.05
"""The least spread of true savings (a share of time) that measured ones are shrunk with: few candidates cannot show less."""


class ScaleUpRefused(Exception):
    """What was asked of a scale-up cannot be done; the message says why."""


def scale_up(patch_set_id: int, worker: str) -> None:
    """Judge the rung that a patch set is on, if all its runs have ended. Otherwise, or repeated: nothing."""
    scaled_up = ScaleUp.objects.running().filter(patch_set=patch_set_id)
    step = scaled_up.select_related("candidate__project", "patch_set__base__project", "project").first()
    if step is None or step.candidate.needs_attention:
        return
    settle_baseline(step.patch_set.base, step.rung)
    with transaction.atomic():
        queue_rung(step)
    mine, theirs, curve = arms_of(step)
    if any(run.state != State.FINISHED for run in (*mine, *theirs, *curve)):
        return
    lease = Candidate.claim(step.candidate_id, worker, Q(stage=Stage.SCALING_UP))
    if lease is None:
        return
    step.candidate.refresh_from_db()
    step.patch_set.candidate = step.candidate
    if not out_of_attempts(step.candidate, lease, "Judging its rung"):
        with attempt(step.candidate, lease, "Judging its rung"):
            conclude_rung(step, lease, mine, theirs)


def queue_rung(step: ScaleUp) -> None:
    """Queue what is missing of its rung: the candidate's runs, the reference runs there, and their curve. In a transaction."""
    project, base = step.project, step.patch_set.base
    stopped = Run.objects.filter(Q(patch_set=step.patch_set) | Q(patch_set=None, cell=None), baseline=base, scale=step.rung)
    for run in stopped.filter(state=State.FINISHED, outcome=Outcome.cancelled):
        requeue(run, fresh=True)
    for seed in step.seeds:
        request_run(project, base, step.patch_set, Purpose.SCALE_UP, seed, scale=step.rung)
    for seed in missing_reference_runs(base, step.rung, len(step.seeds)):
        request_run(project, base, None, Purpose.SCALE_UP, seed, scale=step.rung)
    for share in project.file.curve(step.rung):
        request_run(project, base, None, Purpose.SCALE_UP, CURVE_SEED, budget_share=share, scale=step.rung)


def missing_reference_runs(base: BaselineVersion, scale: str, size: int) -> list[int]:
    """Seeds of baseline runs that a rung still lacks (one query).

    A run that failed is made up for by a fresh seed, as long as no more than half have failed; one that a person stopped is
    queued again with its own.
    """
    runs = list(base.runs.of_baseline(scale).filter(budget_share=1.0).values_list("seed", "outcome"))
    known = {seed for seed, _ in runs}
    failed = sum(outcome not in ("", Outcome.completed, Outcome.cancelled) for _, outcome in runs)
    if failed > size // 2:
        return []
    fresh = (seed for seed in range(1, size + len(known) + 1) if seed not in known)
    return [next(fresh) for _ in range(size - (len(runs) - failed))]


def arms_of(step: ScaleUp) -> tuple[list[Run], list[Run], list[Run]]:
    """The runs of its rung: the candidate's, the baseline's at the full budget, and the baseline's at other budgets."""
    mine = step.patch_set.runs.filter(scale=step.rung, seed__in=step.seeds).order_by("seed")
    theirs = list(step.patch_set.base.runs.of_baseline(step.rung).order_by("pk"))
    full = [run for run in theirs if run.budget_share == 1.0]
    return list(mine), full, [run for run in theirs if run.budget_share != 1.0]


def conclude_rung(step: ScaleUp, lease: Lease, mine: Sequence[Run], theirs: Sequence[Run]) -> None:
    """Freeze the evidence of the rung, then go to the next rung, or end with the verdict."""
    candidate, project = step.candidate, step.project
    if mark_diverged(project, step.patch_set.runs.filter(scale=step.rung), judging=candidate.pk):
        mine = arms_of(step)[0]
    failed = next((run for run in mine if run.outcome != Outcome.completed), None)
    reference = [run for run in theirs if run.outcome == Outcome.completed]
    noise = project.noise(step.rung)
    if failed:
        why = f"At {step.rung}, its run with seed {failed.seed} did not end well: {failed.reason}"
        end(step, lease, ScaleUpState.FAILED, why)
    elif len(reference) < len(step.seeds) or noise is None:
        why = f"At {step.rung}, only {len(reference)} of {len(step.seeds)} runs of the baseline have a score"
        end(step, lease, ScaleUpState.UNSETTLED, f"{why}: there is nothing to compare with. Look at those runs first.")
    else:
        evidence = evidence_of_rung(step, Arms(reference, mine), noise)
        transfer = evidence.document.transfer
        assert transfer is not None
        if transfer.passed is None:
            end(step, lease, ScaleUpState.UNSETTLED, f"At {step.rung}: {transfer.sentence}", evidence)
        elif not transfer.passed:
            end(step, lease, ScaleUpState.FAILED, f"At {step.rung}: {transfer.sentence}", evidence)
        elif step.following is None:
            end(step, lease, ScaleUpState.PASSED, f"Holds at {step.rung}: {transfer.sentence}", evidence)
        else:
            go_up(step, lease, candidate, evidence, transfer)


def evidence_of_rung(step: ScaleUp, arms: Arms, noise: Noise) -> Evidence:
    """Evidence of one rung, unsaved: effect, time saved, and whether the gain of the rung below transfers."""
    project, patch_set = step.project, step.patch_set
    evidence = begin(patch_set, arms, noise, project.file.decision_policy(), step.rung)
    baseline, candidate = arms.scores()
    saved = savings(patch_set, arms, noise, step.rung)
    below, expected = rung_below(step), expected_there(step)
    promised = shrunken_saving(below, tau_of(project)) if below else 0.0
    evidence.document = evidence.document.model_copy(update={"savings": saved})
    others = project.noise(step.rung, but=[run.pk for run in (*arms.baseline, *arms.candidate)])
    weight = project.file.policy.sigma_weight
    verdict = judge_rung(others, baseline, candidate, saved.saved or 0.0, promised, project.sign > 0, weight)
    difference = verdict.difference
    evidence.effect, evidence.standard_error = difference.effect, difference.standard_error
    evidence.low, evidence.high = difference.interval
    passed: bool | None = verdict.passed
    sentence = verdict.sentence
    if saved.saved is None and difference.direction is not Direction.WORSE:
        passed, sentence = None, f"the time saved cannot be told: {saved.sentence}"
    evidence.verdict = Verdict.SOLID if passed else Verdict.INCONCLUSIVE
    if difference.direction is Direction.WORSE:
        evidence.verdict = Verdict.WORSE
    evidence.reason = sentence[0].upper() + sentence[1:] + "."
    evidence = frozen(evidence)
    if evidence.verdict == Verdict.INVALID:
        passed, sentence = False, evidence.reason
    elif failed := evidence.document.failed_guards:
        sentence = f"{sentence}; a guard fails: {', '.join(each.sentence for each in failed)}"
    transfer = TransferRecord(
        passed=passed,
        sentence=sentence,
        p_value=difference.p_value,
        p_harm=difference.p_harm,
        degrees=difference.degrees,
        promised=promised,
        below=RungSavingRecord.of(below) if below else None,
        predicted=expected,
        compute=compute_of(project, step.rung, arms.baseline),
    )
    evidence.document = evidence.document.model_copy(update={"transfer": transfer})
    evidence.content_hash = evidence.compute_hash()
    return evidence


def compute_of(project: Project, scale: str, runs: Sequence[Run]) -> float:
    """How much more a run of this rung computes than one of the smallest: by the FLOPs counted, else by the budget."""
    smallest = Run.objects.completed().of_baseline().filter(project=project, budget_share=1.0).order_by("-pk").first()
    counted = [flops for run in runs if (flops := run.summary.number("flops"))]
    if counted and smallest and (one := smallest.summary.number("flops")):
        return sum(counted) / len(counted) / one
    return project.file.rung(scale).budget


def saving_of(evidence: Evidence | None) -> RungSaving | None:
    """The time saved that evidence measured, with its standard error; None where it could not be read."""
    document = evidence.document if evidence and evidence.verdict != Verdict.INVALID else None
    kept = document.savings.with_interval if document and document.savings else None
    if evidence is None or document is None or kept is None or not all(map(is_usable, kept)):
        return None  # it was said in words why there is none, or it is beyond what can be a share of time
    saved, low, high = kept
    compute = (document.transfer.compute if document.transfer else None) or 1.0
    degrees = (document.noise.degrees if document.noise else None) or math.inf
    return RungSaving(evidence.scale, compute, saved, max((high - low) / (2 * t_quantile(degrees)), 1e-6))


def measured(candidate: Candidate) -> list[RungSaving]:
    """Time saved on every rung that the current patch set was measured on, smallest first (one query)."""
    return savings_by_rung(Evidence.objects.filter(patch_set=candidate.patch_set_id).order_by("pk"))


def savings_by_rung(evidence: Iterable[Evidence]) -> list[RungSaving]:
    """The newest saving of each rung among the evidence of one patch set, in the order of its freezing; smallest rung first."""
    savings = {saving.rung: saving for each in evidence if (saving := saving_of(each))}
    return sorted(savings.values(), key=lambda rung: rung.compute)


def passed_rungs(candidates: Iterable[Candidate]) -> dict[int, set[str]]:
    """The rungs that each candidate has passed with the diff that it has now, by candidate (one query).

    A rebased patch set whose diff reads the same has passed what the one before it passed.
    """
    passed: dict[int, set[str]] = {candidate.pk: set() for candidate in candidates}
    now = F("patch_set__candidate__patch_set__diff_hash")
    held = Evidence.objects.filter(patch_set__candidate__in=passed, patch_set__diff_hash=now, numbers__transfer__passed=True)
    rows = held.exclude(verdict=Verdict.INVALID).order_by().values_list("patch_set__candidate", "scale")
    for pk, scale in rows:
        passed[pk].add(scale)
    return passed


def rungs_left(rungs: Sequence[Rung], passed: Container[str]) -> Sequence[Rung]:
    """The rungs that a candidate can still be scaled up to: those above the largest that it passed, smallest first."""
    highest = max((place for place, rung in enumerate(rungs) if rung.name in passed), default=-1)
    return rungs[highest + 1 :]


def rung_below(step: ScaleUp) -> RungSaving | None:
    """The largest measured rung under the one it is on; None where no saving could be read there."""
    names = [rung.name for rung in step.project.file.rungs]
    under = set(names[: names.index(step.rung)])
    return next((rung for rung in reversed(measured(step.candidate)) if rung.rung in under), None)


def prediction(rungs: Sequence[RungSaving], compute: float) -> Prediction | None:
    """The saving to be measured at more compute than any of these rungs; None before a saving was measured.

    A measurement there is taken to be as precise as the one on the largest of them.
    """
    below = [rung for rung in rungs if rung.compute < compute * 0.99]
    return predict(below, compute, measured_with=below[-1].standard_error) if below else None


def expected_there(step: ScaleUp) -> PredictedRecord | None:
    """What was predicted for the rung that it is on, as its evidence keeps it (one query)."""
    rung = step.project.file.rung(step.rung)
    expected = prediction(measured(step.candidate), rung.budget)
    return predicted_record(expected) if expected else None


def predicted_record(expected: Prediction) -> PredictedRecord:
    """A prediction as evidence keeps it."""
    low, high = expected.interval
    return PredictedRecord(saved=expected.saved, low=low, high=high)


def forecasts_of(project: Project) -> list[Forecast]:
    """Every prediction of the project with what was measured afterwards, oldest first (one query).

    Evidence that was frozen before predictions were kept has the rung below, from which the prediction is made again.
    """
    forecasts = [forecast_of(transfer, savings) for transfer, savings in Evidence.objects.of_project(project).transfers()]
    return [forecast for forecast in forecasts if forecast]


def forecast_of(transfer: TransferRecord | None, savings: SavingsRecord | None) -> Forecast | None:
    """The prediction for a rung beside what came, from the document of its evidence; None where there was neither."""
    if transfer is None or savings is None or savings.saved is None:
        return None
    expected = transfer.predicted
    if expected is None and transfer.below:
        again = prediction([transfer.below.saving], transfer.compute or 1.0)
        expected = predicted_record(again) if again else None
    if expected is None or expected.saved is None or expected.low is None or expected.high is None:
        return None
    return Forecast(float(expected.saved), float(expected.low), float(expected.high), float(savings.saved))


def tau_of(project: Project) -> float:
    """Spread of the true savings of the confirmed candidates at the smallest rung (one query)."""
    rows = Evidence.objects.filter(patch_set__candidate__project=project, scale=SMALLEST, numbers__has_key="confirmation")
    rungs = [saving for evidence in rows.defer("reason") if (saving := saving_of(evidence))]
    try:
        return prior_spread([rung.saved for rung in rungs], [rung.standard_error for rung in rungs], floor=LEAST_TAU)
    except EvidenceError:
        return LEAST_TAU


def go_up(step: ScaleUp, lease: Lease, candidate: Candidate, evidence: Evidence, transfer: TransferRecord) -> None:
    """Passed, and the next rung is approved: go on there."""
    assert step.following
    why = f"Holds at {step.rung}: {transfer.sentence}. On to {step.following}."
    with transaction.atomic():
        freeze(candidate, evidence)
        step.rung = step.following
        ScaleUp.objects.filter(pk=step.pk, state=ScaleUpState.RUNNING).update(rung=step.rung, reason=why)
        queue_rung(step)
        candidate.move(Stage.SCALING_UP, why, lease=lease)


def end(step: ScaleUp, lease: Lease, state: ScaleUpState, why: str, evidence: Evidence | None = None) -> None:
    """The scale-up is over: to gate 2, to rest, or, where nothing could be settled, back to the shortlist."""
    stages = {ScaleUpState.PASSED: Stage.READY, ScaleUpState.FAILED: Stage.NO_TRANSFER}
    with transaction.atomic():
        if evidence:
            freeze(step.candidate, evidence)
        ended = {"state": state, "reason": why, "ended_at": timezone.now()}
        ScaleUp.objects.filter(pk=step.pk, state=ScaleUpState.RUNNING).update(**ended)
        if state == ScaleUpState.UNSETTLED:
            void_votes(step.candidate, why)
        step.candidate.move(stages.get(state, Stage.SHORTLISTED), why, lease=lease, event={"rung": step.rung})


def freeze(candidate: Candidate, evidence: Evidence) -> None:
    """Save the evidence of a rung and say so in the log. In a transaction."""
    evidence.save()
    event_data: dict[str, Any] = {"hash": evidence.content_hash, "scale": evidence.scale, "verdict": evidence.verdict}
    event_data["n"] = evidence.candidate_n
    Event.objects.seal([evidence], EventKind.EVIDENCE_FROZEN, candidate, "signoff", candidate.project, **event_data)


def stop(step: ScaleUp, actor: User, reason: str) -> None:
    """A person ends a scale-up: its runs stop within seconds, what they spent is kept. Raises ScaleUpRefused.

    Runs of the baseline that another scale-up waits for go on.
    """
    if not may_operate(actor):
        raise ScaleUpRefused("Your account may look, but not stop runs. Ask an administrator for the role “operator”.")
    name = actor.get_username()
    why = f"Scale-up stopped by {name}: {reason.strip()}" if reason.strip() else f"Scale-up stopped by {name}."
    with transaction.atomic():
        row = Candidate.objects.select_for_update(of=("self",)).select_related("project").get(pk=step.candidate_id)
        ended = {"state": ScaleUpState.STOPPED, "reason": why, "ended_at": timezone.now(), "ended_by": name}
        if not ScaleUp.objects.filter(pk=step.pk, state=ScaleUpState.RUNNING).update(**ended):
            raise ScaleUpRefused("It has ended already: reload the page to see how.")
        cancelled = cancel(unneeded_runs(step), why)
        void_votes(row, why)
        Event.objects.record(EventKind.SCALE_UP_STOPPED, row, name, row.project, rung=step.rung, reason=reason, runs=cancelled)
        row.move(Stage.SHORTLISTED, why, actor=name)


def unneeded_runs(step: ScaleUp) -> QuerySet[Run]:
    """Runs of its rung that have not ended and that no other scale-up waits for."""
    own = Q(patch_set=step.patch_set)
    others = ScaleUp.objects.running().filter(patch_set__base=step.patch_set.base_id, rung=step.rung).exclude(pk=step.pk)
    if not others.exists():
        own |= Q(patch_set=None, cell=None, baseline=step.patch_set.base_id)
    return Run.objects.filter(own, scale=step.rung).exclude(state=State.FINISHED)


def report_stuck(step: ScaleUp) -> bool:
    """Say on the candidate that a run of its rung cannot be trained; True when one is stuck. In a transaction."""
    stuck = next((run for arm in arms_of(step) for run in arm if run.state == State.STUCK), None)
    if stuck is None:
        return False
    why = f"Its scale-up waits for {stuck.name} at {step.rung}. {stuck.reason}"
    if step.candidate.stage == Stage.SCALING_UP:
        ask(step.candidate, why, Cause.RUN if stuck.patch_set_id else Cause.BASELINE)
    return True


def scale_up_waits(step: ScaleUp, overdue_after: timedelta) -> bool:
    """Whether its rung lacks runs, or all have ended and nobody concluded it for a while (three queries)."""
    mine, theirs, curve = arms_of(step)
    lacking = len(mine) < len(step.seeds) or len(curve) < len(step.project.file.curve(step.rung))
    lacking = lacking or bool(missing_reference_runs(step.patch_set.base, step.rung, len(step.seeds)))
    if lacking:
        return True
    runs = (*mine, *theirs, *curve)
    return all(run.finished_at and run.finished_at < timezone.now() - overdue_after for run in runs)


def wake(step: ScaleUp) -> None:
    """Let a worker look at its rung."""
    Message.objects.wake("scale_up", step.patch_set_id)
