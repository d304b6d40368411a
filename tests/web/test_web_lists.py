"""Inbox, candidate list, project, fleet, baseline and audit pages: what they show, and that they cost the same however long."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import resolve
from django.utils import timezone

from research_app.models import Author, Project, Round, Stage, State, Verdict
from tests.factories import make_candidate, make_device, make_landing, make_many, make_run, make_user, record
from tests.walk.budgets import most

pytestmark = pytest.mark.django_db
LAYERS = [("train.py", "LAYERS = 3", "LAYERS = 4")]


def text(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


def order(page: str, *numbers: int) -> bool:
    """Whether these candidates stand on the page in this order."""
    places = [page.index(f'<span class="number">C-{number}</span>') for number in numbers]
    return places == sorted(places)


def queries(client: Client, address: str) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        text(client, address)
    return [query["sql"] for query in captured.captured_queries]


GROW: dict[str, Callable[[Project, int], object]] = {
    "/": lambda project, count: make_many(project, count),
    "/projects/demo/": lambda project, count: make_many(project, count),
    "/projects/demo/candidates/": lambda project, count: make_many(project, count),
    "/projects/demo/candidates/?q=warm&sort=best": lambda project, count: make_many(project, count),
    "/fleet/": lambda project, count: [make_device(f"box/train.cpu.{count}.{i}") for i in range(count)],
    "/audit/": lambda project, count: [record("vote", project, project, decision="approve") for _ in range(count)],
    "/projects/demo/baseline/": lambda project, count: [
        make_run(project.tip(), seed=1000 + count + i) for i in range(count // 4)
    ],
}


@pytest.mark.parametrize("address", GROW)
def test_a_page_costs_as_many_queries_for_200_rows_as_for_10(client: Client, project: Project, address: str) -> None:
    GROW[address](project, 10)
    few = queries(client, address)
    GROW[address](project, 190)
    many = queries(client, address)
    assert len(many) == len(few), "\n".join(sorted(set(many) ^ set(few)))
    assert len(many) <= most(resolve(address.partition("?")[0]).url_name or "")


@pytest.mark.parametrize("address", ["/", "/projects/demo/candidates/", "/fleet/", "/audit/", "/projects/demo/baseline/"])
def test_a_list_reads_no_series_no_logs_and_no_diffs(client: Client, project: Project, address: str) -> None:
    make_candidate(project)
    asked = queries(client, address)
    assert len(asked) > 1
    for sql in asked:
        assert "serieschunk" not in sql.lower()
        assert "runlog" not in sql.lower()
        assert '"research_app_patchset"."diff",' not in sql


def test_the_inbox_shows_what_waits_the_oldest_first(client: Client, project: Project) -> None:
    make_candidate(project, age=timedelta(minutes=3))
    make_candidate(project, edits=LAYERS, age=timedelta(hours=2))
    make_candidate(project, edits=LAYERS, stage=Stage.DROPPED, effect=-0.02)
    page = text(client, "/")
    assert order(page, 2, 1)
    assert "C-3<" not in page
    assert "2 decisions wait for you, the oldest for" in page


def test_an_empty_installation_says_what_to_run(client: Client) -> None:
    page = text(client, "/")
    assert "Nothing waits for a decision." in page
    assert "manage.py project create demo" in page


def test_a_row_shows_n_effect_interval_and_verdict_in_words(client: Client, project: Project) -> None:
    evidence = make_candidate(project, effect=0.03, runs=3, verdict=Verdict.SOLID).evidence
    assert evidence and evidence.effect and evidence.low and evidence.high
    page = text(client, "/projects/demo/candidates/")
    assert "5 / 5" in page  # the fresh seeds that confirmed it
    assert f"{evidence.effect:+.4f}" in page and f"{evidence.low:+.4f} … {evidence.high:+.4f}".replace("-", "−") in page
    assert "</span> solid</span>" in page


def test_an_invalid_candidates_effect_is_hidden_and_does_not_sort_first(client: Client, project: Project) -> None:
    make_candidate(project, effect=0.9, verdict=Verdict.INVALID)
    make_candidate(project, edits=LAYERS, effect=0.01)
    page = text(client, "/projects/demo/candidates/?sort=best")
    assert order(page, 2, 1)
    assert "not comparable: health check failed" in page
    assert "0.9" not in page


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", {1, 2, 3}),
        ("stage=ready", {1}),
        ("stage=waiting", {1}),
        ("stage=discarded", {2}),
        ("stage=under-way", {3}),
        ("verdict=drop", {2}),
        ("author=claude", {2}),
        ("category=architecture", {2}),
        ("q=LAYERS+%3D+4", {2}),
        ("q=warm-up", {1, 3}),
        ("q=C-3", {3}),
        ("q=nothing+like+this", set()),
        ("stage=no-such-stage&sort=sideways&page=99", {1, 2, 3}),
    ],
)
def test_the_list_shows_what_the_address_says(client: Client, project: Project, query: str, shown: set[int]) -> None:
    make_candidate(project)
    make_candidate(
        project, edits=LAYERS, hypothesis="Deeper", stage=Stage.DROPPED, effect=-0.02, verdict=Verdict.DROP, author="claude",
        author_kind=Author.AGENT, category="architecture",
    )  # fmt: skip
    make_candidate(project, edits=(), stage=Stage.CHECKING, effect=None)
    page = text(client, f"/projects/demo/candidates/?{query}")
    assert {number for number in (1, 2, 3) if f'<span class="number">C-{number}</span>' in page} == shown


def test_a_search_treats_wild_cards_as_text(client: Client, project: Project) -> None:
    make_candidate(project, hypothesis="100% more width_x")
    assert "1 candidate" in text(client, "/projects/demo/candidates/?q=100%25+more+width_x")
    assert "No candidate matches" in text(client, "/projects/demo/candidates/?q=1%25%25width")


def test_pages_hold_fifty_and_keep_the_filters(client: Client, project: Project) -> None:
    make_many(project, 60)
    first = text(client, "/projects/demo/candidates/?stage=ready")
    assert first.count("data-row") == 50
    assert "?stage=ready&amp;page=2" in first
    assert text(client, "/projects/demo/candidates/?stage=ready&page=2").count("data-row") == 10


def test_what_needs_attention_can_be_listed(client: Client, project: Project) -> None:
    make_candidate(project, edits=(), effect=None, stage=Stage.CHECKING, needs_attention="The repository is gone.")
    assert "1 needs attention" in text(client, "/projects/demo/")
    assert "checking: needs attention" in text(client, "/projects/demo/candidates/?stage=attention")


def test_the_project_page_tells_stages_runs_and_the_baseline(client: Client, project: Project) -> None:
    device = make_device(sandbox_level="none")
    candidate = make_candidate(project, stage=Stage.SCREENING, effect=None)
    make_run(project.tip(), patch_set=candidate.patch_set, state=State.RUNNING, progress=0.43, device=device)
    make_run(project.tip(), patch_set=candidate.patch_set, state=State.QUEUED, seed=2)
    Round.objects.create(project=project, proposers=["knobs"], wanted=12, opened_by="ada")
    page = text(client, "/projects/demo/")
    for words in ("<b>1</b> screening", "43%", "1 queued", "sandbox none", "s left", "n = 4", "of 12 proposed", "polyline"):
        assert words in page


def test_runs_that_wait_without_a_worker_are_explained(client: Client, project: Project) -> None:
    candidate = make_candidate(project, stage=Stage.SCREENING, effect=None)
    make_run(project.tip(), patch_set=candidate.patch_set, state=State.QUEUED)
    assert "no cpu worker is online" in text(client, "/projects/demo/")


def test_the_rate_and_the_use_of_devices_are_those_of_the_last_hour(client: Client, project: Project) -> None:
    from research_app.web.project.project import Pace

    make_device()
    candidate = make_candidate(project, effect=None)
    now = timezone.now()
    for seed in range(6):  # one of 300 s every 600 s
        start = now - timedelta(seconds=600 * (seed + 1))
        end = start + timedelta(seconds=301)
        make_run(
            project.tip(), patch_set=candidate.patch_set, seed=seed, started_at=start, finished_at=end, train_seconds=300.0
        )
    project.runs.filter(patch_set=None).update(started_at=None)
    pace = Pace.of(project)
    assert pace.per_hour == pytest.approx(6, rel=0.01)
    assert pace.busy == pytest.approx(0.5, rel=0.01)


def test_pausing_and_resuming_stand_on_the_project_page(client: Client, project: Project) -> None:
    page = client.post("/projects/demo/pause/", follow=True).content.decode()
    assert "nothing new is proposed" in page
    assert ">Resume</button>" in page
    assert ">Pause</button>" in client.post("/projects/demo/resume/", follow=True).content.decode()
    assert "project paused" in text(client, "/audit/?project=demo")


def test_a_device_that_is_silent_is_marked(client: Client) -> None:
    make_device("here", sandbox_level="strong")
    make_device("gone", seen_at=timezone.now() - timedelta(minutes=5))
    page = text(client, "/fleet/")
    assert page.count("offline") == 1
    assert "sandbox strong" in page
    assert "sandbox none" in page


def test_the_baseline_page_shows_versions_with_who_approved_them(client: Client, project: Project) -> None:
    from research_app.loop.review.review import Seen
    from research_app.models import LandingState, Review

    candidate = make_candidate(project, stage=Stage.LANDED)
    make_landing(candidate, LandingState.LANDED)
    seen = Seen.of(candidate)
    assert candidate.patch_set
    Review.objects.create(
        candidate=candidate, patch_set=candidate.patch_set, gate=2, reviewer=make_user("grace"), policy_version=1,
        decision="approve", reason="Clean.",
        diff_hash=seen.diff_hash, base_commit=seen.base_commit, evidence_hash=seen.evidence_hash,
    )  # fmt: skip
    page = text(client, "/projects/demo/baseline/")
    assert page.index("Baseline 1") < page.index("Baseline 0")
    assert "approved by <b>grace</b>" in page
    assert "What the project began with." in page


def test_a_missing_repository_leaves_the_baseline_page_standing(client: Client, project: Project) -> None:
    project.repository.path.rename(project.folder / "elsewhere.git")
    assert "Baseline 0" in text(client, "/projects/demo/baseline/")


def test_the_audit_page_filters_and_links_to_what_an_event_is_about(client: Client, project: Project) -> None:
    candidate = make_candidate(project)
    record("vote", candidate, project, "ada", decision="approve")
    page = text(client, "/audit/?kind=vote")
    assert "decision: approve" in page
    assert f'href="{candidate.get_absolute_url()}"' in page
    assert "project created</td>" not in page
    assert page.count("<tr>") == 2, "the head, and the one event of this kind"
