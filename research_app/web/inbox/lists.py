"""Which decisions the inbox lists: tabs, order, and what a filter leaves in. A constant number of queries."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Count, Exists, F, Min, OuterRef, Q
from django.http import HttpRequest

from research_app.loop.review.votes import turns_of
from research_app.models import Candidate, Project, Stage, Verdict
from research_app.models.candidate import WAITING, CandidateQuerySet
from research_app.models.snooze import put_off_by
from research_app.web.candidates.candidates import for_list
from research_app.web.candidates.columns import SAVED, SPENT
from research_app.web.shared.query_numbers import whole

SHOWN = 50  # decisions on one page
KEPT_ORDER = "inbox order"  # of the session
MAX_QUERY = 200  # characters


class Tab(models.TextChoices):
    """The lists of the inbox, in the order in which they are looked at."""

    GATE_2 = "gate-2", "Gate 2"
    GATE_1 = "gate-1", "Gate 1"
    CHANGES = "asked", "Changes requested"
    OTHERS = "others", "Wait for others"
    LATER = "later", "Later"


class Order(models.TextChoices):
    """What stands first."""

    VALUE = "value", "value"
    AGE = "age", "age"
    COST = "cost", "cost"


STAGES = {Tab.GATE_2: (Stage.READY,), Tab.GATE_1: (Stage.SHORTLISTED,), Tab.CHANGES: (Stage.CHANGES, Stage.CONFLICT)}
TAB_OF = {stage: tab for tab, stages in STAGES.items() for stage in stages}
MEANS = {
    Tab.GATE_2: "gate 2: into the baseline?",
    Tab.GATE_1: "gate 1: scale it up?",
    Tab.CHANGES: "answer with another patch set",
    Tab.OTHERS: "nothing is asked of you here",
    Tab.LATER: "put off by you; each comes back at its time, or when something about it changes",
    Order.VALUE: "the surest gain first: the lower end of its interval, in units of its run-to-run noise",
    Order.AGE: "the longest wait first",
    Order.COST: "the most device time first",
}


@dataclass(frozen=True)
class ListLink:
    """One tab or one order as a link. `count` is None where nothing is counted."""

    name: str
    words: str
    title: str
    address: str
    current: bool
    count: int | None = None


@dataclass(frozen=True)
class ListQuery:
    """What an address asks of the inbox; what is not on offer is left out. `tab` None: the first with something."""

    tab: Tab | None
    order: Order
    project: str
    text: str

    @classmethod
    def of(cls, request: HttpRequest) -> "ListQuery":
        """From the address; the order is remembered until the person signs out."""
        tab, order = request.GET.get("tab", ""), request.GET.get("order", "")
        if order in Order.values and request.session.get(KEPT_ORDER) != order:
            request.session[KEPT_ORDER] = order
        order = order if order in Order.values else request.session.get(KEPT_ORDER, "")
        return cls(
            Tab(tab) if tab in Tab.values else None,
            Order(order) if order in Order.values else Order.VALUE,
            request.GET.get("project", "").replace("\0", "")[:MAX_QUERY],
            request.GET.get("q", "").replace("\0", "").strip()[:MAX_QUERY],
        )

    @property
    def narrowed(self) -> bool:
        return bool(self.project or self.text)

    def address(self, **changed: str) -> str:
        """The inbox with something else asked of it."""
        query = {"tab": self.tab or "", "order": self.order, "project": self.project, "q": self.text}
        return "?" + urlencode({name: value for name, value in (query | changed).items() if value})

    def narrow(self, candidates: CandidateQuerySet) -> CandidateQuerySet:
        """What the filter leaves in."""
        if self.project:
            candidates = candidates.filter(project__slug=self.project)
        if self.text:
            words = Q(title__icontains=self.text) | Q(hypothesis__icontains=self.text) | Q(author__icontains=self.text)
            if (number := whole(self.text.upper().removeprefix("C-"))) is not None:
                words |= Q(number=number)
            candidates = candidates.filter(words)
        return candidates


@dataclass(frozen=True)
class Listing:
    """One list: its tab, the candidates in order, and all tabs with how much is in them."""

    query: ListQuery
    tab: Tab
    candidates: Sequence[Candidate]
    mine: frozenset[int]  # keys of those on this list that it is this person's turn on
    counts: Mapping[Tab, int]  # of this person's filter
    oldest: datetime | None  # since when a decision waits for this person

    @property
    def waiting(self) -> int:
        """Decisions that wait for this person, on all tabs."""
        return self.counts[Tab.GATE_1] + self.counts[Tab.GATE_2]

    @property
    def more(self) -> int:
        """How many on this tab are not on the page."""
        return self.counts[self.tab] - len(self.candidates)

    @property
    def tabs(self) -> list[ListLink]:
        """Those with something in them, and the one that is open."""
        return [
            ListLink(tab, tab.label, MEANS[tab], self.query.address(tab=tab), tab == self.tab, self.counts[tab])
            for tab in Tab
            if self.counts[tab] or tab == self.tab
        ]

    @property
    def orders(self) -> list[ListLink]:
        current = self.query.order
        return [ListLink(each, each.label, MEANS[each], self.query.address(order=each), each == current) for each in Order]

    @property
    def means(self) -> str:
        return MEANS[self.tab]

    @property
    def order_means(self) -> str:
        return MEANS[self.query.order]


def listing(user: User, query: ListQuery) -> Listing:
    """The list that an address asks for. Six queries."""
    put_off = Exists(put_off_by(user).filter(candidate=OuterRef("pk")))
    turns = turns_of(user)
    mine = query.narrow(turns).annotate(put_off=put_off)
    waiting = Candidate.objects.waiting_for_review().filter(project__archived_at=None)
    others = query.narrow(waiting.exclude(pk__in=turns.values("pk")))
    lists = {tab: mine.filter(stage__in=stages, put_off=False) for tab, stages in STAGES.items()}
    lists |= {Tab.OTHERS: others, Tab.LATER: mine.filter(put_off=True)}
    counts, oldest = Counter({Tab.OTHERS: others.count()}), None
    grouped = mine.order_by().values_list("stage", "put_off").annotate(Count("pk"), Min("stage_since"))
    for stage, away, count, since in grouped:
        counts[Tab.LATER if away else TAB_OF[Stage(stage)]] += count
        if stage in WAITING and not away:
            oldest = min(since, oldest or since)
    tab = query.tab or next((each for each in Tab if counts[each] and each != Tab.LATER), Tab.GATE_2)
    rows = in_order(lists[tab], query.order)
    theirs = frozenset() if tab == Tab.OTHERS else frozenset(each.pk for each in rows)
    return Listing(query, tab, rows, theirs, counts, oldest)


def in_order(candidates: CandidateQuerySet, order: Order) -> list[Candidate]:
    """The first of them, as lists show candidates. Two queries."""
    if order == Order.VALUE:
        keys = by_value(candidates)
    elif order == Order.AGE:
        keys = list(candidates.order_by("stage_since", "pk").values_list("pk", flat=True)[:SHOWN])
    else:
        keys = list(candidates.order_by(SPENT.desc(nulls_last=True), "pk").values_list("pk", flat=True)[:SHOWN])
    rows = for_list(Candidate.objects.filter(pk__in=keys)).annotate(saved=SAVED).in_bulk()
    return [rows[key] for key in keys if key in rows]


def by_value(candidates: CandidateQuerySet) -> list[int]:
    """The keys of those with the surest gain; last those whose effect is hidden or unknown, the longest wait first.

    Sorted here, not by the database: two scores of any size divide without an error.
    """
    known = candidates.annotate(low=F("evidence__low"), noise=F("evidence__sigma"), said=F("evidence__verdict"))
    names = ("pk", "low", "noise", "said", "stage_since")
    ranked = []
    for pk, low, noise, verdict, since in known.values_list(*names):
        known_gain = low is not None and noise and verdict != Verdict.INVALID
        ranked.append((0 if known_gain else 1, -low / noise if known_gain else 0.0, since, pk))
    return [pk for *_, pk in sorted(ranked)[:SHOWN]]


def projects_of(every: Sequence[Project], query: ListQuery) -> list[tuple[str, bool]]:
    """The slugs on offer, and which of them is chosen; empty where there is only one."""
    return [(each.slug, each.slug == query.project) for each in every] if len(every) > 1 else []
