"""Which rungs are left to scale up to, what a rung that was never tried says, and what runs already there cost: nothing."""

import re
from typing import Any

import pytest
from django.test import Client

from research_app.loop.review.review import ReviewRefused
from research_app.loop.scale_up.scale_up import rungs_left, stop
from research_app.loop.scale_up.shortlist import back_to_shortlist
from research_app.models import Candidate, Event, Project, Run, ScaleUp, Stage, State
from tests.factories import make_candidate, make_project, make_user
from tests.ladder_project import CONFIG, approve, finish, fresh

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project() -> Project:
    return make_project("rungs", ladder=CONFIG["ladder"], scale_up={"budget_hours": 50, "currency": "EUR"})


def listed(project: Project, constant: str = "WARMUP", before: str = "0.05", after: str = "0.02") -> Candidate:
    edit = ("train.py", f"{constant} = {before}", f"{constant} = {after}")
    return make_candidate(project, edits=[edit], stage=Stage.SHORTLISTED, verdict="solid")  # type: ignore[arg-type]


def client() -> Client:
    signed_in = Client()
    signed_in.force_login(make_user("hedy", role="approver"))
    return signed_in


def text_of(html: bytes) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.decode()))


def rows_of(candidate: Candidate, signed_in: Client) -> dict[str, str]:
    """The rows of the table of rungs, by rung."""
    html = signed_in.get(f"{candidate.get_absolute_url()}scale-up/").content.decode()
    table = html.split("<tbody>", 1)[1].split("</tbody>", 1)[0]
    rows = [text_of(row.encode()).strip() for row in table.split("</tr>") if "<th" in row]
    return {row.split(" ", 1)[0]: row for row in rows}


def scale_up(candidate: Candidate, *plans: tuple[str, int], gain: float = 0.02) -> ScaleUp:
    """Approve a scale-up and end every rung of it with this gain."""
    step = approve(candidate, make_user(f"grace{candidate.scale_ups.count()}"), *plans)
    for _ in plans:
        finish(ScaleUp.objects.get(pk=step.pk), gain)
    step.refresh_from_db()
    return step


def test_a_rung_that_another_candidate_was_scaled_up_to_is_not_tried_and_costs_this_one_nothing(project: Project) -> None:
    other, mine = listed(project), listed(project, "WIDTH", "96", "128")
    scale_up(other, ("M", 4), ("L", 3))
    for name, row in rows_of(mine, client()).items():
        if name != "S":
            assert row.endswith("not tried"), row
            assert " h" not in row and "of 0 runs" not in row and "no figure" not in row and "not approved" not in row


def test_a_candidate_is_charged_with_its_own_runs_and_the_shared_ones_are_said_apart(project: Project) -> None:
    candidate = listed(project)
    scale_up(candidate, ("M", 4))
    shares = sum(share for share in (0.8, 0.9, 1.15, 1.3))
    row = rows_of(candidate, signed_in := client())["M"]
    assert f"{4 * 90 / 3600:.2f} h {4 * 90 / 3600 * 2:.2f} EUR" in row
    assert f"+ {(4 + shares) * 90 / 3600:.2f} h shared" in row
    # What the table's rows come to together: the runs at S are the candidate's as well.
    head = text_of(signed_in.get(f"{candidate.get_absolute_url()}scale-up/").content)
    assert "0.13 device-hours spent so far; 0.20 more on the baseline's runs, which others share" in head.replace("&#x27;", "'")


def test_a_rung_that_was_approved_says_so_until_it_begins(project: Project) -> None:
    candidate = listed(project)
    step = approve(candidate, make_user("grace"), ("M", 4), ("L", 3))
    rows = rows_of(candidate, signed_in := client())
    assert rows["M"].endswith("0 of 12 runs ended") and rows["L"].endswith("approved, not begun")
    finish(step, 0.0)
    rows = rows_of(candidate, signed_in)
    assert "does not pass" in rows["M"] and rows["L"].endswith("not tried")


def test_what_passed_the_largest_rung_is_offered_no_further_scale_up_and_cannot_go_back_for_one(project: Project) -> None:
    candidate = listed(project)
    scale_up(candidate, ("M", 4), ("L", 3))
    candidate = fresh(candidate)
    assert candidate.stage == Stage.READY, candidate.why
    signed_in, address = client(), f"{candidate.get_absolute_url()}scale-up/"
    page = text_of(signed_in.get(address).content)
    assert "further" not in page and "scale up to" not in page
    with pytest.raises(ReviewRefused, match="passed L, the largest rung"):
        back_to_shortlist(candidate, make_user("olga"))
    assert signed_in.post(f"{address}further/").status_code == 409


def test_what_passed_a_lower_rung_is_offered_the_rungs_above_it_alone(project: Project) -> None:
    candidate = listed(project)
    scale_up(candidate, ("M", 4))
    signed_in = client()
    assert "to scale up further" in text_of(signed_in.get(f"{candidate.get_absolute_url()}scale-up/").content)
    back_to_shortlist(fresh(candidate), make_user("olga"))
    html = signed_in.get("/projects/rungs/shortlist/").content.decode()
    assert f'name="rungs-{candidate.number}" value="L" checked' in html
    assert f'name="rungs-{candidate.number}" value="M"' not in html
    with pytest.raises(ReviewRefused, match=r"is past M already\. Rungs left: L"):
        approve(candidate, make_user("iris"), ("M", 4))


def test_the_rungs_left_are_those_above_the_largest_that_was_passed(project: Project) -> None:
    rungs = project.file.upper_rungs

    def names(*passed: str) -> list[str]:
        return [rung.name for rung in rungs_left(rungs, passed)]

    assert names() == ["M", "L"] and names("M") == ["L"] and names("L") == [] and names("M", "L") == []
    assert names("gone") == ["M", "L"]


def test_runs_that_a_stopped_scale_up_finished_are_not_paid_for_again(project: Project) -> None:
    candidate, grace = listed(project), make_user("grace")
    step = approve(candidate, grace)
    done = Run.objects.filter(patch_set=candidate.patch_set, scale="M").order_by("seed")[:3]
    for run in done:
        Run.objects.filter(pk=run.pk).update(
            state=State.FINISHED, outcome="completed", score=2.0, train_seconds=3600.0, started_at=run.created_at
        )
    stop(step, grace, "Later")
    approve(candidate, make_user("iris"))
    told = Event.objects.about(candidate).filter(kind="scale-up approved").latest("sequence").data
    assert [rung["runs"] for rung in told["rungs"]] == [1], "three of four seeds are there"  # type: ignore[attr-defined]


@pytest.mark.parametrize("fields", [{"seeds": 6}, {"seeds": 2}])
def test_more_or_fewer_seeds_than_there_are_runs_cost_what_is_missing(project: Project, fields: dict[str, Any]) -> None:
    candidate, grace = listed(project), make_user("grace")
    stop(approve(candidate, grace), grace, "")
    Run.objects.filter(patch_set=candidate.patch_set, scale="M").update(outcome="completed", state=State.FINISHED, score=2.0)
    step = approve(candidate, make_user("iris"), ("M", fields["seeds"]))
    assert step.step.runs == max(0, fields["seeds"] - 4)
