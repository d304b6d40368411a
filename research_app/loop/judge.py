"""Judge: compare a patch set with its base as soon as the runs are there, freeze the evidence, and say what follows.

One run cannot be solid. What looks worse than the policy's first drop line is dropped; what does not goes to a person,
marked "more runs needed".
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from django.db import transaction
from django.db.models import Q

from research_app.evidence.policy import Decision, Policy, decide
from research_app.loop.land import judged_again, landing_waiting_for
from research_app.models import (
    BaselineVersion,
    Candidate,
    Event,
    Evidence,
    Landing,
    Message,
    PatchSet,
    Run,
    Stage,
    State,
    Verdict,
)
from research_app.models.lease import Lease
from training.spec import Outcome

POLICY_VERSION = 1
SCALE = "S"


def judge(patch_set_id: int, worker: str) -> None:
    """Judge one patch set if its runs have ended and its base's bank is complete. Otherwise, or repeated: nothing."""
    patch_set = PatchSet.objects.select_related("candidate__project", "base").get(pk=patch_set_id)
    candidate = patch_set.candidate
    rejudging = landing_waiting_for(patch_set)
    if candidate.patch_set_id != patch_set.pk and not rejudging:
        return
    runs = list(patch_set.runs.filter(scale=SCALE).order_by("seed"))
    if not runs or any(run.state != State.FINISHED for run in runs):
        return
    failed = next((run for run in runs if run.outcome != Outcome.completed), None)
    bank = bank_of(patch_set.base)
    if failed is None and bank is None:
        return  # the last run of the bank wakes every patch set that waits for it
    stage = Stage.LANDING if rejudging else Stage.SCREENING
    lease = Candidate.claim(candidate.pk, worker, Q(stage=stage))
    if lease is None:
        return
    candidate.refresh_from_db()
    if failed:
        conclude(candidate, lease, Stage.CRASHED, failed.reason, None, rejudging)
        return
    evidence = weigh(patch_set, bank or [], runs)
    dropped = evidence.verdict == Verdict.DROP
    conclude(candidate, lease, Stage.DROPPED if dropped else Stage.READY, evidence.reason, evidence, rejudging)


def judge_baseline(baseline_id: int) -> None:
    """A run of the bank has ended: when the bank is complete, wake what waited for it; tell when it cannot be."""
    baseline = BaselineVersion.objects.select_related("project").get(pk=baseline_id)
    if bank_of(baseline) is None:
        return
    waiting = PatchSet.objects.filter(base=baseline, candidate__stage__in=[Stage.SCREENING, Stage.LANDING])
    for pk in waiting.values_list("pk", flat=True):
        Message.objects.enqueue("judge", pk)


def bank_of(baseline: BaselineVersion) -> list[Run] | None:
    """The bank's completed runs once K seeds have ended, or None. A baseline that crashes has no bank."""
    runs = list(baseline.runs.filter(patch_set=None, scale=SCALE).order_by("seed"))
    completed = [run for run in runs if run.outcome == Outcome.completed]
    ended = all(run.state == State.FINISHED for run in runs)
    return completed if ended and len(completed) >= baseline.project.file.baseline.runs else None


def weigh(patch_set: PatchSet, bank: Sequence[Run], runs: Sequence[Run]) -> Evidence:
    """The comparison as an unsaved row, with its verdict and the reason for it."""
    project = patch_set.candidate.project
    policy = Policy(bank=project.file.baseline.runs)
    noise = project.noise()
    scores = [[float(run.score or 0.0) for run in arm] for arm in (bank, runs)]
    evidence = Evidence(
        patch_set=patch_set,
        scale=SCALE,
        policy_version=POLICY_VERSION,
        baseline_mean=fmean(scores[0]),
        candidate_mean=fmean(scores[1]),
        baseline_n=len(bank),
        candidate_n=len(runs),
        sigma=noise.sigma if noise else None,
        numbers={"baseline": told_of(bank), "candidate": told_of(runs), "data_hash": project.data_hash},
    )
    if problem := health_problem(bank, runs):
        evidence.verdict, evidence.reason = Verdict.INVALID, problem
    elif noise is None:
        difference = project.sign * (fmean(scores[0]) - fmean(scores[1]))
        evidence.effect = difference
        evidence.verdict = Verdict.MORE_RUNS_NEEDED if difference > 0 else Verdict.DROP
        evidence.reason = "The baseline's runs do not differ at all, so there is no noise to compare with."
    else:
        decision = decide(policy, noise.sigma, scores[0], scores[1], lower_is_better=project.sign > 0)
        evidence.effect, evidence.standard_error = decision.effect, decision.standard_error
        evidence.numbers |= {"z": decision.z, "boundary": decision.boundary, "runs_needed": decision.runs_needed}
        evidence.verdict, evidence.reason = verdict_of(decision, policy, noise.sigma, len(runs))
    evidence.content_hash = evidence.compute_hash()
    return evidence


def told_of(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """What evidence keeps of each run."""
    return [{"run": run.pk, "seed": run.seed, "commit": run.commit, "score": run.score} for run in runs]


def health_problem(bank: Sequence[Run], runs: Sequence[Run]) -> str | None:
    """A difference between the arms that makes their scores incomparable, as a sentence."""
    for fact, name in (("data_hash", "data"), ("budget", "budget"), ("device", "device kind")):
        values = [{run.facts.get(fact) for run in arm if fact in run.facts} for arm in (bank, runs)]
        if values[0] and values[1] and values[0] != values[1]:
            return f"The candidate and the baseline were trained with a different {name}: their scores cannot be compared."
    return None


def verdict_of(decision: Decision, policy: Policy, sigma: float, runs: int) -> tuple[Verdict, str]:
    """The verdict on so many runs and why, in a sentence."""
    in_sigma = decision.effect / sigma
    said = f"{'+' if in_sigma >= 0 else '−'}{abs(in_sigma):.1f} sigma on {runs} run{'s' if runs > 1 else ''}"
    if decision.step == "drop":
        return (
            Verdict.DROP,
            f"{said}: below the line of {policy.drop_below(runs):g} sigma under which a change is dropped.",
        )
    return Verdict.MORE_RUNS_NEEDED, f"{said}: it may be real, but one run cannot tell it from seed noise."


def conclude(
    candidate: Candidate, lease: Lease, stage: Stage, why: str, evidence: Evidence | None, landing: Landing | None
) -> None:
    """Freeze the evidence and move on: to rest, or, for a landing, back into the queue or out of it."""
    with transaction.atomic():
        fields: dict[str, Any] = {}
        if evidence:
            evidence.save()
            fields["evidence"] = evidence
            told = {"hash": evidence.content_hash, "verdict": evidence.verdict, "effect": evidence.effect}
            Event.objects.record("evidence frozen", candidate, "signoff", candidate.project, **told)
        if landing is None:
            candidate.move(stage, why, lease=lease, **fields)
        else:
            judged_again(landing, candidate, lease, stage, why, fields)
