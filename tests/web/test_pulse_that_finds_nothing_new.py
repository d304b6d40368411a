"""A pulse that finds nothing new asks for a few numbers and renders nothing; whatever happens ends that."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from research_app.models import Preferences, Project, Run, Stage, State
from research_app.models.snooze import put_off
from research_app.web.shared import unchanged
from tests.factories import make_candidate, make_device, make_run, make_user, record

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
PULSE = {"HX-Request": "true", "HX-Trigger": "pulse"}
PAGES = [
    "/", "/projects/demo/", "/projects/demo/candidates/", "/projects/demo/candidates/1/", "/projects/demo/baseline/",
    "/projects/demo/landings/", "/projects/demo/scoreboard/", "/projects/demo/shortlist/", "/projects/demo/history/",
    "/projects/demo/stacks/",
]  # fmt: skip
FEW = 13
"""Statements of a pulse where nothing happened: session, person and role, and what stands for the state."""


def etag_of(client: Client, address: str) -> str:
    return client.get(address, headers=PULSE).headers["ETag"]


def pulse(client: Client, address: str, etag: str) -> tuple[int, int]:
    """Status and statements of a pulse that has this version."""
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(address, headers={**PULSE, "If-None-Match": etag})
    return answer.status_code, len(asked)


@pytest.mark.parametrize("address", PAGES)
def test_it_costs_a_few_statements(project: Project, client: Client, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unchanged, "minute_of", lambda request: 0)
    make_candidate(project)
    etag = etag_of(client, address)
    status, asked = pulse(client, address, etag)
    assert status == 304 and asked <= FEW


def put_off_for_an_hour(project: Project) -> None:
    put_off(User.objects.get(), project.candidates.get(number=1), timezone.now() + timedelta(hours=1))


def another_run(project: Project) -> None:
    make_run(project.tip(), seed=50, state=State.QUEUED)


CHANGES: dict[str, Callable[[Project], object]] = {
    "an event": lambda project: record("commented", project, project),
    "a run that waits": another_run,
    "a device that came": lambda project: make_device(),
    "a decision put off": put_off_for_an_hour,
    "keys switched off": lambda project: Preferences.objects.create(user=User.objects.get(), keys_off=True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_rendered_anew_after(project: Project, client: Client, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unchanged, "minute_of", lambda request: 0)
    make_candidate(project)
    etag = etag_of(client, "/")
    assert pulse(client, "/", etag)[1] <= FEW
    with transaction.atomic():
        CHANGES[change](project)
    assert pulse(client, "/", etag)[1] > FEW


def test_within_a_minute_it_is_rendered_anyway(project: Project, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    etag, now = etag_of(client, "/"), timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now + timedelta(seconds=61))
    assert pulse(client, "/", etag)[1] > FEW


def test_how_far_runs_are_counts_where_their_curves_are_shown(
    project: Project, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unchanged, "minute_of", lambda request: 0)
    candidate = make_candidate(project, stage=Stage.SCREENING, effect=None)
    run = make_run(project.tip(), patch_set=candidate.patch_set, state=State.RUNNING, progress=0.1)
    pages = {address: etag_of(client, address) for address in ("/projects/demo/", "/projects/demo/scoreboard/")}
    Run.objects.filter(pk=run.pk).update(progress=0.2)
    asked = {address: pulse(client, address, etag)[1] for address, etag in pages.items()}
    assert asked["/projects/demo/"] > FEW and asked["/projects/demo/scoreboard/"] <= FEW


def test_what_one_person_was_sent_says_nothing_of_what_another_was(
    project: Project, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unchanged, "minute_of", lambda request: 0)
    etag, other = etag_of(client, "/"), Client()
    other.force_login(make_user("eve", role="viewer"))
    assert pulse(other, "/", etag)[1] > FEW


def test_who_may_no_longer_look_gets_nothing(project: Project, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unchanged, "minute_of", lambda request: 0)
    etag = etag_of(client, "/")
    User.objects.update(is_active=False)
    assert pulse(client, "/", etag)[0] not in (200, 304)
