"""What a route's arguments can name in the world: the rows of each kind, as arguments and query strings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.contrib.auth.models import User
from django.urls import reverse

from research_app.models import Ablation, Candidate, Delivery, ImportedResult, Project, Thread, Token, Trial
from tests.routes.known import About, Known
from tests.routes.urlconf import Route


@dataclass(frozen=True)
class Row:
    """One thing that an address names: its arguments, what must stand behind the `?`, and what to call it."""

    arguments: Mapping[str, Any]
    query: Mapping[str, str]
    name: str


def rows_of(project: Project, about: About) -> list[Row]:
    """Every row of the world of this kind."""
    return [Row(arguments, query, name) for arguments, query, name in ROWS[about](project)]


Found = list[tuple[Mapping[str, Any], Mapping[str, str], str]]


def _candidates(project: Project) -> Found:
    found = project.candidates.order_by("number")
    return [({"slug": project.slug, "number": c.number}, {}, f"{c}, {c.stage}") for c in found.defer("proposed")]


def _files(project: Project) -> Found:
    found: Found = []
    for candidate in project.candidates.filter(patch_set__isnull=False).select_related("patch_set"):
        here = {"slug": project.slug, "number": candidate.number}
        for file in candidate.revision.files[:2]:
            query = {"path": str(file.get("path")), "first": "1", "count": "3", "take": "all"}
            found.append((here, query, f"{candidate}, {candidate.stage}"))
    return found or [(here, {"path": "train.py"}, name) for here, _, name in _candidates(project)[:1]]


def _threads(project: Project) -> Found:
    found = Thread.objects.filter(candidate__project=project).select_related("candidate")
    return [({"slug": project.slug, "number": t.candidate.number, "pk": t.pk}, {}, f"thread {t.pk}") for t in found]


def _of(related: str, key: str = "pk") -> Callable[[Project], Found]:
    """Rows of the project by one of their fields."""

    def rows(project: Project) -> Found:
        found = getattr(project, related).order_by("pk").values_list(key, flat=True)
        return [({"slug": project.slug, key: value}, {}, f"{related} {value}") for value in found]

    return rows


def _runs(project: Project) -> Found:
    found = project.runs.order_by("pk").values_list("pk", "state", "outcome")
    return [({"slug": project.slug, "pk": pk}, {}, f"run {pk}, {state} {outcome}") for pk, state, outcome in found]


def _members(project: Project) -> Found:
    pairs = Ablation.candidates.through.objects.filter(ablation__project=project)
    numbers = dict(Candidate.objects.filter(project=project).values_list("pk", "number"))
    return [
        ({"slug": project.slug, "pk": check, "number": numbers[candidate]}, {}, f"member of stack {check}")
        for check, candidate in pairs.values_list("ablation_id", "candidate_id")
    ]


def _tokens(project: Project) -> Found:
    ada = User.objects.filter(username="ada").values_list("pk", flat=True)
    return [({"pk": pk}, {}, f"token {pk}") for pk in Token.objects.filter(user__in=ada).values_list("pk", flat=True)]


def _deliveries(project: Project) -> Found:
    mine = Delivery.objects.filter(user__username="ada").order_by("pk")
    return [({"pk": pk}, {}, f"message {pk}") for pk in mine.values_list("pk", flat=True)]


def _trials(project: Project) -> Found:
    found = Trial.objects.order_by("pk").values_list("pk", "state")
    return [({"pk": pk}, {}, f"trial {pk}, {state}") for pk, state in found]


def _imported(project: Project) -> Found:
    found = (
        ImportedResult.objects.filter(history__project=project).order_by("pk").values_list("history_id", "number", "outcome")
    )
    return [({"slug": project.slug, "pk": pk, "number": n}, {}, f"row {n}, {outcome}") for pk, n, outcome in found]


ROWS: Mapping[About, Callable[[Project], Found]] = {
    About.NOTHING: lambda project: [({}, {}, "")],
    About.PROJECT: lambda project: [({"slug": project.slug}, {}, project.slug)],
    About.CANDIDATE: _candidates,
    About.CHANGED_FILE: _files,
    About.THREAD: _threads,
    About.RUN: _runs,
    About.VERSION: _of("baseline_versions", "number"),
    About.STACK: _of("ablations"),
    About.STACK_MEMBER: _members,
    About.CONVERSATION: _of("conversations"),
    About.NOTE: _of("notes"),
    About.HISTORY: _of("imported_histories"),
    About.IMPORTED: _imported,
    About.TRIAL: _trials,
    About.MOVE: _of("external_moves"),
    About.VIEW: _of("saved_views"),
    About.TOKEN: _tokens,
    About.DELIVERY: _deliveries,
}


def variants(project: Project, known: Known) -> list[dict[str, str]]:
    """What may stand behind the `?` so that a view goes another way; nothing first."""
    candidate = project.candidates.filter(evidence__isnull=False).order_by("number").values_list("number", flat=True).first()
    listed = project.candidates.filter(stage="shortlisted", patch_set__isnull=False).values_list("number", flat=True).first()
    run = project.runs.order_by("pk").values_list("pk", flat=True).first()
    filled = [text.format(c=candidate or 1, r=run or 1, s=listed or 1) for text in known.also]
    return [{}, *(dict(parse_qsl(text)) for text in filled)]


def address(route: Route, known: Known, row: Row, **query: str) -> str:
    """Where a route answers about a row."""
    arguments = {**row.arguments, **(known.fixed or {})}
    if "run" in route.arguments:  # the API calls a run's key by its name
        arguments["run"] = arguments.pop("pk")
    asked = {**row.query, **query}
    return reverse(route.name, kwargs=arguments) + (f"?{urlencode(asked, errors='surrogatepass')}" if asked else "")
