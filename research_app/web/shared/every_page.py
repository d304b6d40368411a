"""Addresses of every page with sample arguments, read off the URL patterns: for pictures, and for checks of all pages."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from django.db.models import QuerySet
from django.urls import URLPattern, get_resolver, reverse
from django.urls.resolvers import RoutePattern

from research_app.models import Candidate, Delivery, Project, Thread, Trial, Verdict
from research_app.models.candidate import WAITING

# What an address leaves out: the same page in its other forms.
VARIANTS: Mapping[str, Sequence[tuple[str, str]]] = {
    "history": (("history-tree", "show=tree"), ("history-landings", "show=landings")),
    "candidates": (
        ("candidates-all-columns", "columns=effect,sigmas,saved,n,state,author,category,constants,base,proposed,changed"),
    ),
    "candidate": (("candidate-side-by-side", "view=split"),),
}


class NoSample(LookupError):
    """An address wants an argument that nothing here can fill in; say which in this module."""


def every_address(project: Project) -> Iterator[tuple[str, str]]:
    """Name and address of everything under this project and beside it. Not all are pages: ask, and see what answers."""
    for pattern in get_resolver().url_patterns:
        if not (isinstance(pattern, URLPattern) and isinstance(pattern.pattern, RoutePattern) and pattern.name):
            continue
        arguments = {name: sample(project, name, str(pattern.pattern)) for name in pattern.pattern.converters}
        if None in arguments.values():
            continue  # the project has no such thing
        address = reverse(pattern.name, kwargs=arguments)
        yield pattern.name, address
        for name, query in VARIANTS.get(pattern.name, ()):
            yield name, f"{address}?{query}"


# Which rows a key in an address is of, by what stands before it.
KEYS: Mapping[str, Callable[[Project], QuerySet[Any]]] = {
    "baseline/moved/": lambda project: project.external_moves.all(),
    "imported/": lambda project: project.imported_histories.all(),
    "runs/": lambda project: project.runs.filter(score__isnull=False),
    "stacks/": lambda project: project.ablations.all(),
    "views/": lambda project: project.saved_views.all(),
    "threads/": lambda project: Thread.objects.filter(candidate=shown_candidate(project)),
    "agents/": lambda project: project.conversations.all(),
    "notes/": lambda project: project.notes.all(),
    "sent/": lambda project: Delivery.objects.filter(notifications__candidate__project=project),
    "new-project/": lambda project: Trial.objects.all(),
    "tokens/": lambda project: project.candidates.none(),  # of a person, and nothing but to be revoked
}
WORDS = {"week": "2026-W48", "token": "none", "channel": "email", "path": "nothing"}
NAMES = {
    "docs/": "tutorial/first-hour.md",
    "figure/": "caption.txt",
    "constants/": "WARMUP",
    "<slug:slug>/csv/": "candidates",
    "csv/": "audit",
}


def sample(project: Project, name: str, route: str) -> Any:
    """An argument for one address; None where the project has nothing of the kind. Raises NoSample."""
    if name == "slug":
        return project.slug
    if name == "number" and "imported/" in route:
        return 1  # histories have a first row
    if name == "number":
        candidate = shown_candidate(project)
        return project.tip().number if "baseline/" in route else candidate.number if candidate else None
    if name == "pk":
        for place, rows in KEYS.items():
            if place in route:
                return rows(project).order_by("-pk").values_list("pk", flat=True).first()
    if name == "name":
        return next(value for place, value in NAMES.items() if place in route)
    if name in WORDS:
        return WORDS[name]
    raise NoSample(f"{route} wants {name!r}: say in {__name__} what to fill in.")


def shown_candidate(project: Project) -> Candidate | None:
    """The candidate that a picture should show: one that waits, with the best effect; the newest otherwise."""
    candidates = project.candidates.filter(evidence__effect__isnull=False).exclude(evidence__verdict=Verdict.INVALID)
    return (
        candidates.filter(stage__in=WAITING).order_by("-evidence__effect").first()
        or candidates.last()
        or project.candidates.last()
    )
