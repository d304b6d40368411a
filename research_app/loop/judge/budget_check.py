"""Budget check: what the runs of both arms spent of their budgets, also where the code keeps its budget itself."""

from statistics import median

from research_app.loop.judge.arms import Arms
from research_app.loop.judge.guard_check import positive_facts
from research_app.models import Project, Run
from training import own_budget
from training.spec import LARGEST_SCORE

OWN_BUDGET = "The code keeps its budget itself, so the baseline was not run at others, and no time can be read off them."

Spending = tuple[float, float]
"""Budget and what was spent of it, in one unit; 0 where that is not known."""


def budgets_of(project: Project, arms: Arms) -> tuple[list[Spending], list[Spending]]:
    """Budget and spending of the runs of both arms. What the run itself reports of it counts where it reports it."""
    if project.file.budget.own:
        return own_budgets_of(project, arms)
    fact = project.file.run_budget().what.work

    def spending(run: Run) -> Spending:
        budget = project.file.run_budget(run.budget_share, run.scale)
        return budget.amount, next(iter(positive_facts([run], fact)), 0.0)

    return [spending(run) for run in arms.baseline], [spending(run) for run in arms.candidate]


def own_budgets_of(project: Project, arms: Arms) -> tuple[list[Spending], list[Spending]]:
    """The same where the code keeps its budget itself: counted from the amount that it names, or the baseline's median."""
    budget = project.file.run_budget(1.0, arms.candidate[0].scale)
    runs = [*arms.baseline, *arms.candidate]
    values = own_budget.spent([(run.summary.facts, run.train_seconds) for run in runs], budget.counts)
    amount = own_budget.reference(budget.amount, values[: len(arms.baseline)]) or 1.0
    pairs = [(amount, min(value or 0.0, LARGEST_SCORE)) for value in values]
    return pairs[: len(arms.baseline)], pairs[len(arms.baseline) :]


def usual_of_own(project: Project, run: Run) -> float | None:
    """What a run of a budget that the code keeps itself will come to, in seconds or counts; None while nothing is known.

    One query.
    """
    budget = project.file.run_budget(1.0, run.scale)
    if budget.amount:
        return budget.amount
    done = run.baseline.runs.completed().of_baseline(run.scale).filter(budget_share=1.0).order_by("-pk")[:8]
    if budget.counts == "seconds":
        known = [float(each.train_seconds) for each in done if each.train_seconds]
    else:
        known = [value for value in own_budget.spent([(each.summary.facts, None) for each in done], budget.counts) if value]
    return median(known) if known else None
