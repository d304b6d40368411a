"""The audit of one landing: who did what, when, what they saw, who was told; found by person, time, subject and text."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from research_app.loop.notify.announce import announce
from research_app.loop.review.review import Seen, approve
from research_app.models import Candidate, Event, Pace, Project
from tests.factories import make_project, make_user, record
from tests.landing_samples import fresh, knob, knobs_project, landed, ready, training_at_once
from tests.notify_samples import hook, send_all, want
from tests.receivers import Webhook
from tests.small_project import drain

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]
__all__ = ["hook"]  # a fixture
CELL = r"<td[^>]*>(.*?)</td>"


@pytest.fixture
def ada() -> Client:
    client = Client()
    client.force_login(make_user("ada"))
    return client


def found(client: Client, **asked: object) -> list[tuple[str, str]]:
    """(kind, by whom) of the events on the page, newest first."""
    page = client.get(f"/audit/?{urlencode(asked)}").content.decode()
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    cells = [
        [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)] for row in rows
    ]
    return [(cell[2], cell[4]) for cell in cells if cell]


@pytest.fixture
def landing(tmp_path: Path, hook: Webhook) -> Iterator[Candidate]:
    """C-2 was approved by grace, who was told of it, and landed; other candidates did as well."""
    with training_at_once():
        project = knobs_project(tmp_path)
        grace = make_user("grace")
        want(grace, webhook=Pace.AT_ONCE, webhook_url=hook.url)
        first, second = ready(project, knob(2)), ready(project, knob(10))
        for candidate in (first, second):
            announce(candidate.pk)
        send_all()
        for candidate in (first, second):
            approve(fresh(candidate), grace, Seen.of(fresh(candidate)), "")
            drain(limit=500)
        assert landed(project) == ["knobs/2", "knobs/1"]
        yield fresh(second)


def test_the_vote_says_what_was_seen(landing: Candidate) -> None:
    first = Event.objects.filter(kind="vote", subject_id=landing.pk).get()
    review = landing.reviews.get()
    data = first.data
    assert (data["diff"], data["base"]) == (review.diff_hash, review.base_commit)
    assert (data["evidence"], data["policy_version"]) == (review.evidence_hash, review.policy_version)
    assert data["decision"] == "approve" and data["gate"] == 2 and data["patch_set"] == 1


def test_all_that_belongs_to_one_candidate_is_found_and_nothing_else(landing: Candidate, ada: Client) -> None:
    for words in ("C-2", "c-2", "2", "knobs/C-2", "knobs C-2"):
        kinds = [kind for kind, _ in found(ada, about=words)]
        assert {"vote", "landed", "judged again", "stage changed", "run finished", "notified"} <= set(kinds), words
    assert kinds.count("vote") == 1 and kinds.count("landed") == 1 and "project created" not in kinds
    assert ("notified", "signoff") in found(ada, about="C-2", kind="notified")
    assert found(ada, about="other/C-2") == found(ada, about="C-77") == found(ada, about="nonsense") == []


def test_a_landing_is_found_by_its_baseline_and_a_run_by_its_number(landing: Candidate, ada: Client) -> None:
    kinds = [kind for kind, _ in found(ada, about="baseline 2", project="knobs")]
    assert "landed" in kinds and "vote" in kinds and kinds.count("vote") == 1
    run = landing.project.runs.latest("pk")
    assert {kind for kind, _ in found(ada, about=f"run {run.pk}")} == {"run finished"}


def test_who_and_when_and_any_text_find_events(landing: Candidate, ada: Client) -> None:
    assert {by for _, by in found(ada, by="grace")} == {"grace"}
    assert {kind for kind, _ in found(ada, by="grace", kind="vote")} == {"vote"}
    today, tomorrow = timezone.now().date(), timezone.now().date() + timedelta(days=1)
    assert found(ada, since=today) and found(ada, until=today) and not found(ada, since=tomorrow)
    assert not found(ada, until=today - timedelta(days=1)) and found(ada, since="0001-01-01", until="9999-12-31")
    evidence = landing.reviews.get().evidence_hash
    assert ("vote", "grace") in found(ada, q=evidence[:20])
    assert found(ada, q="grace") and not found(ada, q="no such word anywhere")
    record("note to agents", landing, landing.project, "lin", says="Wärmer → kälter")
    assert found(ada, q="Wärmer → k") == [("note to agents", "lin")], "letters beyond ASCII are found as they are written"


def test_filters_go_together_and_what_makes_no_sense_is_left_out(landing: Candidate, ada: Client) -> None:
    assert found(ada, about="C-2", by="grace", kind="vote", project="knobs") == [("vote", "grace")]
    everything = found(ada)
    for asked in ({"project": "nowhere"}, {"kind": "nothing"}, {"since": "soon"}, {"before": "x"}, {"before": 10**30}):
        assert found(ada, **asked) == everything


def test_its_page_leads_to_its_audit(landing: Candidate, ada: Client) -> None:
    assert "/audit/?project=knobs&amp;about=C-2" in ada.get(landing.get_absolute_url()).content.decode()
    assert "/audit/?project=knobs&amp;about=baseline+2" in ada.get("/projects/knobs/baseline/").content.decode()


def many(project: Project, count: int) -> None:
    for number in range(count):
        record("vote", project, project, "grace", place=number)


def test_one_pages_back_through_all_of_it_in_order(ada: Client) -> None:
    project = make_project()
    many(project, 250)
    address, seen = "/audit/?kind=vote", []
    for _ in range(3):
        page = ada.get(address).content.decode()
        seen += [int(number) for number in re.findall(r"place: (\d+)", page)]
        older = re.search(r'rel="next" href="([^"]+)"', page)
        address = "/audit/" + older[1].replace("&amp;", "&") if older else ""
    assert seen == list(range(249, -1, -1)) and not address


def test_what_cannot_change_is_not_asked_for_again_and_again(ada: Client) -> None:
    many(make_project(), 3)
    assert 'id="pulse"' in ada.get("/audit/").content.decode()
    assert 'id="pulse"' not in ada.get("/audit/?q=grace").content.decode()
    assert 'id="pulse"' not in ada.get("/audit/?before=3").content.decode()


def test_the_page_never_counts_the_log(ada: Client) -> None:
    many(make_project(), 120)
    with CaptureQueriesContext(connection) as queries:
        page = ada.get("/audit/?project=demo&kind=vote").content.decode()
    assert "events in all" in page
    assert not [each["sql"] for each in queries if "COUNT(" in each["sql"] and "research_app_event" in each["sql"]]


def test_values_of_an_event_read_as_a_person_writes_them(ada: Client) -> None:
    project = make_project("demo")
    record("stack formed", project, project, candidates=["C-1", "C-3"], rungs=[{"rung": "M", "runs": 3}], late=True)
    page = ada.get("/audit/").content.decode()
    for words in ("candidates: C-1, C-3", "rungs: (rung M, runs 3)", "late: yes"):
        assert words in page
