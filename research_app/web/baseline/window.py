"""What landed in a stretch of time, on what it was approved, and what it brought together: measured, never summed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from urllib.parse import urlencode

from django.db import models
from django.http import HttpRequest
from django.utils import timezone

from research_app.evidence.digits import Gain
from research_app.models import BaselineVersion, Landing, Project
from research_app.web.baseline.chart import baseline_chart
from research_app.web.shared.effects import Effect, effect_of
from research_app.web.shared.measured import difference, reference_scores
from research_app.web.shared.stats_cache import noise_of

MOST = 60  # steps of one window, the newest; beyond that the page of history has them


class Span(models.TextChoices):
    """How far back."""

    WEEK = "week", "this week"
    MONTH = "month", "four weeks"
    EVER = "ever", "from the beginning"


DAYS = {Span.WEEK: 7, Span.MONTH: 28}


@dataclass(frozen=True)
class SpanLink:
    """One span as a link."""

    words: str
    address: str
    current: bool


@dataclass(frozen=True)
class Step:
    """One version that came in the window: on what it was approved, and how its own runs compare with those before it."""

    version: BaselineVersion
    landings: Sequence[Landing]
    approved: Gain | None  # the effects of its landings together; None where one of them has none to show
    measured: Effect | None

    @property
    def undone(self) -> bool:
        return bool(self.landings) and all(landing.candidate.undone for landing in self.landings)

    @property
    def status(self) -> tuple[str, str]:
        """(tone, words): whether the gain on which it was approved is seen in runs that took no part in the decision."""
        if self.undone:
            return "mute", "taken back"
        if self.measured is None:
            return "mute", "not measured yet"
        words = {True: "held", False: "worse than before it", None: "not seen: interval includes 0"}
        return self.measured.tone, words[self.measured.better]


@dataclass(frozen=True)
class Window:
    """The steps of a window, oldest first, and all of them together."""

    since: datetime | None  # None: from the beginning
    choices: Sequence[SpanLink]
    before: BaselineVersion | None
    newest: BaselineVersion | None
    steps: Sequence[Step]
    together: Effect | None  # the newest version against the one before the window
    chart: str
    more: int  # steps of the window that are not listed

    @property
    def newest_first(self) -> Sequence[Step]:
        return self.steps[::-1]

    @property
    def landed(self) -> int:
        return sum(len(step.landings) for step in self.steps)

    @property
    def approved(self) -> Gain | None:
        """On what they were approved, added up, of what was not taken back. None where nothing was."""
        return added([step.approved for step in self.steps if step.approved and not step.undone])


def added(gains: Sequence[Gain]) -> Gain | None:
    """The sum of gains with the error of independent ones; None of none."""
    if not gains:
        return None
    errors = [each.spread for each in gains]
    return Gain(sum(each.value for each in gains), math.hypot(*(error for error in errors if error is not None)) or None)


def begins(request: HttpRequest, now: datetime) -> tuple[Span | None, datetime | None]:
    """What the address asks for: a span, or `since=2026-11-01`. Anything else is the week."""
    day = request.GET.get("since", "")
    if day in Span.values:
        span = Span(day)
        return span, None if span == Span.EVER else now - timedelta(days=DAYS[span])
    try:
        return None, timezone.make_aware(datetime.combine(date.fromisoformat(day), time.min))
    except (ValueError, OverflowError):
        return Span.WEEK, now - timedelta(days=DAYS[Span.WEEK])


def window_of(request: HttpRequest, project: Project, landings: dict[int, list[Landing]]) -> Window:
    """The window that an address asks for. `landings`: by version, of the newest versions. Three queries."""
    span, since = begins(request, timezone.now())
    every = project.baseline_versions.order_by("-number")
    inside = every.exclude(number=0) if since is None else every.filter(created_at__gte=since, number__gt=0)
    versions = list(inside[:MOST])[::-1]
    more = max(0, inside.count() - MOST)
    lowest = versions[0].number if versions else None
    before = every.filter(number__lt=lowest).first() if lowest is not None else every.first()
    listed = [*([before] if before else []), *versions]
    scores, noise = reference_scores(listed), noise_of(project)
    steps = []
    for previous, version in pairwise(listed):
        measured = difference(scores[previous.pk], scores[version.pk], noise, project.sign)
        steps.append(Step(version, landings.get(version.pk, []), approved_on(landings.get(version.pk, [])), measured))
    together = difference(scores[listed[0].pk], scores[listed[-1].pk], noise, project.sign) if len(listed) > 1 else None
    chart = baseline_chart([(v, scores[v.pk]) for v in listed], {step.version.pk: step.landings for step in steps}, noise)
    return Window(since, choices_of(span), before, listed[-1] if listed else None, steps, together, chart, more)


def approved_on(landings: Sequence[Landing]) -> Gain | None:
    """The effects of what landed together, by the evidence that it landed with; None where one of them shows none."""
    effects = [effect_of(landing.candidate.evidence) for landing in landings]
    return added([effect.gain for effect in effects if effect]) if effects and all(effects) else None


def choices_of(span: Span | None) -> list[SpanLink]:
    return [SpanLink(each.label, "?" + urlencode({"since": each}), each == span) for each in Span]
