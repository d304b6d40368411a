"""/audit/ : everything that happened, newest first; by project, kind, person, time, what it is about, and any text."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse, QueryDict
from django.views.decorators.http import require_safe

from research_app.models import BaselineVersion, Candidate, Conversation, Event, Landing, Project, Run
from research_app.models.event import EventQuerySet
from research_app.web.shared import live
from research_app.web.shared.access import researcher
from research_app.web.shared.fields import Day, Filters

PAGE_SIZE = 100
MOST_NAMES = 200  # of people, that the field for who offers
LARGEST = 2**63 - 1  # of a number in the address
WHAT = r"baseline |version |run "
ABOUT = re.compile(rf"(?:(?!{WHAT})(?P<slug>[\w-]+)[/ ])?(?P<what>c-?|{WHAT})?(?P<number>\d{{1,9}})", re.IGNORECASE)


class EventFilters(Filters):
    """What the address may say. A value that makes no sense is left out, never an error page."""

    project = forms.ChoiceField(required=False)
    kind = forms.ChoiceField(required=False)
    by = forms.CharField(required=False, max_length=200, strip=True)
    about = forms.CharField(required=False, max_length=80, strip=True)
    q = forms.CharField(required=False, max_length=200, strip=True)
    since = forms.DateField(required=False, widget=Day("Since"))
    until = forms.DateField(required=False, widget=Day("Until"))
    before = forms.IntegerField(required=False, min_value=1, max_value=LARGEST)

    def __init__(self, data: QueryDict, projects: Sequence[Project], kinds: Sequence[str]) -> None:
        super().__init__(data)
        offered = {
            "project": [("", "all projects"), *((each.slug, each.slug) for each in projects)],
            "kind": [("", "all kinds"), *((kind, kind) for kind in kinds)],
        }
        for name, choices in offered.items():
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = choices
            field.widget.attrs["aria-label"] = name.capitalize()
        search = {"type": "search", "placeholder": "Any text", "aria-label": "Any text in an event", "data-key": "/"}
        self.fields["q"].widget.attrs |= search
        self.fields["by"].widget.attrs |= {"placeholder": "by whom", "aria-label": "By whom", "list": "people"}
        about = {"placeholder": "C-12, baseline 4, run 33", "aria-label": "About a candidate, a baseline or a run"}
        self.fields["about"].widget.attrs |= about
        self.is_valid()

    def found(self) -> EventQuerySet:
        """The events that the address asks for, newest first."""
        wanted, rows = self.cleaned_data, Event.objects.order_by("-sequence").select_related("project")
        for name, lookup in (("project", "project__slug"), ("kind", "kind"), ("by", "actor"), ("before", "sequence__lt")):
            if wanted.get(name):
                rows = rows.filter(**{lookup: wanted[name]})
        if wanted.get("since"):
            rows = rows.filter(at__gte=datetime.combine(wanted["since"], time.min, UTC))
        if wanted.get("until"):
            rows = rows.filter(at__lte=datetime.combine(wanted["until"], time.max, UTC))
        if wanted.get("about"):
            rows = rows.filter(about(wanted["about"], wanted.get("project") or ""))
        return containing(rows, wanted["q"]) if wanted.get("q") else rows

    @property
    def active(self) -> bool:
        """Whether something is left out."""
        return any(self.cleaned_data.get(name) for name in self.fields if name != "before")


def containing(rows: EventQuerySet, text: str) -> EventQuerySet:
    """Events with a text in their kind, actor or data, in capital letters or small. Reads every event that is left."""
    escaped = json.dumps(text)[1:-1]  # as SQLite has what is not ASCII
    rows = rows.annotate(words=Cast("data", TextField()))
    here = Q(kind__icontains=text) | Q(actor__icontains=text)
    return rows.filter(here | Q(words__icontains=text) | Q(words__icontains=escaped))


def about(words: str, slug: str) -> Q:
    """Events of one candidate, baseline version or run and of what belongs to it: its runs, landings, conversations.

    `words` as people write them: C-12, demo/C-12, baseline 4, run 33. Sub-queries only; nothing is read here.
    """
    match = ABOUT.fullmatch(" ".join(words.split()))
    if match is None:
        return Q(pk__in=[])
    number, what = int(match["number"]), (match["what"] or "c").lower()
    here = {"project__slug": slug} if (slug := match["slug"] or slug) else {}
    if what.startswith("run"):
        return Q(subject_type="run", subject_id=number, **here)
    if what[0] in "bv":
        versions = BaselineVersion.objects.filter(number=number, **here)
        landed = Candidate.objects.filter(landings__version__in=versions)
        return of("baselineversion", versions) | of("candidate", landed)
    candidates = Candidate.objects.filter(number=number, **here)
    versions = BaselineVersion.objects.filter(landings__in=Landing.objects.filter(candidate__in=candidates))
    events = of("candidate", candidates) | of("baselineversion", versions)
    events |= of("run", Run.objects.filter(patch_set__candidate__in=candidates))
    return events | of("conversation", Conversation.objects.filter(candidate__in=candidates))


def of(kind: str, rows: QuerySet[Any]) -> Q:
    """Events whose subject is one of these rows."""
    return Q(subject_type=kind, subject_id__in=rows.values("pk"))


@researcher
@require_safe
def audit(request: HttpRequest) -> HttpResponse:
    """Events with filters; everything in the address. A constant number of queries, none of which counts the log."""
    projects = list(Project.objects.order_by("slug"))
    kinds = list(Event.objects.order_by("kind").values_list("kind", flat=True).distinct())
    form = EventFilters(request.GET, projects, kinds)
    events = list(form.found()[: PAGE_SIZE + 1])
    more, events = len(events) > PAGE_SIZE, events[:PAGE_SIZE]
    addresses = addresses_of(events)
    newest = Event.objects.order_by("-sequence").values_list("sequence", flat=True).first()
    context = {
        "form": form,
        "people": User.objects.order_by("username").values_list("username", flat=True)[:MOST_NAMES],
        "entries": [(event, addresses.get((event.subject_type, event.subject_id))) for event in events],
        "older": events[-1].sequence if more else None,
        "first_page": not form.cleaned_data.get("before"),
        "count": newest or 0,  # they are numbered without a gap
        "head": Event.objects.head(),
        # A text is looked for in every event: once, not every few seconds.
        "still": bool(form.cleaned_data.get("q") or form.cleaned_data.get("before")),
    }
    return live.page(request, "audit/audit.html", {"events": "audit/_events.html"}, context)


Address = tuple[str, str]  # words, and a link where there is a page


def addresses_of(events: Sequence[Event]) -> Mapping[tuple[str, int], Address]:
    """What the events are about, with links. One query per kind of subject."""

    def ids(kind: str) -> list[int]:
        return [event.subject_id for event in events if event.subject_type == kind]

    addresses: dict[tuple[str, int], Address] = {}
    candidates = Candidate.objects.filter(pk__in=ids("candidate")).select_related("project")
    for candidate in candidates.only("number", "project__slug"):
        addresses["candidate", candidate.pk] = (str(candidate), candidate.get_absolute_url())
    for run in Run.objects.filter(pk__in=ids("run")).select_related("project").only("pk", "project__slug"):
        addresses["run", run.pk] = (str(run), f"{run.project.get_absolute_url()}runs/{run.pk}/")
    for project in Project.objects.filter(pk__in=ids("project")):
        addresses["project", project.pk] = (project.slug, project.get_absolute_url())
    addresses["user", 0] = ("unknown name", "")  # that somebody tried to sign in with
    for person in User.objects.filter(pk__in=ids("user")).only("username"):
        addresses["user", person.pk] = (person.get_username(), "")
    for talk in Conversation.objects.filter(pk__in=ids("conversation")).select_related("project"):
        addresses["conversation", talk.pk] = (f"conversation {talk.pk}", f"{talk.project.get_absolute_url()}agents/{talk.pk}/")
    for version in BaselineVersion.objects.filter(pk__in=ids("baselineversion")).select_related("project"):
        addresses["baselineversion", version.pk] = (
            str(version),
            f"{version.project.get_absolute_url()}baseline/#v{version.number}",
        )
    return addresses
