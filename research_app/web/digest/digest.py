"""/projects/<slug>/digest/2026-W48/ : a week of a project on one page, from its audit log and its evidence."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from research_app.loop.week import Span, Week, week_of
from research_app.models import Stage
from research_app.web.shared.access import get_project, researcher
from research_app.web.shared.effects import Effect


@researcher
@require_safe
def digest(request: HttpRequest, slug: str, week: str = "") -> HttpResponse:
    """The week of the address, or this one. A constant number of queries."""
    project = get_project(request, slug)
    this = Span.of(timezone.localdate())
    try:
        span = Span.named(week) if week else this
    except ValueError:
        raise Http404("There is no such week: write 2026-W48.") from None
    summary = week_of(project, span)
    context = {
        "project": project,
        "week": summary,
        "landed": [(change, Effect(change.step) if change.step else None) for change in summary.landed],
        "together": together_of(summary),
        "address": reverse("digest-week", args=[slug, span]),
        "failed": [(Stage(stage).label, count) for stage, count in summary.failed.items()],
        "under_way": span == this,
        "last_day": span.after.monday - (span.after.monday - span.monday) / 7,
        "later": span.after if span.monday < this.monday else None,
    }
    return render(request, "digest/digest.html", context)


def together_of(week: Week) -> Effect | None:
    """What the week brought, for the page."""
    return Effect(week.together, None, week.together_n, week.before_n) if week.together else None
