"""Judge: after every run, say what follows for the candidate, and spend the next run only where it can change that.

    screening    one run: drop, or look closer
    replicating  one more seed at a time, until the sequential boundary decides or n_max is reached
    confirming   fresh seeds of both arms, the hidden shard: only what holds here goes to a person as solid, to gate 1 of
                 a project with a ladder and to gate 2 of one without
    landing      when the baseline moved: fresh seeds on the new tip, compared with its reference runs

A partial curve's ranking never stops a run. See docs/explanation/statistics.md for the policy and research_app/evidence/ for
its code.
"""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import Q

from research_app.evidence.noise import Noise
from research_app.evidence.policy import Decision, Policy, decide
from research_app.loop.attention.attention import ask, attempt, out_of_attempts
from research_app.loop.attention.watchdog import Look
from research_app.loop.judge.arms import Arms
from research_app.loop.judge.build_evidence import confirm, evidence_of_confirmation, evidence_of_look, looks_of
from research_app.loop.judge.contradictions import contradict_by_no_op
from research_app.loop.judge.diverged import mark_diverged, settle_baseline
from research_app.loop.judge.no_op import Repeated, evidence_of_no_op, repeated
from research_app.loop.judge.noise_record import record_noise
from research_app.loop.land.rejudge import judged_again, landing_waiting_for, still_good
from research_app.loop.runs import ensure_curve, ensure_reference_runs, request_run
from research_app.models import (
    BaselineVersion,
    Candidate,
    Event,
    Evidence,
    Kind,
    Landing,
    Lease,
    Message,
    PatchSet,
    Priority,
    Purpose,
    Run,
    ScaleUp,
    Stage,
    State,
    Verdict,
)
from research_app.models.candidate import Cause
from research_app.models.event_kinds import EventKind
from research_app.models.run import RunQuerySet
from research_app.project_file.ladder import SMALLEST as SCALE
from training.spec import Outcome

JUDGED = (Stage.SCREENING, Stage.REPLICATING, Stage.CONFIRMING)
CONFIRM_SEED = 10_000
"""Fresh seeds of a confirmation: this plus a hundred times the candidate's number, so that no two share any."""
SEEDS_EACH = 100
REVISION_SEED = 10_000_000  # further for each patch set: what a revised one is confirmed on was never looked at


def judge(patch_set_id: int, worker: str) -> None:
    """Judge one patch set if all that its step waits for has ended. Otherwise, or repeated: nothing."""
    patch_set = PatchSet.objects.select_related("candidate__project", "base__project").get(pk=patch_set_id)
    candidate, landing = patch_set.candidate, landing_waiting_for(patch_set)
    if candidate.patch_set_id != patch_set.pk or candidate.needs_attention:
        return
    runs = list(patch_set.runs.filter(scale=SCALE).order_by("pk"))
    if not runs or any(run.state != State.FINISHED for run in runs):
        return
    lease = Candidate.claim(candidate.pk, worker, Q(stage__in=[Stage.LANDING] if landing else JUDGED))
    if lease is None:
        return
    candidate.refresh_from_db()
    patch_set.candidate = candidate
    if out_of_attempts(candidate, lease, "Judging"):
        return
    with attempt(candidate, lease, "Judging"):
        settle_baseline(patch_set.base, SCALE)
        if mark_diverged(candidate.project, patch_set.runs.filter(scale=SCALE), judging=candidate.pk):
            runs = list(patch_set.runs.filter(scale=SCALE).order_by("pk"))
        failed = next((run for run in runs if run.outcome != Outcome.completed), None)
        if failed:
            conclude(candidate, lease, Stage.CRASHED, failed.reason, None, landing)
        elif landing:
            judge_landing(patch_set, runs, lease, landing)
        elif candidate.stage == Stage.CONFIRMING:
            judge_confirmation(patch_set, runs, lease)
        else:
            judge_look(patch_set, runs, lease)


def judge_baseline(baseline_id: int) -> None:
    """A run of the baseline has ended: wake every patch set that is compared with it."""
    waiting = PatchSet.objects.filter(base=baseline_id, current_of__stage__in=[*JUDGED, Stage.LANDING])
    for pk in waiting.values_list("pk", flat=True):
        Message.objects.wake("judge", pk)
    scaled_up = ScaleUp.objects.running().filter(patch_set__base=baseline_id)
    for pk in scaled_up.values_list("patch_set_id", flat=True):
        Message.objects.wake("scale_up", pk)


def reference_runs_of(baseline: BaselineVersion, size: int, priority: Priority | None = None) -> list[Run] | None:
    """Return the first `size` reference runs, oldest first. If there are fewer, queue the missing ones and return None."""
    completed = list(baseline.runs.completed().of_baseline().filter(scale=SCALE, purpose=Purpose.REFERENCE).order_by("pk"))
    if len(completed) >= size:
        return completed
    with transaction.atomic():
        ensure_reference_runs(baseline, size, priority)
    return None


def judge_look(patch_set: PatchSet, runs: Sequence[Run], lease: Lease) -> None:
    """One look of the sequential policy: drop, run one more seed, confirm, or leave it at that."""
    candidate, policy = patch_set.candidate, patch_set.candidate.project.file.decision_policy()
    reference, noise = (
        reference_runs_of(patch_set.base, policy.reference_runs_for(len(runs))),
        candidate.project.noise(judging=candidate.pk),
    )
    if reference is None or noise is None:
        wait_for_baseline(patch_set, lease)
        return
    seen = repeated(patch_set, runs, noise)
    if seen and (seen.proven or len(runs) < policy.n_max):
        judge_repeated(patch_set, seen, noise, lease)
        return
    arms = Arms(reference, runs)
    decisions = decide_looks(policy, noise, arms, candidate.project.sign > 0)
    evidence = evidence_of_look(patch_set, arms, noise, decisions[-1], looks_of(policy, decisions))
    step = "invalid" if evidence.verdict == Verdict.INVALID else decisions[-1].step
    if step == "drop" and candidate.kind == Kind.REMOVAL and len(runs) < policy.confirm_runs:
        step = "run"  # no gain is what is hoped for: a few more say whether it does harm
    if step == "run":
        next_seed = max(run.seed for run in runs) + 1
        seeds = [next_seed]
        go_on(candidate, lease, Stage.REPLICATING, evidence, Purpose.REPLICATE, seeds, decisions[-1].reference_runs_needed)
    elif step == "confirm":
        first = first_fresh_seed(patch_set)
        seeds = list(range(first, first + policy.confirm_runs))
        go_on(candidate, lease, Stage.CONFIRMING, evidence, Purpose.CONFIRM, seeds, decisions[-1].reference_runs_needed)
    else:
        stage = {"drop": Stage.DROPPED, "inconclusive": Stage.INCONCLUSIVE, "invalid": Stage.INVALID}[step]
        conclude(candidate, lease, to_person(candidate, stage, evidence), evidence.reason, evidence, None)


def judge_repeated(patch_set: PatchSet, seen: Repeated, noise: Noise, lease: Lease) -> None:
    """What repeats the baseline's own runs is dropped as a no-op, or has another seed where that may be chance."""
    candidate, policy = patch_set.candidate, patch_set.candidate.project.file.decision_policy()
    evidence = evidence_of_no_op(patch_set, seen, noise)
    if evidence.verdict == Verdict.MORE_RUNS_NEEDED:
        seeds = [max(run.seed for run in seen.arms.candidate) + 1]
        reference = policy.reference_runs_for(len(seen.arms.candidate) + 1)
        go_on(candidate, lease, Stage.REPLICATING, evidence, Purpose.REPLICATE, seeds, reference)
        return
    stage = Stage.INVALID if evidence.verdict == Verdict.INVALID else Stage.DROPPED
    conclude(candidate, lease, to_person(candidate, stage, evidence), evidence.reason, evidence, None)


def wait_for_baseline(patch_set: PatchSet, lease: Lease) -> None:
    """Give the candidate back until the baseline's next run has ended; where none will bring anything, it says so at once."""
    reason = Look().baseline(patch_set.base, SCALE)
    if isinstance(reason, bool):
        lease.release()  # the next run wakes it again
    else:
        ask(patch_set.candidate, *reason, lease=lease)


def decide_looks(policy: Policy, noise: Noise, arms: Arms, lower_is_better: bool) -> list[Decision]:
    """The decision at each look so far, on today's reference runs and sigma; the last one counts."""
    baseline, candidate = arms.scores()
    looks = range(1, min(len(candidate), policy.n_max) + 1)
    return [decide(policy, noise.sigma, baseline, candidate[:n], lower_is_better) for n in looks]


def go_on(
    candidate: Candidate, lease: Lease, stage: Stage, evidence: Evidence, purpose: Purpose, seeds: Sequence[int], reference: int
) -> None:
    """Keep the evidence so far and queue what the next step needs, in one transaction."""
    project, patch_set = candidate.project, candidate.revision
    with transaction.atomic():
        freeze(candidate, evidence)
        ensure_reference_runs(patch_set.base, reference)
        for seed in seeds:
            request_run(project, patch_set.base, patch_set, purpose, seed)
            if purpose == Purpose.CONFIRM:
                request_run(project, patch_set.base, None, purpose, seed)
        ensure_curve(patch_set.base, Priority.CONFIRM if purpose == Purpose.CONFIRM else Priority.LIKELY)
        candidate.move(stage, evidence.reason, lease=lease, evidence=evidence)


def judge_confirmation(patch_set: PatchSet, runs: Sequence[Run], lease: Lease) -> None:
    """Fresh seeds of both arms on the hidden shard, and the same sign on the gate shard."""
    candidate, project = patch_set.candidate, patch_set.candidate.project
    fresh = [run for run in runs if run.purpose == Purpose.CONFIRM]
    first = first_fresh_seed(patch_set)
    theirs = patch_set.base.runs.of_baseline().filter(scale=SCALE, seed__range=(first, first + SEEDS_EACH - 1))
    curve = patch_set.base.runs.of_baseline().filter(purpose=Purpose.CURVE)
    noise = project.noise(but=theirs.values_list("pk", flat=True), judging=candidate.pk)
    if noise is None or any(run.state != State.FINISHED for run in [*theirs, *curve]) or made_up_for(patch_set, theirs, fresh):
        wait_for_baseline(patch_set, lease)
        return
    arms = Arms([run for run in theirs.order_by("pk") if run.outcome == Outcome.completed], fresh)
    if not arms.baseline:
        ask(candidate, nothing_to_compare(theirs), Cause.RUN, lease)
        return
    gate_baseline, gate_mine = arms.scores()
    gate = project.sign * (sum(gate_baseline) / len(gate_baseline) - sum(gate_mine) / len(gate_mine))
    hidden_shard = None if project.self_reported else gate
    confirmation, tau = confirm(project, noise, arms, hidden_shard, hidden=True)
    looks = candidate.evidence.document.looks if candidate.evidence else ()
    evidence = evidence_of_confirmation(patch_set, arms, noise, confirmation, looks, tau)
    if evidence.verdict == Verdict.SOLID:
        conclude(candidate, lease, gate_after(candidate), evidence.reason, evidence, None)
        return
    ends = {Verdict.INVALID: Stage.INVALID, Verdict.WORSE: Stage.DROPPED}
    stage = to_person(candidate, ends.get(Verdict(evidence.verdict), Stage.INCONCLUSIVE), evidence)
    with transaction.atomic():
        theirs.update(purpose=Purpose.REFERENCE)  # fresh runs that confirmed nothing are as good as any reference run
        conclude(candidate, lease, stage, evidence.reason, evidence, None)


def first_fresh_seed(patch_set: PatchSet) -> int:
    """The first of the seeds that this patch set alone is confirmed with."""
    return CONFIRM_SEED + SEEDS_EACH * patch_set.candidate.number + REVISION_SEED * (patch_set.number - 1)


def made_up_for(patch_set: PatchSet, theirs: RunQuerySet, fresh: Sequence[Run]) -> bool:
    """Whether runs of the baseline that failed were asked for again with other seeds: a few may be, half are too many."""
    completed, ended = theirs.completed().count(), theirs.count()
    failed, missing = ended - completed, len(fresh) - completed
    if missing <= 0 or failed > len(fresh) // 2:
        return False
    used = set(theirs.values_list("seed", flat=True))
    first = first_fresh_seed(patch_set)
    seeds = [seed for seed in range(first, first + SEEDS_EACH) if seed not in used][:missing]
    with transaction.atomic():
        for seed in seeds:
            request_run(patch_set.candidate.project, patch_set.base, None, Purpose.CONFIRM, seed, priority=Priority.LACKING)
    return True


def nothing_to_compare(theirs: RunQuerySet) -> str:
    """Why a confirmation cannot be judged: no run of the baseline on its seeds has a score (one query)."""
    newest = theirs.order_by("-pk")[0]
    reason = f"None of the {len(theirs)} fresh runs of the baseline that it is to be compared with has a score. "
    return reason + f"The newest, {newest.name}: {newest.reason} Mend that, then choose “Try again”."


def gate_after(candidate: Candidate) -> Stage:
    """Where a solid candidate waits for a person: gate 1, or gate 2 in a project of one rung and for what only takes back."""
    taken_back = candidate.kind in (Kind.REMOVAL, Kind.REVERT)
    return Stage.READY if taken_back or not candidate.project.file.upper_rungs else Stage.SHORTLISTED


def to_person(candidate: Candidate, stage: Stage, evidence: Evidence) -> Stage:
    """What takes something back need not gain anything: a revert goes to gate 2 with whatever was measured, a removal unless
    it was seen to do harm."""
    to_gate = candidate.kind == Kind.REVERT or (candidate.kind == Kind.REMOVAL and evidence.verdict != Verdict.WORSE)
    return Stage.READY if to_gate and stage in (Stage.DROPPED, Stage.INCONCLUSIVE) else stage


def judge_landing(patch_set: PatchSet, runs: Sequence[Run], lease: Lease, landing: Landing) -> None:
    """Whether a change still helps on the tip that moved: its fresh seeds against the new reference, as in a confirmation."""
    candidate, project = patch_set.candidate, patch_set.candidate.project
    policy = project.file.decision_policy()
    reference = reference_runs_of(patch_set.base, max(policy.reference_runs, policy.confirm_runs), Priority.LACKING)
    if reference is None:
        lease.release()  # the watchdog takes it out of the queue where the tip cannot be measured
        return
    noise = project.noise(but=[run.pk for run in reference], judging=candidate.pk) or project.noise()
    if noise is None:
        lease.release()
        return
    arms = Arms(reference, runs)
    confirmation, tau = confirm(project, noise, arms, None, hidden=False)
    evidence = evidence_of_confirmation(patch_set, arms, noise, confirmation, [], tau)
    stage = Stage.READY if still_good(candidate, candidate.evidence, evidence) else Stage.INCONCLUSIVE
    conclude(candidate, lease, stage, evidence.reason, evidence, landing)


def freeze(candidate: Candidate, evidence: Evidence) -> None:
    """Save evidence and say so in the log, without the numbers of the hidden shard. In a transaction."""
    evidence.save()
    event_data = {"hash": evidence.content_hash, "verdict": evidence.verdict, "n": evidence.candidate_n}
    Event.objects.seal([evidence], EventKind.EVIDENCE_FROZEN, candidate, "signoff", candidate.project, **event_data)


def conclude(
    candidate: Candidate, lease: Lease, stage: Stage, why: str, evidence: Evidence | None, landing: Landing | None
) -> None:
    """Freeze the evidence and move on: to rest, or, for a landing, back into the queue or out of it."""
    with transaction.atomic():
        fields: dict[str, Any] = {}
        if evidence:
            freeze(candidate, evidence)
            fields["evidence"] = evidence
            if candidate.aa and evidence.verdict == Verdict.SOLID:
                contradict_by_no_op(candidate, evidence)
        if landing is None:
            candidate.move(stage, why, lease=lease, **fields)
        else:
            judged_again(landing, candidate, lease, stage, why, fields)
        record_noise(candidate.project)
