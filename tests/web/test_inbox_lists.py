"""The inbox's lists: tabs that count, an order that is remembered, a filter, and what was put off until later."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from research_app.models import Candidate, Evidence, Snooze, Stage, Verdict
from research_app.web.inbox.later import until
from tests.factories import make_candidate, make_many, make_project, make_user

pytestmark = pytest.mark.django_db
LAYERS = [("train.py", "LAYERS = 3", "LAYERS = 4")]
WIDER = [("train.py", "WIDTH = 96", "WIDTH = 65")]


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def rows(client: Client, query: str = "") -> list[str]:
    """Numbers of the rows, from the top."""
    return re.findall(r'<span class="number">(C-\d+)</span>', client.get(f"/{query}").content.decode())


def tabs(client: Client, query: str = "") -> dict[str, int]:
    page = client.get(f"/{query}").content.decode()
    nav = page.split("data-tabs>", 1)[1].split("</nav>", 1)[0]
    return {
        unescape(words).strip(): int(count) for words, count in re.findall(r">([^<>]+)<span class=\"count quiet\">(\d+)<", nav)
    }


def three() -> list[Candidate]:
    """A small sure gain that waits longest, a large one, and one whose effect health hides."""
    project = make_project()
    small = make_candidate(project, effect=0.01, runs=3, age=timedelta(hours=9))
    large = make_candidate(project, edits=LAYERS, effect=0.2, runs=3, age=timedelta(hours=1))
    hidden = make_candidate(
        project, edits=[*LAYERS, ("train.py", "WARMUP = 0.05", "WARMUP = 0.5")], effect=0.9, age=timedelta(hours=5)
    )
    Evidence.objects.filter(current_of=hidden).update(verdict=Verdict.INVALID)
    return [small, large, hidden]


def test_value_puts_the_surest_gain_first_and_what_health_hides_last() -> None:
    small, large, hidden = three()
    client = signed_in(make_user())
    assert rows(client) == [str(large), str(small), str(hidden)]
    assert rows(client, "?order=age") == [str(small), str(hidden), str(large)]


def test_the_order_is_remembered_and_nonsense_changes_nothing() -> None:
    small, large, hidden = three()
    client = signed_in(make_user())
    rows(client, "?order=age")
    assert rows(client) == [str(small), str(hidden), str(large)]
    assert rows(client, "?order=best;drop&tab=none&project=&q=%20") == [str(small), str(hidden), str(large)]
    assert rows(client, "?order=value")[0] == str(large)


def test_scores_of_any_size_have_a_place() -> None:
    small, large, _ = three()
    Evidence.objects.filter(current_of=small).update(low=1e308, sigma=1e-308)
    Evidence.objects.filter(current_of=large).update(low=-1e308, sigma=5e-324)
    assert rows(signed_in(make_user()))[:2] == [str(small), str(large)]


def test_each_gate_has_a_tab_and_the_first_with_something_is_open() -> None:
    project, ada = make_project(), make_user("ada")
    ready = make_candidate(project, effect=0.1)
    listed = make_candidate(project, edits=LAYERS, stage=Stage.SHORTLISTED)
    changed = make_candidate(project, edits=WIDER, stage=Stage.CHANGES, submitted_by=ada)
    client = signed_in(ada)
    assert tabs(client) == {"Gate 2": 1, "Gate 1": 1, "Changes requested": 1}
    assert rows(client) == [str(ready)]
    assert rows(client, "?tab=gate-1") == [str(listed)]
    assert rows(client, "?tab=asked") == [str(changed)]
    Candidate.objects.filter(pk=ready.pk).update(stage=Stage.REJECTED)
    assert rows(client) == [str(listed)]


def test_a_filter_finds_title_number_author_and_project_and_says_when_nothing_fits() -> None:
    project, other = make_project(), make_project("other")
    mine = make_candidate(project, hypothesis="Warm-up of 2%", author="playbook")
    make_candidate(project, edits=LAYERS, hypothesis="Four layers", author="knobs")
    theirs = make_candidate(other, hypothesis="Warm-up elsewhere", author="knobs")
    client = signed_in(make_user())
    assert rows(client, "?q=warm") == rows(client, "?order=age&q=WARM")
    assert set(rows(client, "?q=warm")) == {str(mine), str(theirs)}
    assert rows(client, f"?q=C-{mine.number}&project=demo") == [str(mine)]
    assert rows(client, "?q=playbook") == [str(mine)]
    assert rows(client, "?project=other") == [str(theirs)]
    assert "Nothing here fits the filter." in client.get("/?q=nothing-like-it").content.decode()


def test_later_takes_a_decision_out_of_the_count_until_its_time() -> None:
    candidate, ada = make_candidate(make_project()), make_user("ada")
    client = signed_in(ada)
    client.post("/projects/demo/candidates/1/later/", {"until": "tomorrow"})
    page = client.get("/").content.decode()
    assert "Nothing waits for a decision" in page
    assert '<span class="count">' not in page.split('aria-label="Main"', 1)[1].split("</nav>", 1)[0]
    assert tabs(client) == {"Gate 2": 0, "Later": 1}
    assert rows(client, "?tab=later") == [str(candidate)]
    assert rows(signed_in(make_user("grace"))) == [str(candidate)], "it is put off for one person alone"
    Snooze.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert rows(client) == [str(candidate)]


def test_what_changes_comes_back_before_its_time() -> None:
    candidate, ada = make_candidate(make_project(), stage=Stage.SHORTLISTED), make_user("ada")
    client = signed_in(ada)
    client.post("/projects/demo/candidates/1/later/", {"until": "monday"})
    assert rows(client) == []
    Candidate.objects.filter(pk=candidate.pk).update(stage=Stage.READY)
    assert rows(client) == [str(candidate)]


def test_a_decision_is_brought_back_by_hand_and_a_wrong_choice_changes_nothing() -> None:
    make_candidate(make_project())
    client = signed_in(make_user())
    client.post("/projects/demo/candidates/1/later/", {"until": "days"})
    client.post("/projects/demo/candidates/1/later/", {"until": "yesterday"})
    assert Snooze.objects.count() == 1
    client.post("/projects/demo/candidates/1/later/", {"until": "now"})
    assert rows(client) == ["C-1"]


def test_nothing_is_put_off_that_waits_for_nobody() -> None:
    make_candidate(make_project(), stage=Stage.DROPPED)
    client = signed_in(make_user())
    answer = client.post("/projects/demo/candidates/1/later/", {"until": "days"}, follow=True)
    assert "is not waiting for anybody" in answer.content.decode()
    assert not Snooze.objects.exists()


def test_later_ends_at_nine_in_the_morning_of_its_day() -> None:
    sunday = timezone.localtime().replace(year=2026, month=11, day=29, hour=23, minute=30)
    assert [until(choice, sunday).strftime("%a %d %H:%M") for choice in ("tomorrow", "days", "monday")] == [
        "Mon 30 09:00", "Wed 02 09:00", "Mon 30 09:00",
    ]  # fmt: skip


def test_later_leads_back_to_the_list_and_never_to_another_site() -> None:
    make_candidate(make_project())
    client = signed_in(make_user())
    answer = client.post("/projects/demo/candidates/1/later/", {"until": "days", "back": "?tab=gate-2&q=a"})
    assert answer["Location"] == "/?tab=gate-2&q=a"
    assert client.post("/projects/demo/candidates/1/later/", {"until": "now", "back": "//evil.example"})["Location"] == "/"


def test_a_long_list_shows_fifty_and_says_how_many_more_in_as_many_queries() -> None:
    project, ada = make_project(), make_user()
    make_candidate(project)
    client = signed_in(ada)
    client.get("/")
    with CaptureQueriesContext(connection) as few:
        client.get("/")
    make_many(project, 60, edits=LAYERS)
    with CaptureQueriesContext(connection) as many:
        page = client.get("/").content.decode()
    assert "11 more: decide some of these" in page
    assert len(many) <= len(few) + 1


def test_the_preview_holds_verdict_change_and_a_decision_that_binds() -> None:
    evidence = make_candidate(make_project(), effect=0.05, runs=3, verdict=Verdict.SOLID).evidence
    assert evidence
    page = signed_in(make_user()).get("/projects/demo/candidates/1/preview/").content.decode()
    for part in (
        f"95% interval {evidence.low:+.4f} … {evidence.high:+.4f}",
        "WARMUP = 0.02",
        "gate 2: into the baseline?",
        'name="evidence_hash"',
        "tomorrow morning",
    ):
        assert part in page
    assert "<html" not in page
    viewer = signed_in(make_user("eve", role="viewer")).get("/projects/demo/candidates/1/preview/").content.decode()
    assert 'name="decision"' not in viewer and "tomorrow morning" not in viewer


def test_a_project_s_tile_says_what_its_loop_does_where_the_top_of_the_page_does_not() -> None:
    make_candidate(make_project())
    page = signed_in(make_user()).get("/").content.decode()
    assert "worker is online" not in page.split('id="projects"', 1)[0]
    assert "worker is online" in page.split('id="projects"', 1)[1]
