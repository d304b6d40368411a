"""While nothing waits for its reader, the inbox leads: how far the loop is, how long that takes, and what will be asked."""

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from research_app.models import Device, Project, Purpose, Round, Run, Stage, State, Verdict
from tests.factories import make_candidate, make_project, make_run, make_user
from tests.first_hour_samples import confirmed, first_minutes, measured
from tests.html import text_of

pytestmark = pytest.mark.django_db


def lead(user: User | None = None) -> str:
    """What stands in the inbox before the first steps, as text."""
    client = Client()
    client.force_login(user or User.objects.filter(username="ada").first() or make_user())
    page = client.get("/").content.decode()
    return text_of(page.split('id="waiting"', 1)[1].split("</section>", 1)[0])


def test_it_says_how_many_runs_there_are_to_the_first_verdict_and_how_long_they_take_and_why() -> None:
    first_minutes(ended=3, running=2, wanted=8)
    said = lead()
    assert "3 of 9 runs to the first verdict" in said
    assert "About 40 s: 6 more runs of about 14 s, 2 at a time." in said  # 2 halves, 3 of the baseline, 1 of a candidate
    assert "baseline 0 seed 4" in said and "50% trained, loss" in said


def test_before_any_run_has_ended_the_pace_of_those_that_train_is_taken() -> None:
    first_minutes(ended=0, running=2, wanted=8)  # half of each in 16 s
    assert "0 of 9 runs to the first verdict" in (said := lead())
    assert "9 more runs of about 30 s, 2 at a time." in said


def test_before_a_pace_can_be_told_nothing_is_promised() -> None:
    first_minutes(ended=0, running=2, wanted=8)
    Run.objects.filter(state=State.RUNNING).update(progress=0.0)
    said = lead()
    assert "How long it takes can be told once a run has trained for a few seconds." in said
    assert "About" not in said and "which takes about" not in said


def test_the_first_seconds_of_a_run_in_which_little_is_trained_yet_do_not_make_it_look_slow() -> None:
    first_minutes(ended=3, running=1, wanted=8)
    Run.objects.filter(state=State.RUNNING).update(progress=0.05)  # in 16 s
    assert "the next result in about 10 s" in lead(), "others took 14 s"


def test_after_the_first_verdict_a_confirmation_is_what_is_worked_towards() -> None:
    project = first_minutes()
    measured(project)
    make_candidate(project, stage=Stage.DROPPED, effect=-0.05)
    assert "to the first verdict" not in lead()
    confirmed(project, ended=6)
    said = lead()
    assert "6 of 10 runs to the verdict on C-3" in said
    assert "4 more runs of about 14 s, 2 at a time." in said


def test_a_curve_that_an_earlier_confirmation_paid_for_is_not_counted_again() -> None:
    project = first_minutes()
    measured(project)
    curve = make_run(project.tip(), seed=1, budget_share=1.3, purpose=Purpose.CURVE)
    confirmed(project, ended=0)
    Run.objects.filter(pk=curve.pk).update(finished_at="2020-01-01T00:00:00Z")
    assert "0 of 10 runs" in lead()
    make_run(project.tip(), seed=1, budget_share=0.8, purpose=Purpose.CURVE, state=State.QUEUED)
    assert "0 of 11 runs" in lead()


def test_what_will_be_asked_is_said_to_those_who_will_be_asked_it() -> None:
    first_minutes(gate={"baseline": {"roles": ["reviewer"]}})
    for role in ("reviewer", "approver"):
        said = lead(make_user(f"a-{role}", role=role))
        assert "At gate 2 you will be asked: does a candidate that held on fresh seeds become part of the baseline?" in said
    for role in ("viewer", "operator"):
        said = lead(make_user(f"a-{role}", role=role))
        assert "At gate 2 somebody with the role reviewer will be asked:" in said
        assert "you will be asked" not in said


def test_in_a_project_with_a_ladder_the_first_question_is_about_the_next_scale() -> None:
    first_minutes(ladder=[{"name": "S"}, {"name": "M", "budget": 8}])
    assert "At gate 1 you will be asked: is a candidate that held on fresh seeds worth its runs at the next scale?" in lead()


def test_when_it_will_be_asked_is_said_as_far_as_it_is_known() -> None:
    first_minutes()
    said = lead()
    assert "First one has to look real, and nobody can tell when; then up to 14 runs confirm it" in said
    assert "which takes about 2 min." in said  # 10 runs and the budgets 0.8 to 1.3, 14 s each, on 2 devices


@pytest.mark.parametrize("state", ["paused", "no worker", "failing", "nothing asked for", "no project"])
def test_where_nothing_is_to_be_expected_nothing_is_promised(state: str) -> None:
    if state == "nothing asked for":
        make_project(reference_runs=0)
    elif state != "no project":
        first_minutes()
    said_for = {
        "paused": "Paused: nothing new is proposed.",
        "no worker": "No cpu worker is online, so nothing trains.",
        "failing": "Its baseline cannot be measured, so nothing is proposed for it.",
        "nothing asked for": "No cpu worker is online",
        "no project": "Nothing waits for a decision.",
    }
    if state == "paused":
        Project.objects.update(paused=True)
    if state == "no worker":
        Device.objects.all().delete()
    if state == "failing":
        Run.objects.filter(purpose=Purpose.REFERENCE).update(state=State.FINISHED, outcome="crashed", score=None)
    said = lead()
    assert said_for[state] in said
    assert "will be asked" not in said
    assert ("to the first verdict" in said) == (state == "paused"), "what is under way goes on"


def test_without_proposers_the_baseline_is_what_is_measured() -> None:
    project = first_minutes(ended=3)
    Round.objects.all().delete()
    project.candidates.update(stage=Stage.DROPPED)
    assert "3 of 8 runs to a measured baseline" in lead()


def test_nothing_of_it_stands_beside_a_decision_that_waits() -> None:
    project = first_minutes()
    measured(project)
    make_candidate(project, effect=0.05, runs=3, verdict=Verdict.SOLID)
    assert "will be asked" not in lead() and "trained, loss" not in lead()
    assert "will be asked" in lead(make_user("eve", role="viewer")), "nothing waits for a decision of hers"


def test_its_queries_do_not_grow_with_projects_candidates_or_runs() -> None:
    first_minutes()
    ada = make_user()
    with CaptureQueriesContext(connection) as few:
        lead(ada)
    for number in range(3):
        project = first_minutes(slug=f"more-{number}", devices=0)
        measured(project)
        confirmed(project)
        confirmed(project)
    with CaptureQueriesContext(connection) as many:
        lead(ada)
    assert len(many) <= len(few) + 2, "those about confirmations, where there are none, are not asked"
    assert len(many) <= 66, "with signing in"
