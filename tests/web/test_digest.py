"""The digest of a week: its numbers, counted again from the raw rows; its address; its line in the daily mail of a Monday."""

import math
from datetime import date, timedelta
from statistics import fmean, variance

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from scipy.stats import t

from research_app.loop.notify import compose
from research_app.loop.week import Span, week_of
from research_app.models import (
    Delivery,
    Event,
    LandingState,
    NotificationSettings,
    Occasion,
    Project,
    Purpose,
    Run,
    Stage,
    State,
)
from tests.factories import make_candidate, make_landing, make_user, record

pytestmark = pytest.mark.django_db
LAYERS = [("train.py", "LAYERS = 3", "LAYERS = 4")]


@pytest.fixture
def busy(project: Project) -> Project:
    """A week with two landings, a rejected candidate, failed runs, votes and something that waits."""
    for edits, gain in ((LAYERS, 0.03), ([("train.py", "WIDTH = 96", "WIDTH = 128")], 0.02)):
        candidate = make_candidate(project, edits=edits, stage=Stage.LANDED, verdict="solid", effect=gain)  # type: ignore[arg-type]
        landing = make_landing(candidate, LandingState.LANDED)
        assert landing.version
        record("vote", candidate, project, "grace", decision="approve", gate=2)
        record("landed", candidate, project, baseline=landing.version.number, commit=landing.commit)
    refused = make_candidate(project, stage=Stage.REJECTED)
    record("stage changed", refused, project, "grace", **{"from": "ready", "to": "rejected", "why": "No"})
    record("stage changed", refused, project, "grace", **{"from": "ready", "to": "rejected", "why": "Again"})
    Run.objects.filter(patch_set__candidate=refused).update(outcome="crashed", score=None)
    make_candidate(project)
    Run.objects.update(state=State.FINISHED, finished_at=timezone.now())
    return project


def test_its_numbers_are_those_of_the_raw_rows(busy: Project) -> None:
    week = week_of(busy, Span.of(timezone.localdate()))
    rows = [event for event in Event.objects.filter(project=busy) if Span.of(timezone.localtime(event.at).date()) == week.span]
    kinds = [event.kind for event in rows]
    assert len(week.landed) == kinds.count("landed") == 2
    assert week.proposed == kinds.count("candidate proposed") == 4
    assert week.failed == {"rejected": 1} and week.failed_runs == {"crashed": 1}
    assert [(vote.by, vote.gate) for vote in week.approvals] == [("grace", 2), ("grace", 2)]
    runs = [run for run in Run.objects.filter(project=busy) if run.finished_at]
    hours = sum(((run.train_seconds or 0) + run.earlier_seconds) * run.devices for run in runs) / 3600
    assert week.device_hours == pytest.approx(hours)
    assert [c.stage for c in week.waiting] == [Stage.READY] and week.waiting_count == 1


def test_the_measured_gain_and_its_interval_are_those_of_the_reference_runs(busy: Project) -> None:
    week = week_of(busy, Span.of(timezone.localdate()))
    runs = Run.objects.filter(project=busy, patch_set=None, cell=None, scale="S", budget_share=1.0, purpose=Purpose.REFERENCE)
    scores: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for run in runs.select_related("baseline"):
        if run.score is not None:
            scores[run.baseline.number].append(run.score)
    noise = busy.noise()
    assert noise and week.together and week.together.low is not None
    value = fmean(scores[0]) - fmean(scores[2])
    half = t.ppf(0.975, noise.degrees) * noise.sigma * math.sqrt(1 / len(scores[0]) + 1 / len(scores[2]))
    assert week.together.value == pytest.approx(value) and week.together.low == pytest.approx(value - half)
    steps = [fmean(scores[n - 1]) - fmean(scores[n]) for n in (1, 2)]
    assert [change.step and change.step.value for change in week.landed] == pytest.approx(steps)
    assert variance(scores[1]) > 0


def test_a_week_has_an_address_and_says_what_happened_in_it_alone(busy: Project, client: Client) -> None:
    client.force_login(make_user("tess"))
    this = Span.of(timezone.localdate())
    page = client.get(f"/projects/demo/digest/{this}/").content.decode()
    assert "measured together" in page and "1 candidate: rejected" in page and "Decisions that wait longest" in page
    before = client.get(f"/projects/demo/digest/{this.before}/").content.decode()
    assert "Nothing landed." in before and "Nobody approved anything." in before
    for wrong in ("2026-W54", "2026-W5", "W48", "0000-W01", "9999-W52", "2026-W48x", "٢٠٢٦-W48"):
        assert client.get(f"/projects/demo/digest/{wrong}/").status_code == 404


def test_the_weeks_of_a_year_follow_each_other() -> None:
    span = Span.named("2026-W53")
    assert str(span.after) == "2027-W01" and span.after.before == span and span.end - span.begin >= timedelta(days=6)


def test_it_costs_the_same_however_much_landed(busy: Project, client: Client) -> None:
    client.force_login(make_user("tess"))
    with CaptureQueriesContext(connection) as few:
        client.get("/projects/demo/digest/")
    for value in range(3):
        edits = [("train.py", f"LEARNING_RATE = {value + 3}e-3", f"LEARNING_RATE = {value + 4}e-3")]
        candidate = make_candidate(busy, edits=edits, stage=Stage.LANDED)
        landing = make_landing(candidate, LandingState.LANDED)
        assert landing.version
        record("landed", candidate, busy, baseline=landing.version.number)
        record("vote", candidate, busy, "grace", decision="approve", gate=2)
    with CaptureQueriesContext(connection) as many:
        client.get("/projects/demo/digest/")
    assert len(many) <= len(few)


@pytest.mark.parametrize(("day", "lines"), [(30, 1), (29, 0)])
def test_the_daily_message_of_a_monday_tells_of_the_week_that_is_over(
    busy: Project, monkeypatch: pytest.MonkeyPatch, day: int, lines: int
) -> None:
    """30 November 2026 is a Monday."""
    monkeypatch.setattr("research_app.loop.notify.compose.timezone.localdate", lambda: date(2026, 11, day))
    person = make_user("tess")
    NotificationSettings.objects.create(user=person)
    delivery = Delivery.objects.create(user=person, channel="email", occasion=Occasion.DIGEST)
    candidate = busy.candidates.waiting_for_review().get()
    notice = compose.notice_of(delivery, [candidate], 1)
    weeks = [item for item in notice.items if item.url.endswith("/projects/demo/digest/2026-W48/")]
    assert len(weeks) == lines and notice.subject.startswith(str(candidate))
    assert all("landed" in item.lines[0] and "device-hours" in item.lines[0] for item in weeks)
