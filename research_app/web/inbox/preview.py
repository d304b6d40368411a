"""The row that is chosen, beside the list: verdict, difference to the baseline, the change, and the decision itself."""

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from agent.diff import parse_diff
from research_app.loop.review.votes import turns_of
from research_app.loop.runs import costs_of
from research_app.models import Candidate, Thread
from research_app.models.snooze import put_off_by
from research_app.web.candidate.decision import decision_context
from research_app.web.inbox.later import CHOICES
from research_app.web.inbox.waiting import waiting_for
from research_app.web.shared import charts
from research_app.web.shared.access import get_candidate, researcher
from research_app.web.shared.difference import difference_of
from research_app.web.shared.effects import rows

LINES, LONGEST = 14, 160  # of the change: lines, and characters of each


@dataclass(frozen=True)
class Excerpt:
    """The first changed lines of a change, and how many more there are."""

    lines: list[tuple[str, str]]  # ("path" | "added" | "removed", text)
    more: int


def excerpt(diff: str) -> Excerpt:
    """A change as far as a glance goes. Costs the parsing of the diff, once."""
    lines: list[tuple[str, str]] = []
    changed = 0
    for file in parse_diff(diff):
        moved = [line for line in file.lines if line.kind in ("added", "removed")]
        changed += len(moved)
        left = LINES - sum(kind != "path" for kind, _ in lines)
        if left > 0:
            lines.append(("path", file.path))
            lines += [(line.kind, line.text[:LONGEST].rstrip("\r\n")) for line in moved[:left]]
    return Excerpt(lines, changed - sum(kind != "path" for kind, _ in lines))


@researcher
@require_safe
def preview(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """The part of a page that stands beside the list. A constant number of queries."""
    candidate = get_candidate(request, slug, number)
    assert isinstance(request.user, User)  # the access check let nobody else through
    response = render(request, "inbox/preview.html", context_of(request, request.user, candidate))
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def context_of(request: HttpRequest, user: User, candidate: Candidate) -> dict[str, object]:
    """What the preview shows."""
    mine = turns_of(user).filter(pk=candidate.pk).exists()
    waiting = (
        waiting_for(user, {candidate.pk} if mine else (), [candidate], costs_of([candidate]))
        if candidate.waits_for_person
        else []
    )
    landing = candidate.landings.select_related("version").order_by("-pk").first()
    snooze = put_off_by(user).filter(candidate=candidate).first()
    return {
        "project": candidate.project,
        "candidate": candidate,
        "patch_set": candidate.patch_set,
        "evidence": candidate.evidence,
        "turn": waiting[0] if waiting else None,
        "mine": mine,
        "row": rows([candidate])[0],
        "drawing": difference_of(charts.arms_of(candidate)),
        "excerpt": excerpt(candidate.patch_set.diff) if candidate.patch_set else None,
        "open_threads": Thread.objects.open().filter(candidate=candidate).count(),
        "choices": CHOICES,
        "snooze": snooze,
        **decision_context(request, candidate, landing),
    }
