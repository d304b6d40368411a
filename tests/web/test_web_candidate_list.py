"""The candidate list: filters, orders, columns, saved views, and what may be done to several at once."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from research_app.models import Candidate, Preferences, Project, Run, SavedView, Stage, State, Verdict
from tests.factories import make_candidate, make_project, make_run, make_user
from training.spec import Outcome

pytestmark = pytest.mark.django_db
LIST = "/projects/demo/candidates/"
LAYERS = [("train.py", "LAYERS = 3", "LAYERS = 4")]
WIDTH = [("train.py", "WIDTH = 96", "WIDTH = 128")]
PAYLOAD = '"><img src=x onerror=alert(1)>'


@pytest.fixture
def client() -> Client:
    return signed_in("ada")


def signed_in(name: str, **fields: Any) -> Client:
    client = Client()
    client.force_login(make_user(name, **fields))
    return client


def text(client: Client, query: str = "") -> str:
    response = client.get(f"{LIST}?{query}")
    assert response.status_code == 200
    return response.content.decode()


def numbers(page: str) -> list[int]:
    """The candidates on a page, in its order."""
    return [int(part.split("<")[0]) for part in page.split('<span class="number">C-')[1:]]


@pytest.fixture
def three(project: Project) -> Project:
    """Better and new, worse and old, and one that does not say; the third is archived."""
    make_candidate(project, effect=0.05, runs=3, verdict=Verdict.SOLID, author="claude")
    make_candidate(
        project, edits=LAYERS, effect=-0.05, runs=3, stage=Stage.DROPPED, age=timedelta(days=3), category="architecture"
    )
    make_candidate(project, edits=WIDTH, effect=0.002, stage=Stage.INCONCLUSIVE, archived_at=timezone.now())
    return project


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", [2, 1]),
        ("archived=too", [3, 2, 1]),
        ("archived=only", [3]),
        ("constant=LAYERS", [2]),
        ("constant=WIDTH&archived=too", [3]),
        ("constant=LAY", [2, 1]),  # not a constant that anything touches, so it is no filter
        ("effect=better", [1]),
        ("effect=worse", [2]),
        ("effect=unclear&archived=too", [3]),
        ("gain=0.01", [1]),
        ("gain=-0.2", [2, 1]),
        ("gain=much", [2, 1]),
        ("base=0", [2, 1]),
        ("base=7", []),
        ("kind=change", [2, 1]),
        ("kind=stack", []),
        ("sort=oldest", [1, 2]),
        ("sort=best&archived=too", [1, 3, 2]),
        ("sort=worst&archived=too", [2, 3, 1]),
        ("sort=verdict&archived=too", [1, 3, 2]),
        ("sort=author", [1, 2]),
        ("sort=still", [2, 1]),
        ("sort=saved", [2, 1]),
    ],
)
def test_the_address_says_what_is_listed_and_in_which_order(
    client: Client, three: Project, query: str, shown: list[int]
) -> None:
    assert numbers(text(client, query)) == shown


def test_a_day_is_counted_from_midnight_to_midnight(client: Client, three: Project) -> None:
    today, then = timezone.localdate(), timezone.localdate() - timedelta(days=3)
    assert numbers(text(client, f"since={today}")) == [1]
    assert numbers(text(client, f"since={then}&until={then}")) == [2]
    assert numbers(text(client, "since=yesterday&until=2020-13-45")) == [2, 1]


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("until=9999-12-31", [2, 1]),
        ("since=9999-12-31", []),
        ("since=0001-01-01", [2, 1]),
        ("until=0001-01-01", []),
        ("since=0001-01-01&until=9999-12-31", [2, 1]),
        ("until=12/31/9999", [2, 1]),
    ],
)
def test_the_first_and_the_last_day_that_there_are_are_days(
    client: Client, three: Project, zone: str, query: str, shown: list[int]
) -> None:
    with timezone.override(zone):
        assert numbers(text(client, query)) == shown


@pytest.mark.parametrize(
    "wrong", ["until=2026-02-30", "since=0000-01-01", "gain=much", "base=-1", "stage=lost", f"until={PAYLOAD}"]
)
def test_what_an_address_says_and_nobody_understands_is_said_to_narrow_nothing(
    client: Client, three: Project, wrong: str
) -> None:
    page = text(client, f"{wrong}&author=claude")
    assert numbers(page) == [1]
    name, _, value = wrong.partition("=")
    assert f"Filter not understood, ignored: <code>{escape(f'{name} = {value}')}</code>" in page
    assert "Not understood" not in text(client, "until=2026-02-28&gain=0.1&stage=&sort=")


def test_an_effect_that_health_hides_matches_no_filter_of_effects(client: Client, project: Project) -> None:
    candidate = make_candidate(project, effect=0.9, verdict=Verdict.INVALID, stage=Stage.INVALID)
    assert candidate.evidence
    candidate.evidence.effect, candidate.evidence.low, candidate.evidence.high = 0.9, 0.8, 1.0
    candidate.evidence.save()
    assert numbers(text(client, "effect=better")) == []
    assert numbers(text(client, "gain=0.1")) == []
    assert numbers(text(client, "effect=none")) == [1]


def test_time_saved_is_shown_and_sorted_by_where_it_was_confirmed(client: Client, three: Project) -> None:
    candidate = Candidate.objects.get(number=2)
    assert candidate.evidence
    candidate.evidence.numbers["savings"] = {"saved": 0.31, "low": 0.27, "high": 0.35, "extrapolated": False}
    candidate.evidence.save()
    page = text(client, "sort=saved&columns=saved")
    assert numbers(page) == [2, 1]
    assert "31%" in page


def test_columns_are_remembered_for_a_person_and_an_address_wins(client: Client, three: Project) -> None:
    assert ">Gain" in text(client)
    response = client.post(f"{LIST}columns/", {"column": ["author", "constants", "nonsense"], "query": "stage=ready&page=3"})
    assert response.headers["Location"] == f"{LIST}?stage=ready&columns=author%2Cconstants"
    page = text(client)
    assert 'class="constants"' in page
    assert 'class="effect"' not in page
    assert 'class="effect"' in text(client, "columns=effect")
    assert 'class="effect"' in text(signed_in("grace"))
    client.post(f"{LIST}columns/", {"query": ""})
    assert 'class="effect"' in text(client)


def test_the_head_of_a_column_sorts_and_a_second_click_turns_it_round(client: Client, three: Project) -> None:
    assert "?archived=too&amp;sort=best" in text(client, "archived=too&page=1")
    page = text(client, "sort=best")
    assert "?sort=worst" in page
    assert 'aria-sort="descending"' in page


def test_a_view_keeps_an_address_under_a_name(client: Client, three: Project) -> None:
    response = client.post(f"{LIST}views/", {"name": "  Solid   ones ", "query": "verdict=solid&page=2&author="})
    assert response.headers["Location"] == f"{LIST}?verdict=solid"
    page = text(client, "verdict=solid")
    assert '<a href="?verdict=solid" aria-current="page"' in page
    assert ">Solid ones</a>" in page
    client.post(f"{LIST}views/", {"name": "Solid ones", "query": "verdict=solid&sort=best"})
    assert SavedView.objects.get().query == "verdict=solid&sort=best"


def test_a_view_is_private_unless_it_is_shared_and_only_its_owner_can_forget_it(client: Client, three: Project) -> None:
    client.post(f"{LIST}views/", {"name": "mine", "query": "q=mine"})
    client.post(f"{LIST}views/", {"name": "ours", "query": "q=ours", "shared": "on"})
    grace = signed_in("grace")
    page = text(grace)
    assert ">ours</a>" in page
    assert ">mine</a>" not in page
    view = SavedView.objects.get(name="ours")
    assert grace.post(f"{LIST}views/{view.pk}/forget/").status_code == 404
    assert client.post(f"{LIST}views/{view.pk}/forget/").status_code == 302
    assert list(SavedView.objects.values_list("name", flat=True)) == ["mine"]


@pytest.mark.parametrize("name", ["", "   ", "n" * 61])
def test_a_view_without_a_sensible_name_is_refused_in_words(client: Client, project: Project, name: str) -> None:
    page = client.post(f"{LIST}views/", {"name": name, "query": ""}, follow=True).content.decode()
    assert "A view needs a name of at most 60 characters." in page
    assert not SavedView.objects.exists()


def test_several_are_archived_at_once_and_those_that_refuse_are_named(client: Client, three: Project) -> None:
    page = client.post(
        f"{LIST}bulk/", {"action": "archive", "pick": ["1", "2", "99", "x"], "query": "q=&sort=oldest"}, follow=True
    )
    said = page.content.decode()
    assert page.redirect_chain == [(f"{LIST}?sort=oldest", 302)]
    assert "1 candidate archived." in said
    assert "1 candidate left as it is. C-1: C-1 is awaiting landing approval: only what was discarded can be put away." in said
    client.post(f"{LIST}bulk/", {"action": "unarchive", "pick": ["2", "3"]})
    assert not Candidate.objects.exclude(archived_at=None).exists()


def test_several_are_tried_again_at_once(client: Client, project: Project) -> None:
    for width in (128, 256):
        candidate = make_candidate(
            project, edits=[("train.py", "WIDTH = 96", f"WIDTH = {width}")], stage=Stage.CRASHED, effect=None
        )
        make_run(project.tip(), patch_set=candidate.patch_set, outcome=Outcome.crashed)
    client.post(f"{LIST}bulk/", {"action": "retry", "pick": ["1", "2"]})
    assert Run.objects.filter(state=State.QUEUED).count() == 2


def test_several_are_brought_to_the_gate_with_a_reason_and_none_without(client: Client, project: Project) -> None:
    make_candidate(project, stage=Stage.DROPPED)
    make_candidate(project, edits=LAYERS, stage=Stage.INCONCLUSIVE)
    said = client.post(f"{LIST}bulk/", {"action": "reopen", "pick": ["1", "2"], "reason": " "}, follow=True).content.decode()
    assert "Say why it should be looked at again." in said
    client.post(f"{LIST}bulk/", {"action": "reopen", "pick": ["1", "2"], "reason": "The idea is good."})
    assert set(Candidate.objects.values_list("stage", flat=True)) == {Stage.READY}


@pytest.mark.parametrize("action", ["approve", "reject", "land", "delete", ""])
def test_nothing_else_can_be_done_in_bulk_above_all_no_approval(client: Client, project: Project, action: str) -> None:
    candidate = make_candidate(project, effect=0.05, runs=3, verdict=Verdict.SOLID)
    said = client.post(f"{LIST}bulk/", {"action": action, "pick": ["1"], "reason": "all good"}, follow=True).content.decode()
    assert "Nothing was done" in said
    candidate.refresh_from_db()
    assert candidate.stage == Stage.READY
    assert not candidate.reviews.exists()


def test_a_viewer_chooses_rows_to_compare_and_may_not_send_any(three: Project) -> None:
    client = signed_in("eve", role="viewer")
    page = text(client)
    assert "data-compare" in page and 'value="archive"' not in page
    assert client.post(f"{LIST}bulk/", {"action": "archive", "pick": ["2"]}).status_code == 403


def test_candidates_of_another_project_are_out_of_reach(client: Client, three: Project) -> None:
    other = make_project("other")
    make_candidate(other, stage=Stage.DROPPED)
    client.post(f"{LIST}bulk/", {"action": "archive", "pick": ["1", "2", "3"]})
    assert other.candidates.get().archived_at is None


def test_keys_are_turned_off_for_a_person_and_one_is_led_back(client: Client, project: Project) -> None:
    assert client.post("/keys/", {"keys": "off", "back": LIST}).headers["Location"] == LIST
    assert 'data-keys="off"' in text(client)
    assert 'data-keys="off"' not in text(signed_in("grace"))
    assert client.post("/keys/", {"keys": "on", "back": "https://evil.example/"}).headers["Location"] == "/"
    assert not Preferences.objects.get(user__username="ada").keys_off


def test_script_in_names_queries_and_reasons_stays_text(client: Client, project: Project) -> None:
    payload = [("train.py", "# Linear warm-up, then constant.", f"# {PAYLOAD}")]
    make_candidate(project, hypothesis=PAYLOAD, author=PAYLOAD, edits=payload, why=PAYLOAD)
    client.post(f"{LIST}views/", {"name": PAYLOAD, "query": f"q={PAYLOAD}"})
    page = text(client, f"q={PAYLOAD}&columns=author,constants,{PAYLOAD}&stage={PAYLOAD}&base={PAYLOAD}")
    assert "<img" not in page
    assert "&lt;img" in page


@pytest.mark.parametrize(
    ("asked", "found"), [("LAYERS = 4", [1]), ("width = 96", [2]), ("LAYERS", [1]), ("train.py", [2, 1]), ("4 (x", [])]
)
def test_a_search_finds_what_a_diff_changes_and_not_what_stands_around_it(
    client: Client, project: Project, asked: str, found: list[int]
) -> None:
    make_candidate(project, edits=LAYERS, hypothesis="Deeper")
    make_candidate(project, edits=WIDTH, hypothesis="Wider")
    assert numbers(text(client, f"q={quote(asked)}&sort=newest")) == found
