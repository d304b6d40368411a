"""The columns of the candidate list: which there are, how each sorts, and which a person sees."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db.models import Case, F, FloatField, OrderBy, OuterRef, Subquery, When
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import Cast

from research_app.models import Run, Verdict
from research_app.models.device_time import total_device_seconds
from research_app.web.shared.effects import Row
from training.registry import Registry

# Health hides an effect from the order too: an invalid candidate is not best.
EFFECT = Case(When(evidence__verdict=Verdict.INVALID, then=None), default=F("evidence__effect"))
SAVED = Case(
    When(evidence__verdict=Verdict.INVALID, then=None),
    default=Cast(KeyTransform("saved", KeyTransform("savings", "evidence__numbers")), FloatField()),
    output_field=FloatField(),
)
# What its runs have cost, for the order alone: figures come from loop/runs.py, for the page's rows at once.
SPENT = Subquery(
    Run.objects.filter(patch_set__candidate=OuterRef("pk"))
    .order_by()
    .values("patch_set__candidate")
    .annotate(taken=total_device_seconds())
    .values("taken"),
    output_field=FloatField(),
)
# The best verdict first, then what is not decided, then what was.
RANK = Case(
    *(When(evidence__verdict=verdict, then=rank) for rank, verdict in enumerate(
        (Verdict.SOLID, Verdict.MORE_RUNS_NEEDED, Verdict.INCONCLUSIVE, Verdict.DROP, Verdict.WORSE, Verdict.INVALID)
    )),
    default=9,
)  # fmt: skip

DEFAULT_ORDER = "newest"


@dataclass(frozen=True)
class Order:
    """One order of the list: its key in the address, its words, and what is sorted by."""

    key: str
    words: str
    by: OrderBy


@dataclass(frozen=True)
class Column:
    """One column: its name in the address, its title, and the orders that a click on its head asks for in turn.

    A cell is what `text` returns, or where there is none the template `candidates/columns/<name>.html`, which knows `row`, `c`
    (the candidate) and `e` (its evidence).
    """

    name: str
    title: str
    hint: str = ""
    text: Callable[[Row], object] | None = None
    orders: tuple[Order, ...] = ()
    by_default: bool = False
    order: int = 100

    @property
    def template(self) -> str:
        """What draws a cell."""
        return f"candidates/columns/{'_text' if self.text else self.name}.html"

    @property
    def order_keys(self) -> list[str]:
        """The orders as the address has them."""
        return [order.key for order in self.orders]

    def next_order(self, now: str) -> str:
        """What the next click sorts by: the second order after the first, where there is one."""
        return self.order_keys[-1 if now == self.order_keys[0] else 0]


COLUMNS = Registry("column", "research_app.web.candidates.list_columns", "COLUMN", Column)


def orders() -> dict[str, Order]:
    """Every order of the list, by its key; that of the list itself first."""
    known = {order.key: order for column in COLUMNS.values() for order in column.orders}
    return {DEFAULT_ORDER: known[DEFAULT_ORDER], **known}


def chosen(address: str, remembered: Sequence[str]) -> list[Column]:
    """What the address asks for, otherwise what the person chose before, otherwise the default columns."""
    usual = {name for name, column in COLUMNS.items() if column.by_default}
    names = set(address.split(",")) & set(COLUMNS) or set(remembered) & set(COLUMNS) or usual
    return [column for name, column in COLUMNS.items() if name in names]
