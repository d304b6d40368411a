"""Target: how long the baseline takes, version by version, to get where the first one ended. Measured, never summed."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from django.db import transaction

from research_app.evidence.errors import EvidenceError
from research_app.evidence.noise import Noise
from research_app.evidence.savings import Reach, budget_to_reach, fit_loss_curve
from research_app.loop.runs import request_run
from research_app.loop.scale_up.price import Price, pace_of, price_of
from research_app.models import BaselineVersion, Event, Project, Purpose
from research_app.models.event_kinds import EventKind
from research_app.project_file.ladder import SMALLEST

SHARES = (0.4, 0.55, 0.7, 0.85)
"""Shares of the budget at which a version runs for this; its reference runs have the whole budget."""
SEEDS = (1, 2)


@dataclass(frozen=True)
class Measured:
    """What a version's own runs say of its way to the first version's score. `seconds` of one run at that share."""

    reach: Reach | None
    seconds: float | None
    why_not: str = ""

    @property
    def saved(self) -> float | None:
        """Share of the first version's time that is saved."""
        return None if self.reach is None else 1 - self.reach.share


def times_to_target(project: Project, versions: Sequence[BaselineVersion], noise: Noise | None) -> dict[int, Measured]:
    """By version: the share of the budget at which it is where the first version ends, off its own runs. Two queries."""
    first = project.baseline_versions.filter(number=0)
    runs = project.runs.scored().of_baseline(SMALLEST)
    wanted = {version.pk: version for version in versions}
    rows = runs.filter(baseline__in=[*wanted, *first]).values_list("baseline_id", "baseline__number", "budget_share", "score")
    points: dict[int, list[tuple[float, float]]] = {}
    target: list[float] = []
    for pk, number, share, score in rows:
        points.setdefault(pk, []).append((share, float(score or 0.0)))
        if number == 0 and share == 1.0:
            target.append(float(score or 0.0))
    took = mean_seconds(project, list(wanted))
    return {pk: measured(project, points.get(pk, []), target, noise, took.get(pk)) for pk in wanted}


def mean_seconds(project: Project, versions: Sequence[int]) -> dict[int, float]:
    """Mean seconds of a version's runs at the whole budget (one query)."""
    runs = project.runs.completed().of_baseline(SMALLEST).filter(baseline__in=versions, budget_share=1.0)
    seconds_of_group: dict[int, list[float]] = {}
    for pk, seconds in runs.filter(train_seconds__isnull=False).values_list("baseline_id", "train_seconds"):
        seconds_of_group.setdefault(pk, []).append(float(seconds or 0.0))
    return {pk: fmean(seconds) for pk, seconds in seconds_of_group.items()}


def measured(
    project: Project, points: Sequence[tuple[float, float]], target: Sequence[float], noise: Noise | None, seconds: float | None
) -> Measured:
    """One version: fit its score over its budgets and read the target off that; or why that cannot be done yet."""
    if noise is None or not target:
        return Measured(None, None, "The first baseline has no runs to compare with.")
    shares, scores = [share for share, _ in points], [score for _, score in points]
    if len(set(shares)) < 3:
        return Measured(None, None, "not measured")
    try:
        curve = fit_loss_curve(shares, scores, noise.sigma, lower_is_better=project.sign > 0)
        reach = budget_to_reach(curve, target, noise.sigma, noise.degrees)
    except EvidenceError as problem:
        return Measured(None, None, str(problem))
    return Measured(reach, None if seconds is None else seconds * reach.share)


def target_price(project: Project, version: BaselineVersion) -> Price:
    """What measuring a version still costs. At most three queries."""
    known = set(version.runs.of_baseline(SMALLEST).filter(purpose=Purpose.TARGET).values_list("budget_share", "seed"))
    rung = project.file.rung(SMALLEST)
    missing = [share for share in SHARES for seed in SEEDS if (share, seed) not in known]
    return price_of(rung, pace_of(project, rung), missing)


def measure_target(version: BaselineVersion, actor: str) -> None:
    """Queue a version's runs at smaller budgets, once; a second click does nothing, nor any where the code keeps its budget."""
    if version.project.file.budget.own:
        return
    with transaction.atomic():
        for share in SHARES:
            for seed in SEEDS:
                request_run(version.project, version, None, Purpose.TARGET, seed, budget_share=share)
        Event.objects.record(EventKind.TIME_TO_TARGET_ASKED_FOR, version, actor, version.project, baseline=version.number)
