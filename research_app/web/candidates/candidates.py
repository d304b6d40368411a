"""/projects/<slug>/candidates/ : every candidate, sorted, filtered and searched. Everything stands in the address."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django import forms
from django.core.paginator import Paginator
from django.db.models import Count, F, Q
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from agent.proposal import CATEGORIES
from research_app.access import may_operate
from research_app.loop.runs import costs_of
from research_app.models import Candidate, Kind, Preferences, Project, SavedView, Stage, Verdict
from research_app.models.candidate import DISCARDED, IDLE, WAITING, CandidateQuerySet
from research_app.web.candidates import columns
from research_app.web.candidates.columns import DEFAULT_ORDER, SAVED, orders
from research_app.web.shared import live
from research_app.web.shared.access import get_project, researcher
from research_app.web.shared.effects import rows
from research_app.web.shared.fields import Day, Filters
from research_app.web.shared.unchanged import still

PAGE_SIZE = 50
MOST_CONSTANTS = 200  # to choose from
GROUPS: Mapping[str, tuple[str, tuple[Stage, ...]]] = {
    "waiting": ("waiting for review", WAITING),
    "under-way": ("under way", tuple(stage for stage in Stage if stage not in IDLE)),
    "discarded": ("discarded", DISCARDED),
}
ATTENTION, WITHIN_NOISE, DUPLICATE = "attention", "within-noise", "duplicate"
DUPLICATES = Q(stage=Stage.INVALID, duplicate_of__isnull=False)  # refused as tried before
UNCLEAR = Q(evidence__low__lte=0, evidence__high__gte=0)  # as evidence/difference.py has it: better or worse cannot be told
# Dropped or inconclusive, though it may be better as well as worse.
SMALL = UNCLEAR & Q(stage__in=(Stage.DROPPED, Stage.INCONCLUSIVE)) & ~Q(evidence__verdict=Verdict.INVALID)
EFFECTS: Mapping[str, tuple[str, Q]] = {
    "better": ("better: interval above 0", Q(evidence__low__gt=0)),
    "worse": ("worse: interval below 0", Q(evidence__high__lt=0)),
    "unclear": ("interval includes 0", UNCLEAR),
    "none": ("no gain to show", Q(evidence__effect=None) | Q(evidence__verdict=Verdict.INVALID)),
}
AWAY: Mapping[str, str] = {"": "hide archived", "too": "show archived", "only": "archived only"}
MORE = ("constant", "effect", "gain", "since", "until", "kind", "base", "archived")  # filters that are folded away


class FilterForm(Filters):
    """What the address may say. A value that is not on offer is left out, never an error page."""

    q = forms.CharField(required=False, max_length=200, strip=True)
    stage = forms.ChoiceField(required=False)
    verdict = forms.ChoiceField(required=False, choices=[("", "any verdict"), *Verdict.choices])
    author = forms.ChoiceField(required=False)
    category = forms.ChoiceField(required=False, choices=[("", "any category"), *((name, name) for name in CATEGORIES)])
    sort = forms.ChoiceField(required=False)
    constant = forms.ChoiceField(required=False)
    effect = forms.ChoiceField(required=False, choices=[("", "any gain"), *((k, words) for k, (words, _) in EFFECTS.items())])
    gain = forms.FloatField(required=False)
    since = forms.DateField(required=False, widget=Day("Proposed since"))
    until = forms.DateField(required=False, widget=Day("Proposed until"))
    kind = forms.ChoiceField(required=False, choices=[("", "any kind"), *Kind.choices])
    base = forms.IntegerField(required=False, min_value=0, max_value=10**6)
    archived = forms.ChoiceField(required=False, choices=list(AWAY.items()))

    def __init__(self, data: Mapping[str, str], authors: Sequence[str], constants: Sequence[str], unit: str) -> None:
        super().__init__(data)
        groups = [
            *((key, words) for key, (words, _) in GROUPS.items()),
            (ATTENTION, "needs attention"),
            (WITHIN_NOISE, "within noise"),
            (DUPLICATE, "duplicates"),
        ]
        offered: dict[str, list[Any]] = {
            "stage": [("", "any stage"), ("Groups", groups), ("Stages", Stage.choices)],
            "author": [("", "any author"), *((name, name) for name in authors)],
            "sort": [(order.key, order.words) for order in orders().values()],
            "constant": [("", "any constant"), *((name, name) for name in constants)],
        }
        for name, choices in offered.items():
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = choices
        self._describe(unit)
        self.is_valid()

    def _describe(self, unit: str) -> None:
        """Names for those who do not see the page, and the kinds of fields."""
        search = {"type": "search", "placeholder": "Search titles, hypotheses, diffs", "aria-label": "Search", "data-key": "/"}
        self.fields["q"].widget.attrs |= search
        least = {"step": "any", "placeholder": f"gain, {unit}", "aria-label": f"Gain of at least, in {unit}"}
        self.fields["gain"].widget.attrs |= least
        self.fields["base"].widget.attrs |= {"placeholder": "base", "aria-label": "Tried on baseline version"}
        for name in ("stage", "verdict", "author", "category", "sort", "constant", "effect", "kind", "archived"):
            self.fields[name].widget.attrs["aria-label"] = name.capitalize()

    def chosen(self, name: str) -> str:
        return str(self.cleaned_data.get(name) or "")

    def given(self, name: str) -> bool:
        """True where the address says something sensible about this; a gain or base of 0 is something."""
        return self.cleaned_data.get(name) not in (None, "")

    @property
    def active(self) -> bool:
        """True when something is left out of the list, or put in, that otherwise is not."""
        return any(self.given(name) for name in ("q", "stage", "verdict", "author", "category", *MORE))

    @property
    def more(self) -> int:
        """How many of the filters that are folded away are in use."""
        return sum(self.given(name) for name in MORE)


@researcher
@require_safe
@still()
def candidates(request: HttpRequest, slug: str) -> HttpResponse:
    """The list. The number of queries does not depend on the number of rows, and no series is read."""
    project = get_project(request, slug)
    metric = project.file.metric
    form = FilterForm(request.GET, *facets(project, request.GET.get("constant", "")), metric.name)
    order = form.chosen("sort") or DEFAULT_ORDER
    queryset = ordered(filtered(Candidate.objects.filter(project=project), form), order).annotate(saved=SAVED)
    page = Paginator(for_list(queryset).select_related("base"), PAGE_SIZE).get_page(request.GET.get("page"))
    listed = list(page.object_list)
    chosen_columns = columns.chosen(request.GET.get("columns", ""), Preferences.of(request.user).columns)
    context = {
        "project": project,
        "metric": metric,
        "form": form,
        "order": order,
        "page": page,
        "rows": rows(listed, costs_of(listed)),
        "columns": chosen_columns,
        "all_columns": [(column, column in chosen_columns) for column in columns.COLUMNS.values()],
        "views": views_of(request, project),
        "query": bare_query(request.GET.urlencode()),
        "choosable": True,
        "may_operate": may_operate(request.user),
        "may_reopen_all": form.chosen("stage") == WITHIN_NOISE,
    }
    fragments = {"views": "candidates/_views.html", "results": "candidates/_results.html"}
    return live.page(request, "candidates/candidates.html", fragments, context)


def facets(project: Project, category: str = "") -> tuple[list[str], list[str]]:
    """Authors, and the constants that most candidates touched, with the one that is asked for. Two queries."""
    authors = project.candidates.order_by("author").values_list("author", flat=True).distinct()
    touched = project.candidates.order_by().values_list("patch_set__touched").annotate(candidates=Count("pk"))
    times: Counter[str] = Counter()
    for names, candidates in touched:
        times.update(dict.fromkeys((names or "").split(), candidates))
    names = {name for name, _ in times.most_common(MOST_CONSTANTS)} | ({category} & set(times))
    return list(authors), sorted(names, key=str.lower)


def bare_query(query: str) -> str:
    """The part of an address that makes a view: filters, order and columns, without the page and without empty values."""
    return urlencode([(key, value) for key, value in parse_qsl(query) if key != "page"])


def views_of(request: HttpRequest, project: Project) -> list[tuple[SavedView, bool, bool]]:
    """Saved views: (view, whether it is what the page shows, whether it is this person's). One query."""
    now = sorted(parse_qsl(bare_query(request.GET.urlencode())))
    views = SavedView.objects.filter(project=project).seen_by(request.user)
    return [(view, sorted(parse_qsl(view.query)) == now, view.user_id == request.user.pk) for view in views]


def for_list(queryset: CandidateQuerySet) -> CandidateQuerySet:
    """All that rows show and nothing large: no diffs, no proposals, no frozen numbers."""
    return queryset.with_evidence().defer("patch_set__diff", "proposed", "details", "evidence__numbers")


def filtered(queryset: CandidateQuerySet, form: FilterForm) -> CandidateQuerySet:
    """What the form leaves in."""
    if (stage := form.chosen("stage")) == ATTENTION:
        queryset = queryset.exclude(needs_attention="")
    elif stage == WITHIN_NOISE:
        queryset = queryset.filter(SMALL)
    elif stage == DUPLICATE:
        queryset = queryset.filter(DUPLICATES)
    elif stage == Stage.INVALID:
        queryset = queryset.filter(stage=Stage.INVALID, duplicate_of__isnull=True)
    elif stage:
        queryset = queryset.filter(stage__in=GROUPS[stage][1] if stage in GROUPS else [stage])
    if verdict := form.chosen("verdict"):
        queryset = queryset.filter(evidence__verdict=verdict)
    for name in ("author", "category", "kind"):
        if value := form.chosen(name):
            queryset = queryset.filter(**{name: value})
    queryset = narrowed(queryset, form)
    if text := form.chosen("q"):
        words = Q(title__icontains=text) | Q(hypothesis__icontains=text) | changes_with(text)
        if number := re.fullmatch(r"[cC]-?(\d{1,9})|(\d{1,9})", text):
            words |= Q(number=int(number[1] or number[2]))
        queryset = queryset.filter(words)
    return queryset


def changes_with(text: str) -> Q:
    """Candidates of which a changed line, or the name of a changed file, has the text: the context of a diff has every word."""
    return Q(patch_set__diff__icontains=text) & Q(patch_set__diff__iregex=rf"\n[+-][^\n]*{re.escape(text)}")


def narrowed(queryset: CandidateQuerySet, form: FilterForm) -> CandidateQuerySet:
    """The filters that are folded away. Health hides effects here too."""
    away = form.chosen("archived")
    if away != "too":
        queryset = queryset.filter(archived_at__isnull=away != "only")
    if constant := form.chosen("constant"):
        queryset = queryset.filter(patch_set__touched__contains=f"\n{constant}\n")
    effect = form.chosen("effect")
    if form.given("gain") or effect not in ("", "none"):
        queryset = queryset.exclude(evidence__verdict=Verdict.INVALID)
    if effect:
        queryset = queryset.filter(EFFECTS[effect][1])
    if form.given("gain"):
        queryset = queryset.filter(evidence__effect__gte=form.cleaned_data["gain"])
    if form.given("base"):
        queryset = queryset.filter(base__number=form.cleaned_data["base"])
    if form.given("since"):
        queryset = queryset.filter(created_at__gte=begin_of(form.cleaned_data["since"]))
    if form.given("until"):
        queryset = queryset.filter(created_at__lte=end_of(form.cleaned_data["until"]))
    return queryset


def begin_of(day: date) -> datetime:
    """When a day begins, where the server is."""
    return _moment(day, time.min)


def end_of(day: date) -> datetime:
    """The last moment of a day, where the server is."""
    return _moment(day, time.max)


def _moment(day: date, at: time) -> datetime:
    first, last = date(1, 1, 2), date(9999, 12, 30)  # beyond them the moment is none in another time zone
    return timezone.make_aware(datetime.combine(min(max(day, first), last), at))


def ordered(queryset: CandidateQuerySet, sort: str) -> CandidateQuerySet:
    """In the order asked for; equal ones newest first, so that pages never overlap."""
    known = orders()
    return queryset.order_by(known.get(sort, known[DEFAULT_ORDER]).by, F("number").desc())


def neighbours(project: Project, candidate: Candidate) -> tuple[int | None, int | None]:
    """Numbers of the waiting candidates before and after this one in the order of the inbox. One query."""
    waiting = project.candidates.waiting_for_review().order_by("stage_since")
    numbers = list(waiting.values_list("number", flat=True))
    if candidate.number not in numbers:
        return None, numbers[0] if numbers else None
    at = numbers.index(candidate.number)
    return (numbers[at - 1] if at else None), (numbers[at + 1] if at + 1 < len(numbers) else None)
