"""Envelope check: what the runs of both arms used, by the runner's own account, and whether that can be compared."""

from collections.abc import Sequence
from statistics import median

from research_app.evidence.envelope import Measured, Spent, TimeBudget, envelope
from research_app.loop.judge.arms import Arms
from research_app.loop.judge.same_minutes import SameMinutes
from research_app.models import Candidate, PatchSet, Project, Run, Widening
from training.reported_by_run import said_by_run


def envelope_of(patch_set: PatchSet, arms: Arms, same: SameMinutes) -> list[Measured]:
    """Every measured quantity of the candidate's runs beside the baseline's, those of the same minutes where there are any
    (one query)."""
    project = patch_set.candidate.project
    return envelope(
        [spent_by(project, run) for run in (same.near or arms.baseline)],
        [spent_by(project, run) for run in arms.candidate],
        same_minutes=bool(same.near),
        widened=widened_to(patch_set.candidate),
        time=time_budget(project, arms, same.near or arms.baseline),
    )


def time_budget(project: Project, arms: Arms, baseline: Sequence[Run]) -> TimeBudget | None:
    """The budget of the arms, where that is a time; of one that the code keeps itself, what the baseline's commands took."""
    budget = project.file.run_budget(arms.candidate[0].budget_share, arms.candidate[0].scale)
    if not budget.is_time:
        return None
    if not budget.own:
        return TimeBudget(budget.amount)
    took = [run.train_seconds for run in baseline if run.train_seconds]
    return TimeBudget(median(took), budget.tolerance, max(took) / median(took)) if took else None


def widened_to(candidate: Candidate) -> float:
    """Times the baseline's that a person allowed for this candidate; 1 where nobody did (one query)."""
    newest = Widening.objects.filter(candidate=candidate).order_by("-pk").first()
    return newest.times if newest else 1.0


def spent_by(project: Project, run: Run) -> Spent:
    """What one run used, and which part of its budget it used it for: a resumed attempt did not train what others had."""
    budget = project.file.run_budget(run.budget_share, run.scale)
    work = budget.what.work  # of an own budget every run is a whole one
    counted = _number(run, work) if work else None
    share = counted / budget.amount if counted else 1.0
    here, tokens = _number(run, "tokens_here"), _number(run, "tokens")
    if here is not None and tokens:
        share *= here / tokens
    return Spent(
        cpu_seconds=_number(run, "cpu_seconds") if _whole(run) else None,
        device_seconds=_number(run, "device_busy_seconds") if _whole(run) else None,
        energy=_number(run, "device_energy_joules") if _whole(run) else None,
        memory=_number(run, "peak_memory_bytes"),
        wall_seconds=run.train_seconds,
        share=share,
        draws=_number(run, "draws"),
        tokens=here or tokens,
        parameters=None if said_by_run(run.summary.facts, "parameters") else _number(run, "parameters"),
        startup=_number(run, "cpu_seconds_before"),
    )


def _whole(run: Run) -> bool:
    """Whether what this attempt used can be held against what it counted: where its text was not handed out, nobody outside
    knows what a resumed attempt began with."""
    return "resumed_from_step" not in run.summary.facts or "tokens_here" in run.summary.facts


def _number(run: Run, fact: str) -> float | None:
    value = run.summary.number(fact)
    return value if value is not None and value > 0 else None


def beyond(measured: Sequence[Measured]) -> list[str]:
    """Sentences about what makes the arms not comparable."""
    return [each.sentence for each in measured if each.beyond]


def costly(measured: Sequence[Measured]) -> list[str]:
    """Sentences about what a gain has to be judged with."""
    return [each.sentence for each in measured if not each.beyond and each.times > each.quarantined_from]
