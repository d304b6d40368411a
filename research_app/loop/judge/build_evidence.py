"""Build evidence: from finished runs to an evidence row, with everything that a reviewer needs to judge it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from research_app.evidence.apart import places_apart
from research_app.evidence.difference import Difference, Direction, from_estimate, in_words
from research_app.evidence.digits import Gain, in_sigma, number, p_value
from research_app.evidence.envelope import Measured
from research_app.evidence.errors import BadScore, EvidenceError, require_finite
from research_app.evidence.evidence_document import (
    ArmRun,
    ConfirmationRecord,
    ContradictionRecord,
    EnvelopeRecord,
    EvidenceDocument,
    FailedGuardRecord,
    GuardRecord,
    LeftOutRecord,
    LookRecord,
    NoiseRecord,
    SavingsRecord,
)
from research_app.evidence.guards import failed_guards
from research_app.evidence.health import Health, RunFacts, check
from research_app.evidence.noise import Noise, prior_spread
from research_app.evidence.policy import Confirmation, Decision, Policy, decide_confirmation
from research_app.evidence.pooling import NAMED, scatter_apart
from research_app.evidence.savings import fit_loss_curve, time_saved
from research_app.loop.check.examine import claims_of, with_findings
from research_app.loop.judge.arms import Arms
from research_app.loop.judge.budget_check import OWN_BUDGET, budgets_of
from research_app.loop.judge.envelope_check import beyond, costly, envelope_of
from research_app.loop.judge.guard_check import guards_of, sources_of, sources_record
from research_app.loop.judge.same_minutes import baseline_beside, of_same_minutes
from research_app.loop.train.measure import readable
from research_app.models import Candidate, Evidence, PatchSet, Project, Purpose, Run, Stage, Verdict
from research_app.project_file.ladder import SMALLEST
from training.spec import Outcome


def evidence_of_look(
    patch_set: PatchSet, arms: Arms, noise: Noise, decision: Decision, looks: Sequence[LookRecord]
) -> Evidence:
    """Evidence of one look of the sequential policy, unsaved."""
    policy = patch_set.candidate.project.file.decision_policy()
    evidence = begin(patch_set, arms, noise, policy)
    difference = from_estimate(decision.effect, noise.sigma, decision.standard_error, noise.degrees)
    evidence.effect, evidence.standard_error = difference.effect, difference.standard_error
    evidence.low, evidence.high = difference.interval
    evidence.verdict, evidence.reason = _verdict_of(decision, policy, difference, len(arms.candidate))
    settled = settle(decision, arms.candidate)
    fields = {"looks": tuple(looks), "runs_needed": decision.runs_needed, "settle": settled}
    evidence.document = evidence.document.model_copy(update=fields)
    return frozen(evidence)


def evidence_of_confirmation(
    patch_set: PatchSet, arms: Arms, noise: Noise, confirmation: Confirmation, looks: Sequence[LookRecord], tau: float
) -> Evidence:
    """Evidence of the confirming runs, unsaved: the only estimate that is shown as the effect."""
    policy = patch_set.candidate.project.file.decision_policy()
    evidence = begin(patch_set, arms, noise, policy)
    evidence.effect, evidence.standard_error = confirmation.shrunk_effect, confirmation.standard_error
    evidence.low, evidence.high = confirmation.shrunk_interval
    n = len(arms.candidate)
    evidence.verdict, evidence.reason = _verdict_of_confirmation(confirmation, n)
    kept = ConfirmationRecord.of(confirmation).model_copy(update={"tau": tau, "n": n})
    fields = {"looks": tuple(looks), "confirmation": kept, "savings": savings(patch_set, arms, noise)}
    evidence.document = evidence.document.model_copy(update=fields)
    return frozen(evidence)


def looks_of(policy: Policy, decisions: Sequence[Decision]) -> list[LookRecord]:
    """Where the evidence stood at each look, for the small chart of the verdict card."""
    return [
        LookRecord(n=n, z=decision.z, boundary=decision.boundary, effect=decision.effect)
        for n, decision in enumerate(decisions, 1)
    ]


def settle(decision: Decision, runs: Sequence[Run]) -> str:
    """What would settle an open case, in words: "2 more runs, about 40 s of device time"."""
    if not decision.runs_needed:
        return ""
    seconds = [run.train_seconds for run in runs if run.train_seconds]
    cost = f", about {readable(decision.runs_needed * fmean(seconds))} of device time" if seconds else ""
    return f"{decision.runs_needed} more run{'s' if decision.runs_needed > 1 else ''}{cost}"


def tau_of(project: Project, noise: Noise, fresh: Confirmation) -> float:
    """Spread of the true effects among confirmed candidates, this one among them, never below sigma (one query)."""
    confirmed = [each for each in Evidence.objects.of_project(project).confirmations() if each.standard_error is not None]
    effects = [*(each.effect for each in confirmed), fresh.effect]
    errors = [*(each.standard_error or 0.0 for each in confirmed), fresh.standard_error]
    return prior_spread(effects, errors, floor=noise.sigma)


def confirm(project: Project, noise: Noise, arms: Arms, gate_effect: float | None, hidden: bool) -> tuple[Confirmation, float]:
    """The decision on fresh seeds and the tau that its effect is shrunk by."""
    policy, (baseline, mine) = project.file.decision_policy(), arms.scores(hidden)

    def decided(tau: float) -> Confirmation:
        return decide_confirmation(policy, noise, baseline, mine, tau, project.sign > 0, gate_effect)

    tau = tau_of(project, noise, decided(math.inf))
    return decided(tau), tau


def savings(patch_set: PatchSet, arms: Arms, noise: Noise, scale: str = SMALLEST) -> SavingsRecord:
    """Time saved at equal loss, read off the baseline's loss against budget on the same rung; or in words why it cannot be."""
    project = patch_set.candidate.project
    rows = patch_set.base.runs.scored().of_baseline(scale)
    rows = rows.exclude(purpose=Purpose.TARGET)  # far smaller budgets, where the loss is no line in their logarithm
    if project.file.budget.own:
        return SavingsRecord(sentence=OWN_BUDGET)
    points = list(rows.values_list("budget_share", "score"))
    shares, scores = [share for share, _ in points], [float(score or 0.0) for _, score in points]
    try:
        curve = fit_loss_curve(shares, scores, noise.sigma, lower_is_better=project.sign > 0)
        saving = time_saved(curve, arms.scores()[1], noise.sigma, noise.degrees)
    except EvidenceError as problem:
        return SavingsRecord(sentence=str(problem))
    low, high = saving.interval
    return SavingsRecord(saved=saving.saved, low=low, high=high, extrapolated=saving.extrapolated)


def begin(patch_set: PatchSet, arms: Arms, noise: Noise, policy: Policy, scale: str = SMALLEST) -> Evidence:
    """What all evidence holds, whatever it says, unsaved."""
    candidate, project = patch_set.candidate, patch_set.candidate.project
    same = of_same_minutes(baseline_beside(arms.candidate), arms.candidate)
    scores, guards, sources = arms.scores(), guards_of(project, arms, same), sources_of(project, arms)
    for name, read in zip(("baseline", "candidate"), scores, strict=True):
        require_finite(read, name)
    measured = envelope_of(patch_set, arms, same)
    health = health_of(patch_set, arms, measured)
    scatter = scatter_apart(str(candidate), scores[1], noise)
    evidence = Evidence(
        patch_set=patch_set,
        scale=scale,
        policy_version=project.policy_version,
        baseline_mean=fmean(scores[0]),
        candidate_mean=fmean(scores[1]),
        baseline_n=len(arms.baseline),
        candidate_n=len(arms.candidate),
        sigma=noise.sigma,
    )
    evidence.document = EvidenceDocument(
        policy=asdict(policy),
        boundaries=policy.boundaries,
        noise=noise_record(noise),
        scatter=LeftOutRecord.of(scatter) if scatter else None,
        baseline=arm_runs(arms.baseline),
        candidate=arm_runs(arms.candidate),
        data_hash=project.data_hash,
        health=with_findings(health, [*arms.baseline, *arms.candidate]),
        contradictions=tuple(map(ContradictionRecord.of, claims_of(candidate, arms.baseline[0], arms.candidate[0], same))),
        guards=tuple(map(GuardRecord.of, guards)),
        envelope=tuple(map(EnvelopeRecord.of, measured)),
        sources=sources_record(sources),
        failed_guards=tuple(map(FailedGuardRecord.of, failed_guards(guards, sources))),
        tried=tried_since_landing(candidate),
    )
    return evidence


def noise_record(noise: Noise) -> NoiseRecord:
    """The noise as evidence keeps it, the worst of the groups that it leaves out named."""
    named = tuple(map(LeftOutRecord.of, noise.left_out[:NAMED]))
    return NoiseRecord.of(noise).model_copy(update={"left_out": named, "groups_left_out": len(noise.left_out)})


def frozen(evidence: Evidence) -> Evidence:
    """Health before effect, then the hash."""
    document = evidence.document
    if document.state == "invalid":
        evidence.verdict = Verdict.INVALID
        findings = document.health.findings if document.health else ()
        evidence.reason = "Not comparable: " + "; ".join(finding.sentence for finding in findings) + "."
        evidence.effect = evidence.low = evidence.high = None
    elif evidence.verdict not in (Verdict.DROP, Verdict.WORSE) and document.failed_guards:
        evidence.reason += f" A guard fails: {'; '.join(each.sentence for each in document.failed_guards)}."
    if odd := not_finite(evidence.content()):
        raise BadScore(f"{odd} is not a finite number: such evidence cannot be kept")
    evidence.content_hash = evidence.compute_hash()
    return evidence


def not_finite(value: Any, name: str = "evidence") -> str:
    """The name of the first figure, however deep, that is NaN or infinite; empty where there is none."""
    if isinstance(value, float):
        return "" if math.isfinite(value) else name
    if isinstance(value, Mapping):
        return next(filter(None, (not_finite(each, f"{name}.{key}") for key, each in value.items())), "")
    if isinstance(value, list | tuple):
        return next(filter(None, (not_finite(each, name) for each in value)), "")
    return ""


def _verdict_of(decision: Decision, policy: Policy, difference: Difference, runs: int) -> tuple[Verdict, str]:
    """The verdict of one look and why, in a sentence."""
    summary = f"{in_sigma(difference.effect / difference.sigma)} on {runs} run{'s' if runs > 1 else ''}"
    if decision.step == "drop" and difference.direction is Direction.WORSE:
        return Verdict.WORSE, f"{_capital(difference.sentence)} ({summary})."
    if decision.step == "drop":
        seen, line = effect_and_line(difference.effect / difference.sigma, policy.drop_below(runs))
        summary = f"{seen} on {runs} run{'s' if runs > 1 else ''}"
        return (
            Verdict.DROP,
            f"{_capital(difference.sentence)} ({summary}): below the line of {line} under which a change is dropped.",
        )
    if decision.step == "inconclusive":
        return Verdict.INCONCLUSIVE, f"{summary}: too small for {policy.n_max} runs to tell from seed noise."
    if decision.step == "confirm":
        return Verdict.MORE_RUNS_NEEDED, f"{summary}: it crossed the boundary; fresh seeds must confirm it."
    return Verdict.MORE_RUNS_NEEDED, f"{summary}: it may be real; more seeds will tell."


def effect_and_line(effect: float, line: float) -> tuple[str, str]:
    """An effect in sigma and the line that it lies below, with digits that show it: `+0.87 σ` and `0.90 σ`."""
    places = places_apart(effect, line, decimals=1, nothing=True)
    return in_sigma(effect, places), f"{number(line) if places == 1 else f'{line:.{places}f}'} σ"


def _verdict_of_confirmation(confirmation: Confirmation, runs: int) -> tuple[Verdict, str]:
    """The verdict on fresh seeds and why, in a sentence."""
    where = f"{runs} fresh seeds of each arm"
    summary = in_words(Gain(confirmation.shrunk_effect, confirmation.standard_error, *confirmation.shrunk_interval))
    if confirmation.solid:
        return Verdict.SOLID, f"Confirmed on {where} (one-sided {p_value(confirmation.p_value)})."
    if confirmation.direction is Direction.WORSE:
        return Verdict.WORSE, f"{_capital(summary)}, on {where} (one-sided {p_value(confirmation.p_harm)})."
    if confirmation.same_sign is False:
        return Verdict.INCONCLUSIVE, f"The gate text disagrees with the hidden text on {where}; {summary} on the hidden text."
    return Verdict.INCONCLUSIVE, f"{_capital(summary)}, on {where} ({p_value(confirmation.p_value)})."


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def arm_runs(runs: Sequence[Run]) -> tuple[ArmRun, ...]:
    """What evidence keeps of each run."""
    return tuple(ArmRun(run=r.pk, seed=r.seed, commit=r.commit, score=r.score, hidden=r.hidden_score) for r in runs)


def health_of(patch_set: PatchSet, arms: Arms, measured: Sequence[Measured]) -> Health:
    """All health rules over both arms."""
    project = patch_set.candidate.project
    probes: dict[str, bool] = {}
    for run in arms.candidate:
        for name, probe in run.summary.probes.items():
            probes[name] = probes.get(name, True) and probe.ok
    flags = [edit.sentence for edit in patch_set.risky_edits if edit.level != "info"]
    baseline, candidate = budgets_of(project, arms)
    return check(
        [facts_of(project, run, *spent) for run, spent in zip(arms.baseline, baseline, strict=True)],
        [facts_of(project, run, *spent) for run, spent in zip(arms.candidate, candidate, strict=True)],
        probes=probes,
        risk_flags=flags,
        lower_is_better=project.sign > 0,
        plausible_gain=project.file.policy.plausible_gain,
        beyond=beyond(measured),
        costly=costly(measured),
        own_tolerance=project.file.budget.tolerance if project.file.budget.own else None,
    )


def facts_of(project: Project, run: Run, budget: float, spent: float) -> RunFacts:
    """One run as the health rules see it."""
    outcomes = {Outcome.completed: "finished", Outcome.not_finite: "nan", Outcome.diverged: "nan"}
    return RunFacts(
        data_hash=run.summary.text("data_hash"),
        budget=budget,
        spent=spent,
        device_kind=project.file.rung(run.scale).place,
        scorer_hash=run.summary.text("scorer_hash"),
        outcome=outcomes.get(Outcome(run.outcome), "crashed"),  # type: ignore[arg-type]
        score=run.score,
    )


def tried_since_landing(candidate: Candidate) -> int:
    """How many candidates were compared with this candidate's baseline: one of so many tries (one query)."""
    tried = Candidate.objects.filter(project=candidate.project, base=candidate.base)
    return tried.exclude(stage__in=[Stage.PROPOSED, Stage.CHECKING, Stage.INVALID]).count()
