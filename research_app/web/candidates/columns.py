"""The columns of the candidate list: which there are, how each sorts, and which a person sees."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Case, F, FloatField, OrderBy, OuterRef, Subquery, When
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import Cast

from research_app.models import Run, Verdict
from research_app.models.device_time import total_device_seconds

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

ORDERS: Mapping[str, tuple[str, OrderBy]] = {
    "newest": ("newest first", F("number").desc()),
    "oldest": ("oldest first", F("number").asc()),
    "best": ("largest gain first", EFFECT.desc(nulls_last=True)),
    "worst": ("smallest gain first", EFFECT.asc(nulls_last=True)),
    "saved": ("most time saved first", SAVED.desc(nulls_last=True)),
    "costs": ("least time saved first", SAVED.asc(nulls_last=True)),
    "runs": ("most runs first", F("evidence__candidate_n").desc(nulls_last=True)),
    "few": ("fewest runs first", F("evidence__candidate_n").asc(nulls_last=True)),
    "verdict": ("by verdict, solid first", RANK.asc()),
    "invalid": ("by verdict, invalid first", RANK.desc()),
    "changed": ("changed last", F("stage_since").desc()),
    "still": ("unchanged longest", F("stage_since").asc()),
    "dearest": ("most device time first", SPENT.desc(nulls_last=True)),
    "cheapest": ("least device time first", SPENT.asc(nulls_last=True)),
    "author": ("by author", F("author").asc()),
    "author-z": ("by author, from Z", F("author").desc()),
    "category": ("by category", F("category").asc()),
    "category-z": ("by category, from Z", F("category").desc()),
}
DEFAULT_ORDER = "newest"


@dataclass(frozen=True)
class Column:
    """One column: its key in the address, its words, and the orders that a click on its head asks for in turn."""

    key: str
    title: str
    orders: tuple[str, ...] = ()
    hint: str = ""

    def next_order(self, now: str) -> str:
        """What the next click sorts by."""
        return self.orders[1] if now == self.orders[0] else self.orders[0]


COLUMNS = (
    Column("effect", "Gain", ("best", "worst"), "over the baseline, positive is better, with its 95% interval"),
    Column("sigmas", "In σ", (), "the gain in units of the run-to-run noise σ: the standard deviation of the score over seeds"),
    Column("saved", "Time saved", ("saved", "costs"), "to the baseline's loss; where fresh seeds confirmed it"),
    Column("n", "n", ("runs", "few"), "runs of the candidate / of the baseline"),
    Column("state", "Verdict", ("verdict", "invalid")),
    Column("author", "Author", ("author", "author-z")),
    Column("category", "Category", ("category", "category-z")),
    Column("constants", "Constants", (), "constants that the diff touches"),
    Column("lines", "Lines", (), "lines added and removed"),
    Column("base", "Base", (), "the baseline version that it is compared with"),
    Column("spent", "Device time", ("dearest", "cheapest"), "of all its runs so far: lost attempts and all devices counted"),
    Column("proposed", "Proposed", ("newest", "oldest")),
    Column("changed", "Changed", ("changed", "still"), "how long it is at its stage"),
)
BY_KEY = {column.key: column for column in COLUMNS}
DEFAULT = ("effect", "n", "state", "changed")


def chosen(address: str, remembered: Sequence[str]) -> list[Column]:
    """What the address asks for, otherwise what the person chose before, otherwise what comes. In the order of COLUMNS."""
    asked = {key for key in address.split(",") if key in BY_KEY}
    kept = asked or {key for key in remembered if key in BY_KEY} or set(DEFAULT)
    return [column for column in COLUMNS if column.key in kept]
