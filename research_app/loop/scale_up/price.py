"""Price: what runs on a rung cost, from runs that were really made; what scale-ups have spent, and what is left.

Nothing is made up: where no run says how long one takes, the price has no figure, and a budget is held against the most that
the runs' wall limit allows.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from django.db.models import Count, QuerySet, Sum

from research_app.evidence.apart import told_apart
from research_app.loop.runs import HOUR, NOTHING, costs_of
from research_app.loop.scale_up.scale_up import missing_reference_runs
from research_app.models import BaselineVersion, Candidate, Project, Run, ScaleUp, State
from research_app.models.device_time import device_seconds
from research_app.project_file.ladder import SMALLEST, Rung
from research_app.wording import counted

MEASURED_BY = 40  # newest runs that tell how long one takes


@dataclass(frozen=True)
class Pace:
    """Seconds of one run at the full budget of a rung, and in words what they were measured on; None before there are any."""

    seconds: float | None
    basis: str


@dataclass(frozen=True)
class Price:
    """What some runs cost. `hours` are device-hours; None where nothing tells how long a run takes; `at_most` by its limit."""

    runs: int = 0
    hours: float | None = 0.0
    at_most: float = 0.0
    money: float | None = 0.0
    money_at_most: float = 0.0

    def __add__(self, other: Price) -> Price:
        return Price(
            self.runs + other.runs,
            None if self.hours is None or other.hours is None else self.hours + other.hours,
            self.at_most + other.at_most,
            None if self.money is None or other.money is None else self.money + other.money,
            self.money_at_most + other.money_at_most,
        )

    @property
    def counted(self) -> float:
        """Device-hours that a budget is held against."""
        return self.at_most if self.hours is None else self.hours

    @property
    def counted_money(self) -> float:
        """Money that a budget is held against."""
        return self.money_at_most if self.money is None else self.money


def total(prices: Iterable[Price]) -> Price:
    """All of them together."""
    return functools.reduce(operator.add, prices, Price())


def pace_of(project: Project, rung: Rung) -> Pace:
    """How long a run of this rung takes: as measured there, else scaled up from the smallest rung on the same kind of device.

    Medians: one candidate that is ten times slower sets nobody's price. At most two queries.
    """
    if here := _seconds(project, rung.name):
        return Pace(median(here), f"measured on {len(here)} run{'s' if len(here) > 1 else ''} at {rung.name}")
    small = project.file.rung(SMALLEST)
    if rung.place == small.place and (below := _seconds(project, SMALLEST)):
        basis = f"{rung.budget:g} times the median of {counted(len(below), 'run')} at {SMALLEST}"
        return Pace(median(below) * rung.budget, basis)
    return Pace(None, f"no run at {rung.name} has ended yet")


def _seconds(project: Project, scale: str) -> list[float]:
    runs = project.runs.completed().filter(scale=scale, budget_share=1.0, train_seconds__isnull=False)
    return [float(seconds or 0.0) for seconds in runs.order_by("-pk").values_list("train_seconds", flat=True)[:MEASURED_BY]]


def price_of(rung: Rung, pace: Pace, shares: Iterable[float]) -> Price:
    """The price of runs at these shares of a rung's budget."""
    listed = list(shares)
    whole = sum(listed) * rung.devices / HOUR
    at_most = len(listed) * rung.wall_limit_seconds * rung.devices / HOUR
    hours = None if pace.seconds is None else pace.seconds * whole
    return Price(len(listed), hours, at_most, None if hours is None else hours * rung.price, at_most * rung.price)


def money_of(candidates: Sequence[Candidate]) -> dict[int, float]:
    """What the runs of candidates cost, each hour at the price of its own rung. One query, and one file for each project."""
    prices = {project.pk: prices_of(project) for project in {c.project for c in candidates}}
    costs = costs_of(candidates)
    return {c.pk: costs.get(c.pk, NOTHING).money(prices[c.project_id]) for c in candidates}


def prices_of(project: Project) -> dict[str, float]:
    """The price of an hour of one device on each rung."""
    return {rung.name: rung.price for rung in project.file.rungs}


def shared_shares(base: BaselineVersion, rung: Rung, seeds: int) -> list[float]:
    """Shares of the budget at which a baseline version still lacks runs on a rung: what its first scale-up there pays for all.

    Two queries.
    """
    known = set(base.runs.of_baseline(rung.name).values_list("budget_share", flat=True))
    curve = base.project.file.curve(rung.name)
    return [1.0] * len(missing_reference_runs(base, rung.name, seeds)) + [share for share in curve if share not in known]


@dataclass(frozen=True)
class Account:
    """What scale-ups of a project have cost, what those that run may still cost, and what is left of the budget."""

    spent: Price
    committed: Price
    budget_hours: float | None
    budget_money: float | None
    currency: str

    @property
    def hours_left(self) -> float | None:
        """Device-hours that are left; None without a limit."""
        if self.budget_hours is None:
            return None
        return self.budget_hours - self.spent.counted - self.committed.counted

    @property
    def money_left(self) -> float | None:
        """Money that is left; None without a limit."""
        if self.budget_money is None:
            return None
        return self.budget_money - self.spent.counted_money - self.committed.counted_money

    def excess(self, price: Price) -> str:
        """Why this price cannot be approved, with the figures; empty where it can."""
        if self.hours_left is not None and price.counted > self.hours_left:
            bound = "at most " if price.hours is None else ""
            needed, left = told_apart(price.counted, max(0.0, self.hours_left))
            return (
                f"This needs {bound}{needed} device-hours, and {left} of the project's {self.budget_hours:g} are left. "
                "Pick fewer candidates, rungs or seeds, or raise [scale_up] budget_hours."
            )
        if self.money_left is not None and price.counted_money > self.money_left:
            bound = "at most " if price.money is None else ""
            needed, left = told_apart(price.counted_money, max(0.0, self.money_left))
            return (
                f"This costs {bound}{needed} {self.currency}, and {left} of the project's {self.budget_money:g} are left. "
                "Pick fewer, or raise [scale_up] budget_money."
            )
        return ""

    @property
    def hours_left_words(self) -> str:
        """What is left beside what there was: "0.004 of 24 h", never "0.00" where something is; empty without a limit."""
        return "" if self.hours_left is None else _left(self.hours_left, self.budget_hours or 0.0, "h")

    @property
    def money_left_words(self) -> str:
        """The same of the money."""
        return "" if self.money_left is None else _left(self.money_left, self.budget_money or 0.0, self.currency)


def _left(amount: float, budget: float, unit: str) -> str:
    left, _ = told_apart(abs(amount), budget)
    return f"{left} of {budget:g} {unit}" if amount >= 0 else f"{left} {unit} more than the {budget:g} {unit} there were"


def account_of(project: Project) -> Account:
    """The books of a project's scale-ups. A few queries, more with every rung."""
    file = project.file
    larger = project.runs.exclude(scale=SMALLEST)
    spent, committed = Price(), Price()
    for rung in file.upper_rungs:
        runs = larger.filter(scale=rung.name)
        spent += _spent(runs, rung)
        waiting = list(runs.exclude(state=State.FINISHED).values_list("budget_share", flat=True))
        committed += price_of(rung, pace_of(project, rung), waiting)
    committed += total(_promised(step) for step in ScaleUp.objects.running().filter(project=project))
    return Account(spent, committed, file.scale_up.budget_hours, file.scale_up.budget_money, file.scale_up.currency)


def _spent(runs: QuerySet[Run], rung: Rung) -> Price:
    """What runs of a rung have taken so far, attempts that were lost or stopped included."""
    taken = runs.annotate(taken=device_seconds()).filter(taken__gt=0).aggregate(count=Count("pk"), seconds=Sum("taken"))
    hours = float(taken["seconds"] or 0.0) / HOUR
    return Price(taken["count"], hours, hours, hours * rung.price, hours * rung.price)


def _promised(step: ScaleUp) -> Price:
    """What was approved for the rungs that a scale-up has not come to yet."""
    names = [each.rung for each in step.approved_rungs]
    later = step.approved_rungs[names.index(step.rung) + 1 :]
    return total(Price(each.runs, each.hours, each.at_most, each.money, each.money_at_most) for each in later)
