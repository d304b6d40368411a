"""The best set without conflicts that a sum pays for, as the shortlist offers it, and what the chosen ones cost together."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from research_app.loop.scale_up.best_set import EXACT_UP_TO, BestSet, Choice, best_set
from research_app.loop.scale_up.price import Account, Pace, price_of, shared_shares
from research_app.loop.scale_up.shortlist import Plan, Quote, quote, trained_seeds
from research_app.models import Candidate, Project
from research_app.web.shortlist.shortlisted import Item

USUAL = 50.0  # of money or device-hours, where the project has no budget that says more


@dataclass(frozen=True)
class BestWithin:
    """What a sum buys at most."""

    within: float
    unit: str
    best: BestSet
    chosen: Sequence[Candidate]
    considered: int
    exact_up_to: int = EXACT_UP_TO

    @property
    def ticked(self) -> str:
        """The part of an address that ticks this set."""
        return urlencode([("pick", number) for number in self.best.numbers])


def best_within(
    items: Sequence[Item], paces: Mapping[str, Pace], account: Account, *, priced: bool, limit: float | None
) -> BestWithin | None:
    """The best set of the candidates on the page, each at its next rung; None where nothing can be scaled up.

    Two queries for every rung and base.
    """
    open_items = [item for item in items if item.next and not item.covered_by]
    if not open_items:
        return None
    left = account.money_left if priced else account.hours_left
    within = limit if limit is not None else min(USUAL, max(0.0, left)) if left is not None else USUAL
    choices: list[Choice] = []
    shared: dict[str, float] = {}
    for item in open_items:
        if (option := item.next) is None:
            continue
        rung, base = option.rung, item.candidate.revision.base
        if (group := f"{base.pk} {rung.name}") not in shared:
            price = price_of(rung, paces[rung.name], shared_shares(base, rung, rung.seeds))
            shared[group] = price.counted_money if priced else price.counted
        choices.append(Choice(item.candidate.number, item.gain or 0.0, item.cost(priced) or 0.0, group))
    best = best_set(tuple(choices), clashes_of(open_items), tuple(sorted(shared.items())), within)
    by_number = {item.candidate.number: item.candidate for item in open_items}
    unit = account.currency if priced else "device-hours"
    return BestWithin(within, unit, best, [by_number[number] for number in best.numbers], len(choices))


def clashes_of(items: Sequence[Item]) -> frozenset[tuple[int, int]]:
    """Pairs of numbers that conflict, the smaller one first."""
    pairs = ((item.candidate.number, clash.other.number) for item in items for clash in item.conflicts)
    return frozenset((min(pair), max(pair)) for pair in pairs)


def price_of_ticked(project: Project, items: Sequence[Item], numbers: Collection[int]) -> Quote | None:
    """What the ticked ones cost together, each at its next rung, before a person changed rungs or seeds; None for none."""
    ticked = [item for item in items if item.candidate.number in numbers and item.next and not item.covered_by]
    if not ticked:
        return None
    plans = [
        (item.candidate.revision.base, [Plan(o.rung.name, o.rung.seeds) for o in item.options if o.chosen]) for item in ticked
    ]
    return quote(project, plans, trained_seeds([item.candidate for item in ticked]))
