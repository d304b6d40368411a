"""The compare page: what an address names, curves and scores of it, what differs in the code, and clear errors."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from research_app.models import Project, Run, Stage, Verdict
from tests.factories import make_candidate, make_many, make_project

pytestmark = pytest.mark.django_db
DEEPER = [("train.py", "LAYERS = 3", "LAYERS = 4")]
COMPARE = "/projects/demo/compare/"


def text(client: Client, query: str, status: int = 200) -> str:
    response = client.get(f"{COMPARE}{query}")
    assert response.status_code == status
    return response.content.decode()


def curves(client: Client, query: str) -> Any:
    response = client.get(f"{COMPARE}curves.json?{query}")
    assert response.status_code == 200
    return response.json()


def test_candidates_and_runs_stand_over_each_other_with_their_baseline(client: Client, project: Project) -> None:
    make_candidate(project, runs=2)
    other = make_candidate(project, edits=DEEPER, effect=-0.01, runs=1, stage=Stage.DROPPED)
    run = Run.objects.filter(patch_set=other.patch_set).get()
    answer = curves(client, f"c=2,1&r={run.pk}")
    told = [(group["name"], group["role"], group["n"]) for group in answer["groups"]]
    assert told == [
        ("baseline 0", "baseline", 4), ("C-2", "candidate", 1), ("C-1", "candidate", 2), ("C-2 seed 1", "candidate", 1)
    ]  # fmt: skip
    assert curves(client, "c=1&c=2&view=difference")["traces"][0]["y"][0] == 0.0


def test_the_table_tells_mean_std_n_and_best_of_every_group(client: Client, project: Project) -> None:
    make_candidate(project, runs=2, effect=0.012)
    page = text(client, "?c=1")
    runs = Run.objects.filter(patch_set__candidate__number=1).order_by("score")
    best, worst = (run.score or 0.0 for run in runs)
    for words in (
        "<td>2</td>",
        f"<td>{(best + worst) / 2:.4f}</td>",
        f"<td>{(worst - best) / 2**0.5:.4f}</td>",
        f"<td>{best:.4f}</td>",
    ):
        assert words in page
    assert "curves.json?c=1" in page


def test_health_hides_scores_in_a_comparison(client: Client, project: Project) -> None:
    make_candidate(project, effect=0.9, verdict=Verdict.INVALID, stage=Stage.INVALID)
    score = Run.objects.get(patch_set__candidate__number=1).score
    page = text(client, "?c=1")
    assert "not comparable: health check failed" in page
    assert f"{score:.4f}" not in page


def test_constants_that_differ_are_read_from_the_code(client: Client, project: Project) -> None:
    make_candidate(project, details={"knobs": {"train.py:WARMUP": 0.9}, "was": {"train.py:WARMUP": 0.05}})
    make_candidate(project, edits=DEEPER)
    page = text(client, "constants/?c=1,2")
    assert page.index("LAYERS") and page.index("WARMUP")
    assert "WIDTH" not in page
    assert "0.9" not in page  # what was said about it
    for value in ("0.05", "0.02", ">3<", ">4<"):
        assert value in page


def test_more_than_fifty_are_refused_with_how_many_to_leave_out(client: Client, project: Project) -> None:
    asked = ",".join(map(str, range(1, 53)))
    assert "52 were asked for, at most 50 can be compared: leave out 2." in text(client, f"?c={asked}", 400)
    response = client.get(f"{COMPARE}curves.json?c={asked}")
    assert (response.status_code, response.json()["error"][:2]) == (400, "52")


def test_unknown_numbers_are_named_and_the_rest_is_shown(client: Client, project: Project) -> None:
    make_candidate(project)
    elsewhere = make_candidate(make_project("other"))
    run = Run.objects.get(patch_set=elsewhere.patch_set)
    page = text(client, f"?c=1,99&r={run.pk}")
    assert f"demo has no candidate C-99, no run {run.pk}." in page
    assert 'curves.json?c=1"' in page
    assert "demo has no candidate C-98." in text(client, "?c=98", 404)
    assert client.get(f"{COMPARE}curves.json?c=1,99").status_code == 404


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("?c=one", "“one” is not a number of a candidate."),
        ("?r=-3", "“-3” is not a number of a run."),
        ("?items=C-1%2C+nonsense", "“nonsense” is neither a candidate nor a run"),
        ("?c=99999999999", "“99999999999” is not a number of a candidate."),
    ],
)
def test_what_is_no_number_is_refused_in_words(client: Client, project: Project, query: str, says: str) -> None:
    assert says in text(client, query, 400)


@pytest.mark.parametrize("typed", ["C-1, C-2, run 7", "1;2 run-7", "c1 c2 r7", "C-1 2,Run 7"])
def test_people_may_type_what_they_compare(typed: str) -> None:
    from django.test import RequestFactory

    from research_app.web.compare.compare import Asked

    asked = Asked.of(RequestFactory().get(COMPARE, {"items": typed}))
    assert asked == Asked([1, 2], [7])
    assert (asked.query, asked.words) == ("c=1,2&r=7", "C-1, C-2, run 7")


def test_an_empty_comparison_offers_some(client: Client, project: Project) -> None:
    assert "There is nothing to compare yet" in text(client, "")
    make_candidate(project, effect=0.01)
    make_candidate(project, edits=DEEPER, effect=0.03)
    page = text(client, "")
    assert 'href="?c=2,1">the largest gains' in page
    assert "what landed last" not in page


def test_fifty_cost_as_many_queries_as_two(client: Client, project: Project) -> None:
    make_many(project, 50)

    def cost(address: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(f"{COMPARE}{address}").status_code == 200
        return len(captured.captured_queries)

    all_of_them = ",".join(map(str, range(1, 51)))
    for path in ("", "curves.json"):
        assert cost(f"{path}?c=1,2") == cost(f"{path}?c={all_of_them}") <= 16


def test_what_agents_wrote_stays_text(client: Client, project: Project) -> None:
    make_candidate(project, hypothesis="<script>alert(1)</script>")
    page = text(client, "?c=1")
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert "&lt;b&gt;" in text(client, "?items=%3Cb%3E", 400)


def test_nobody_signed_in_sees_nothing() -> None:
    make_project()
    for address in (COMPARE, f"{COMPARE}curves.json?c=1", f"{COMPARE}constants/?c=1"):
        assert Client().get(address).status_code == 302
