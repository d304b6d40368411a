"""/projects/<slug>/candidates/ : every candidate, sorted, filtered and searched. Everything stands in the address."""

import re
from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.paginator import Paginator
from django.db.models import Case, F, OrderBy, Q, When
from django.http import HttpRequest, HttpResponse

from agent.proposal import CATEGORIES
from research_app.models import Candidate, Project, Stage, Verdict
from research_app.models.candidate import DISCARDED, RESTING, WAITING, CandidateQuerySet
from research_app.web import live
from research_app.web.access import get_project, researcher
from research_app.web.effects import rows

PAGE_SIZE = 50
GROUPS: Mapping[str, tuple[str, tuple[Stage, ...]]] = {
    "waiting": ("waiting for review", WAITING),
    "under-way": ("under way", tuple(stage for stage in Stage if stage not in RESTING)),
    "discarded": ("discarded", DISCARDED),
}
ATTENTION, WITHIN_NOISE = "attention", "within-noise"
# Dropped or inconclusive, with an effect below one sigma either way.
SMALL = Q(
    evidence__effect__lt=F("evidence__sigma"),
    evidence__effect__gt=-F("evidence__sigma"),
    stage__in=(Stage.DROPPED, Stage.INCONCLUSIVE),
)
# Health hides an effect from the order too: an invalid candidate is not best.
_EFFECT = Case(When(evidence__verdict=Verdict.INVALID, then=None), default=F("evidence__effect"))
ORDERS: Mapping[str, tuple[str, OrderBy]] = {
    "newest": ("newest first", F("number").desc()),
    "oldest": ("oldest first", F("number").asc()),
    "best": ("best effect first", _EFFECT.desc(nulls_last=True)),
    "worst": ("worst effect first", _EFFECT.asc(nulls_last=True)),
    "runs": ("most runs first", F("evidence__candidate_n").desc(nulls_last=True)),
    "changed": ("changed last", F("stage_since").desc()),
}


class FilterForm(forms.Form):
    """What the address may say. A value that is not on offer is left out, never an error page."""

    q = forms.CharField(required=False, max_length=200, strip=True)
    stage = forms.ChoiceField(required=False)
    verdict = forms.ChoiceField(required=False, choices=[("", "any verdict"), *Verdict.choices])
    author = forms.ChoiceField(required=False)
    category = forms.ChoiceField(required=False, choices=[("", "any category"), *((name, name) for name in CATEGORIES)])
    sort = forms.ChoiceField(required=False, choices=[(key, words) for key, (words, _) in ORDERS.items()])

    def __init__(self, data: Mapping[str, str], authors: list[str]) -> None:
        super().__init__(data)
        groups = [
            *((key, words) for key, (words, _) in GROUPS.items()),
            (ATTENTION, "needs attention"),
            (WITHIN_NOISE, "within noise"),
        ]
        offered: dict[str, list[Any]] = {
            "stage": [("", "any stage"), ("Groups", groups), ("Stages", Stage.choices)],
            "author": [("", "any author"), *((name, name) for name in authors)],
        }
        for name, choices in offered.items():
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = choices
        self.fields["q"].widget.attrs |= {"type": "search", "placeholder": "Search hypothesis or diff", "aria-label": "Search", "data-key": "/"}
        for name in ("stage", "verdict", "author", "category", "sort"):
            self.fields[name].widget.attrs["aria-label"] = name.capitalize()
        self.is_valid()

    def chosen(self, name: str) -> str:
        return str(self.cleaned_data.get(name) or "")

    @property
    def active(self) -> bool:
        """True when something is left out of the list."""
        return any(self.chosen(name) for name in ("q", "stage", "verdict", "author", "category"))


@researcher
def candidates(request: HttpRequest, slug: str) -> HttpResponse:
    """The list. The number of queries does not depend on the number of rows, and no series is read."""
    project = get_project(request, slug)
    authors = sorted(project.candidates.values_list("author", flat=True).distinct())
    form = FilterForm(request.GET, authors)
    found = ordered(filtered(Candidate.objects.filter(project=project), form), form.chosen("sort"))
    page = Paginator(for_list(found), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"project": project, "form": form, "page": page, "rows": rows(page.object_list)}
    context["may_reopen_all"] = form.chosen("stage") == WITHIN_NOISE
    return live.page(request, "candidates.html", {"results": "candidates/_results.html"}, context)


def for_list(found: CandidateQuerySet) -> CandidateQuerySet:
    """All that rows show and nothing large: no diffs, no proposals, no frozen numbers."""
    return found.with_evidence().defer("patch_set__diff", "proposed", "details", "evidence__numbers")


def filtered(found: CandidateQuerySet, form: FilterForm) -> CandidateQuerySet:
    """What the form leaves in."""
    if (stage := form.chosen("stage")) == ATTENTION:
        found = found.exclude(needs_attention="")
    elif stage == WITHIN_NOISE:
        found = found.filter(SMALL)
    elif stage:
        found = found.filter(stage__in=GROUPS[stage][1] if stage in GROUPS else [stage])
    if verdict := form.chosen("verdict"):
        found = found.filter(evidence__verdict=verdict)
    for name in ("author", "category"):
        if value := form.chosen(name):
            found = found.filter(**{name: value})
    if text := form.chosen("q"):
        words = Q(hypothesis__icontains=text) | Q(patch_set__diff__icontains=text)
        if number := re.fullmatch(r"[cC]-?(\d{1,9})|(\d{1,9})", text):
            words |= Q(number=int(number[1] or number[2]))
        found = found.filter(words)
    return found


def ordered(found: CandidateQuerySet, sort: str) -> CandidateQuerySet:
    """In the order asked for; equal ones newest first, so that pages never overlap."""
    return found.order_by(ORDERS.get(sort, ORDERS["newest"])[1], F("number").desc())


def neighbours(project: Project, candidate: Candidate) -> tuple[int | None, int | None]:
    """Numbers of the waiting candidates before and after this one in the order of the inbox. One query."""
    waiting = project.candidates.waiting_for_review().order_by("stage_since")
    numbers = list(waiting.values_list("number", flat=True))
    if candidate.number not in numbers:
        return None, numbers[0] if numbers else None
    at = numbers.index(candidate.number)
    return (numbers[at - 1] if at else None), (numbers[at + 1] if at + 1 < len(numbers) else None)
