"""The rows of the shortlist: each candidate with its evidence, what its next rung costs, and whom it conflicts with."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils.safestring import SafeString

from research_app.access import may_vote
from research_app.evidence import digits
from research_app.evidence.transfer import Prediction
from research_app.loop.review.review import Seen
from research_app.loop.scale_up.price import Pace, Price, price_of
from research_app.loop.scale_up.scale_up import passed_rungs, prediction, rungs_left, savings_by_rung
from research_app.loop.scale_up.shortlist import Conflict, Plan, conflicts, lacking, trained_seeds
from research_app.loop.stacks.stack import open_stacks_of
from research_app.models import Candidate, Evidence, Gate, Project, Stage
from research_app.project_file.ladder import Rung
from research_app.web.candidate.resources import Constant, constants_of
from research_app.web.candidate.verdict import GuardRow, Saving, guard_rows
from research_app.web.inbox.waiting import waiting_for
from research_app.web.shared import figures
from research_app.web.shared.effects import Row

MOST = 100  # candidates on the page: those that waited longest


@dataclass(frozen=True)
class Option:
    """One rung that a candidate can be scaled up to."""

    rung: Rung
    price: Price
    prediction: Prediction | None
    chosen: bool

    @property
    def promise(self) -> str:
        """The predicted saving with its interval: 31% less time (12% … 50%)."""
        if self.prediction is None:
            return ""
        low, high = (figures.percent(bound) for bound in self.prediction.interval)
        return f"{figures.percent(self.prediction.saved)} less time expected ({low} … {high})"


@dataclass(frozen=True)
class Item:
    """A candidate on the shortlist."""

    row: Row
    notes: Sequence[str]
    seen: str
    saving: Saving | None
    constants: Sequence[Constant]
    guards: Sequence[GuardRow]
    options: Sequence[Option]
    conflicts: Sequence[Conflict]
    covered_by: Candidate | None  # the open stack that it is part of
    covers: Sequence[Candidate]  # those on the list that are part of it

    @property
    def candidate(self) -> Candidate:
        return self.row.candidate

    @property
    def bar(self) -> SafeString | None:
        return self.row.bar

    @property
    def gain(self) -> float | None:
        """In the metric's unit, positive where it is better; None where there is none to show."""
        return self.row.effect.value if self.row.effect else None

    @property
    def half_width(self) -> str:
        """`±0.007`, half of the 95% interval; empty without one."""
        effect = self.row.effect
        if effect is None or effect.low is None or effect.high is None:
            return ""
        return f"±{digits.written((effect.high - effect.low) / 2, effect.gain.spread)}"

    @property
    def next(self) -> Option | None:
        """The rung that is chosen unless a person chooses another; None where it passed the largest."""
        return next((option for option in self.options if option.chosen), None)

    @property
    def clashes(self) -> str:
        """Numbers of those that it conflicts with, for the page's script."""
        return " ".join(str(each.other.number) for each in self.conflicts)

    def cost(self, priced: bool) -> float | None:
        """What its own runs on the next rung cost, in money or in device-hours; None where there is no next rung."""
        if self.next is None:
            return None
        return self.next.price.counted_money if priced else self.next.price.counted

    def worth(self, priced: bool) -> float | None:
        """Gain per cost; infinite where it costs nothing more."""
        cost = self.cost(priced)
        if self.gain is None or cost is None:
            return None
        return self.gain / cost if cost > 0 else float("inf") * self.gain if self.gain else 0.0


Key = Callable[[Item, bool], float | None]
ORDERS: Mapping[str, tuple[str, Key]] = {  # in the address: words, and what is sorted by, largest first
    "worth": ("gain per cost", lambda item, priced: item.worth(priced)),
    "gain": ("gain", lambda item, _: item.gain),
    "cost": ("cost", lambda item, priced: None if (cost := item.cost(priced)) is None else -cost),
    "age": ("age", lambda item, _: -item.candidate.stage_since.timestamp()),
    "conflicts": ("fewest conflicts", lambda item, _: -float(len(item.conflicts))),
}


def ordered(items: Sequence[Item], order: str, *, priced: bool) -> list[Item]:
    """In an order of the address; what has no such figure last, equal ones by number."""
    key = ORDERS[order][1]

    def place(item: Item) -> tuple[bool, float, int]:
        value = key(item, priced)
        return value is None, -(value or 0.0), item.candidate.number

    return sorted(items, key=place)


def waiting_at_gate_one(project: Project) -> list[Candidate]:
    """Candidates on the shortlist, who waited longest first, with their evidence and base. One query."""
    waiting = project.candidates.filter(stage=Stage.SHORTLISTED, archived_at=None, patch_set__isnull=False)
    return list(waiting.with_evidence().select_related("patch_set__base").order_by("stage_since")[:MOST])


def items_of(request: HttpRequest, project: Project, rungs: Sequence[Rung], paces: Mapping[str, Pace]) -> list[Item]:
    """The shortlist, who waited longest first."""
    listed = waiting_at_gate_one(project)
    assert isinstance(request.user, User)
    mine = {c.pk for c in listed} if may_vote(request.user, project, Gate.SHORTLIST) else set()
    stacks = open_stacks_of(listed)
    clashes = conflicts(listed, stacks)
    evidence: dict[int, list[Evidence]] = defaultdict(list)
    for each in Evidence.objects.filter(patch_set__in=[c.patch_set_id for c in listed]).order_by("pk"):
        evidence[each.patch_set_id].append(each)
    passed, seeds = passed_rungs(listed), dict(zip([c.pk for c in listed], trained_seeds(listed), strict=True))
    items = []
    for turn in waiting_for(request.user, mine, listed, {}):
        candidate = turn.candidate
        document = candidate.evidence.document if candidate.evidence else None
        savings = savings_by_rung(evidence[candidate.patch_set_id or 0])
        options = [
            option_of(rung, paces[rung.name], prediction(savings, rung.budget), seeds[candidate.pk], chosen=place == 0)
            for place, rung in enumerate(rungs_left(rungs, passed[candidate.pk]))
        ]
        items.append(
            Item(
                row=turn.row,
                notes=turn.notes,
                seen=" ".join(map(str, vars(Seen.of(candidate)).values())),
                saving=Saving.of(document.savings if document else None),
                constants=constants_of(candidate.patch_set),
                guards=guard_rows(document),
                options=options,
                conflicts=clashes[candidate.pk],
                covered_by=next(iter(stacks.get(candidate.pk, ())), None),
                covers=[other for other in listed if candidate in stacks.get(other.pk, ())],
            )
        )
    return items


def option_of(rung: Rung, pace: Pace, expected: Prediction | None, trained: Mapping[str, set[int]], *, chosen: bool) -> Option:
    """One rung on offer, priced without the runs that are there already."""
    missing = lacking(Plan(rung.name, rung.seeds), trained)
    return Option(rung, price_of(rung, pace, [1.0] * len(missing)), expected, chosen)
